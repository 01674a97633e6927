//! The template reader of the local gateway. Each test starts a gateway of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::LocalGateway;
use tests::client::get;
use tests::server::scratch_folder;

use crate::authorizer::policy;
use crate::socket::{Handshake, Observer, connect};
use crate::target::{local_target, template};
use crate::web;

/// Starts a gateway on a template of this suite.
pub async fn start(name: &str, flags: &[&str]) -> LocalGateway {
    let gateway = LocalGateway::start(&template(name), flags).await;
    gateway.expect("the template is served")
}

/// Writes a template: the function `ProbeFunction`, `resources` (YAML, not indented) that may refer
/// to it, and further `sections`. Returns its path.
fn write(resources: &str, sections: &str) -> PathBuf {
    let folder = scratch_folder().join("templates");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let file = folder.join(format!("{:016x}.yaml", fastrand::u64(..)));
    let mut text = format!(
        "Transform: AWS::Serverless-2016-10-31
{sections}
Resources:
  ProbeFunction:
    Type: AWS::Serverless::Function
    Metadata: {{BuildMethod: rust-cargolambda, BuildProperties: {{Binary: probe}}}}
    Properties: {{CodeUri: {}, Runtime: provided.al2023, Handler: bootstrap}}
",
        env!("CARGO_MANIFEST_DIR")
    );
    for line in resources.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    std::fs::write(&file, text).expect("the folder is writable");
    file
}

/// Returns the log line that says that a resource is not served.
fn warning_about<'a>(log: &'a str, resource: &str) -> Option<&'a str> {
    log.lines()
        .find(|line| line.contains("not served") && line.contains(resource))
}

/// A resource that is not served is logged with its line and its type, and the rest is served.
#[tokio::test]
async fn a_resource_that_is_not_served_is_logged_with_its_line() {
    let gateway = start("open", &[]).await;
    connect(&local_target(&gateway, &[])).await.event().await;
    let (_, log) = gateway.stop().await.expect("the gateway shuts down");
    let text = std::fs::read_to_string(template("open")).expect("the template");
    for (id, kind) in [
        ("FailureTopic", "AWS::SNS::Topic"),
        ("ErrorTopic", "AWS::SNS::Topic"),
    ] {
        let at = text
            .lines()
            .position(|line| line.starts_with(&format!("  {id}:")));
        let line = format!("line {}:", at.expect("the template has the resource") + 1);
        let warning = warning_about(&log, id).unwrap_or_else(|| panic!("{id}: {log}"));
        assert!(
            warning.contains(kind) && warning.contains(&line),
            "{line} {warning}"
        );
    }
}

/// A resource whose condition is false is ignored.
#[tokio::test]
async fn a_resource_whose_condition_is_false_is_not_logged() {
    let gateway = start("open", &["--parameter", "Watched=no"]).await;
    let (_, log) = gateway.stop().await.expect("the gateway shuts down");
    assert_eq!(warning_about(&log, "ErrorTopic"), None);
    assert!(warning_about(&log, "FailureTopic").is_some());
}

/// `--parameter` overrides the default of a template parameter.
#[tokio::test]
async fn a_parameter_on_the_command_line_overrides_the_default() {
    let gateway = start("open", &["--parameter", "StageName=other"]).await;
    let target = local_target(&gateway, &[]);
    assert_eq!(target.stage(), "other");
    let event = connect(&target).await.event().await;
    assert_eq!(event["requestContext"]["stage"], "other");
}

/// Starts a gateway, which must fail, and returns the error.
async fn start_error(template: &Path, flags: &[&str]) -> String {
    match LocalGateway::start(template, flags).await {
        Ok(_) => panic!("the gateway starts"),
        Err(error) => error.to_string(),
    }
}

/// `--parameter` with an unknown name, or with a value that the template does not allow, prevents
/// the start.
#[tokio::test]
async fn the_error_names_an_unknown_or_invalid_parameter() {
    let error = start_error(&template("open"), &["--parameter", "Stgae=x"]).await;
    assert!(error.contains("Stgae"), "{error}");
    let error = start_error(&template("open"), &["--parameter", "Watched=perhaps"]).await;
    assert!(error.contains("Watched"), "{error}");
}

/// A parameter without a default and without a value prevents the start.
#[tokio::test]
async fn the_error_names_a_parameter_without_a_value() {
    let file = write("", "Parameters: {Flavour: {Type: String}}");
    let error = start_error(&file, &[]).await;
    assert!(error.contains("Flavour"), "{error}");
}

/// Parameters that break one of the template's `Rules` prevent the start, with the
/// `AssertDescription` as the error.
#[tokio::test]
async fn parameters_that_break_a_rule_prevent_the_start() {
    let sections =
        "Parameters: {Auth: {Type: String, Default: jwt}, Issuer: {Type: String, Default: ''}}
Rules:
  TokensHaveAnIssuer:
    RuleCondition: !Equals [!Ref Auth, jwt]
    Assertions:
      - Assert: !Not [!Equals [!Ref Issuer, '']]
        AssertDescription: Give an Issuer, or open the doors";
    let file = write(GUARDED, &format!("{sections}\n{GUARDED_SECTIONS}"));
    let error = start_error(&file, &[]).await;
    let expected = "line 7: Give an Issuer, or open the doors (rule TokensHaveAnIssuer)";
    assert!(error.contains(expected), "{error}");
    for parameter in ["Auth=open", "Issuer=https://login.example"] {
        let started = LocalGateway::start(&file, &["--parameter", parameter]).await;
        started.unwrap_or_else(|error| panic!("{parameter}: {error:#}"));
    }
}

/// A WebSocket API and an HTTP API. Their authorizers have no identity sources, and exist only if
/// the condition `IsGuarded` is true.
const GUARDED: &str = "SocketApi:
  Type: AWS::Serverless::WebSocketApi
  Properties:
    StageName: prod
    RouteSelectionExpression: $request.body.action
    Auth:
      !If
        - IsGuarded
        - AuthType: CUSTOM
          AuthArn: !GetAtt ProbeFunction.Arn
        - !Ref AWS::NoValue
    Routes:
      reply:
        FunctionArn: !GetAtt ProbeFunction.Arn
        RouteResponseSelectionExpression: $default
      $connect: {FunctionArn: !GetAtt ProbeFunction.Arn}
ReplyResponse:
  Type: AWS::ApiGatewayV2::RouteResponse
  Properties:
    {ApiId: !Ref SocketApi, RouteId: !Ref SocketApiReplyRoute, RouteResponseKey: $default}
WebApi:
  Type: AWS::ApiGatewayV2::Api
  Properties: {Name: web, ProtocolType: HTTP}
WebStage:
  Type: AWS::ApiGatewayV2::Stage
  Properties: {ApiId: !Ref WebApi, StageName: $default}
WebAuthorizer:
  Type: AWS::ApiGatewayV2::Authorizer
  Condition: IsGuarded
  Properties:
    ApiId: !Ref WebApi
    AuthorizerType: REQUEST
    AuthorizerPayloadFormatVersion: '2.0'
    EnableSimpleResponses: true
    AuthorizerUri: !GetAtt ProbeFunction.Arn
WebIntegration:
  Type: AWS::ApiGatewayV2::Integration
  Properties:
    {ApiId: !Ref WebApi, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt ProbeFunction.Arn}
WebRoute:
  Type: AWS::ApiGatewayV2::Route
  Properties:
    ApiId: !Ref WebApi
    RouteKey: GET /web
    AuthorizationType: !If [IsGuarded, CUSTOM, NONE]
    AuthorizerId: !If [IsGuarded, !Ref WebAuthorizer, !Ref AWS::NoValue]
    Target: !Sub integrations/${WebIntegration}";

/// The further sections of a template with [`GUARDED`], except for the parameter `Auth`.
const GUARDED_SECTIONS: &str = "Conditions: {IsGuarded: !Equals [!Ref Auth, jwt]}
Globals:
  Function:
    Environment:
      Variables:
        MANAGEMENT_ENDPOINT:
          !Sub https://${SocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/prod";

/// An authorizer may depend on a condition: `AuthorizationType: NONE`, and SAM's `Auth` that is
/// `AWS::NoValue`, mean no authorizer.
#[tokio::test]
async fn an_authorizer_may_depend_on_a_parameter() {
    let file = write(
        GUARDED,
        &format!("Parameters: {{Auth: {{Type: String}}}}\n{GUARDED_SECTIONS}"),
    );
    let unauthorized = json!({"throw": {"type": "Error", "message": "Unauthorized"}});
    let instructions = json!({"authorize": unauthorized});
    for (parameter, status) in [("Auth=jwt", 401), ("Auth=open", 200)] {
        let gateway = LocalGateway::start(&file, &["--parameter", parameter]).await;
        let gateway = gateway.expect("the template is served");
        let target = local_target(&gateway, &[]);
        let response = web::get(&target, "/web", &instructions).await;
        assert_eq!(response.status, status, "{parameter}");
        let attempt = Handshake::new(&target, "")
            .instruct(&instructions)
            .attempt()
            .await;
        let found = attempt.map_or_else(|rejection| rejection.status.as_u16(), |_| 200);
        assert_eq!(found, status, "{parameter}");
    }
}

/// An authorizer of `$connect` without identity sources is invoked for every handshake, and its
/// event has all headers and parameters of the client.
#[tokio::test]
async fn an_authorizer_without_identity_sources_is_invoked_for_every_handshake() {
    let file = write(
        GUARDED,
        &format!("Parameters: {{Auth: {{Type: String, Default: jwt}}}}\n{GUARDED_SECTIONS}"),
    );
    let gateway = LocalGateway::start(&file, &[]).await;
    let gateway = gateway.expect("the template is served");
    let target = local_target(&gateway, &[]);
    let mut observer = Observer::open(&target).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    for (query, expected) in [
        ("", json!({})),
        ("token=t-1&a=1&a=2", json!({"token": "t-1", "a": "2"})),
    ] {
        let handshake = Handshake::new(&target, query)
            .header("Authorization", "Bearer t-2")
            .header("Sec-WebSocket-Protocol", "chat.v1, bearer.t-3");
        handshake.instruct(&instructions).open().await;
        let event = observer.next().await;
        assert_eq!(event["queryStringParameters"], expected);
        assert_eq!(event["headers"]["Authorization"], "Bearer t-2");
        // The client writes `Sec-Websocket-Protocol`.
        let subprotocols = &event["headers"]["Sec-Websocket-Protocol"];
        assert_eq!(subprotocols, "chat.v1, bearer.t-3", "{event}");
    }
    for (authorize, status) in [
        (
            json!({"throw": {"type": "Error", "message": "Unauthorized"}}),
            401,
        ),
        (json!({"return": policy("Deny", &json!({}))}), 403),
        (
            json!({"throw": {"type": "Error", "message": "no keys"}}),
            500,
        ),
    ] {
        let instructions = json!({"authorize": authorize});
        let rejection = Handshake::new(&target, "")
            .instruct(&instructions)
            .rejection()
            .await;
        assert_eq!(rejection.status, status, "{authorize}");
    }
}

/// An unknown `AuthorizationType` lets nobody in.
#[tokio::test]
async fn an_unknown_authorization_type_lets_nobody_in() {
    let resources = GUARDED.replace("[IsGuarded, CUSTOM, NONE]", "[IsGuarded, Custom, NONE]");
    let file = write(
        &resources,
        &format!("Parameters: {{Auth: {{Type: String, Default: jwt}}}}\n{GUARDED_SECTIONS}"),
    );
    let gateway = LocalGateway::start(&file, &[]).await.expect("it starts");
    let url = format!("{}/web", gateway.http.as_deref().expect("an HTTP API"));
    assert_eq!(get(&url).await.status, 403);
    let (_, log) = gateway.stop().await.expect("the gateway shuts down");
    let warning = warning_about(&log, "WebRoute").expect("a warning");
    assert!(warning.contains("no AuthorizationType Custom"), "{warning}");
}

/// `$default` is not invoked in place of a missing `$connect` or `$disconnect`.
#[tokio::test]
async fn the_default_route_does_not_replace_connect() {
    let file = write(
        "SocketApi:
  Type: AWS::Serverless::WebSocketApi
  Properties:
    StageName: prod
    RouteSelectionExpression: $request.body.action
    Routes:
      $default: {FunctionArn: !GetAtt ProbeFunction.Arn}",
        "",
    );
    let gateway = LocalGateway::start(&file, &[])
        .await
        .expect("the template is served");
    let target = local_target(&gateway, &[]);
    let instructions = json!({"connect": {"return": {"statusCode": 403}}});
    Handshake::new(&target, "")
        .instruct(&instructions)
        .open()
        .await;
    assert_eq!(gateway.http, None);
}

/// A template without a WebSocket API is served.
#[tokio::test]
async fn a_template_may_have_an_http_api_alone() {
    let file = write(
        "WebApi:
  Type: AWS::ApiGatewayV2::Api
  Properties:
    Name: quick
    ProtocolType: HTTP
    Target: !GetAtt ProbeFunction.Arn",
        "",
    );
    let gateway = LocalGateway::start(&file, &[])
        .await
        .expect("the template is served");
    assert_eq!(gateway.ws, None);
    let event = web::get(&local_target(&gateway, &[]), "/any", &Value::Null)
        .await
        .json();
    assert_eq!(event["routeKey"], "$default");
}

/// A handshake above the throttle of `$connect` is rejected with 429.
#[tokio::test]
async fn handshakes_above_the_throttle_are_rejected_with_429() {
    let file = write(
        "SocketApi:
  Type: AWS::Serverless::WebSocketApi
  Properties:
    StageName: prod
    RouteSelectionExpression: $request.body.action
    Routes:
      $connect: {FunctionArn: !GetAtt ProbeFunction.Arn}
    RouteSettings:
      $connect: {ThrottlingRateLimit: 1, ThrottlingBurstLimit: 1}",
        "",
    );
    let gateway = LocalGateway::start(&file, &[])
        .await
        .expect("the template is served");
    let target = local_target(&gateway, &[]);
    let attempts = (0..20).map(|_| Handshake::new(&target, "").attempt());
    let mut rejected = 0;
    let attempts = futures_util::future::join_all(attempts).await;
    for rejection in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        assert_eq!(rejection.status, 429);
        rejected += 1;
    }
    assert!((1..20).contains(&rejected), "{rejected} of 20");
}
