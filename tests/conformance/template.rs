//! What only a local gateway does with a template. Each test starts its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::gateway::Gateway;
use tests::server::scratch_folder;

use crate::authorizer::policy;
use crate::frames::expect_overtaking;
use crate::signed::Call;
use crate::socket::{Handshake, Observer, connect};
use crate::target::{local_target, template};
use crate::web;

/// A gateway on a template of this suite.
async fn start(name: &str, flags: &[&str]) -> Gateway {
    let gateway = Gateway::start(&template(name), flags).await;
    gateway.expect("it serves the template")
}

/// A template of a test's own: `resources` (YAML, not indented), a function that they may name, and
/// `more` sections.
fn write(resources: &str, more: &str) -> PathBuf {
    let folder = scratch_folder().join("templates");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let file = folder.join(format!("{:016x}.yaml", fastrand::u64(..)));
    let mut text = format!(
        "Transform: AWS::Serverless-2016-10-31
{more}
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

/// What the log says of a resource that is not served.
fn complaint<'a>(log: &'a str, resource: &str) -> Option<&'a str> {
    log.lines()
        .find(|line| line.contains("not served") && line.contains(resource))
}

/// A resource that is not served is named with its line and its type, and the rest is served.
#[tokio::test]
async fn what_is_not_served_is_named_with_its_line() {
    let gateway = start("open", &[]).await;
    connect(&local_target(&gateway, &[])).await.event().await;
    let (_, log) = gateway.stop().await.expect("it ends");
    let text = std::fs::read_to_string(template("open")).expect("the template");
    for (id, kind) in [
        ("FailureQueue", "AWS::SQS::Queue"),
        ("ErrorTopic", "AWS::SNS::Topic"),
    ] {
        let at = text
            .lines()
            .position(|line| line.starts_with(&format!("  {id}:")));
        let line = format!("line {}:", at.expect("it is in the template") + 1);
        let said = complaint(&log, id).unwrap_or_else(|| panic!("{id}: {log}"));
        assert!(said.contains(kind) && said.contains(&line), "{line} {said}");
    }
}

/// A resource whose condition does not hold does not exist.
#[tokio::test]
async fn a_resource_whose_condition_does_not_hold_is_not_named() {
    let gateway = start("open", &["--parameter", "Watched=no"]).await;
    let (_, log) = gateway.stop().await.expect("it ends");
    assert_eq!(complaint(&log, "ErrorTopic"), None);
    assert!(complaint(&log, "FailureQueue").is_some());
}

/// `--parameter` takes the place of a default.
#[tokio::test]
async fn a_parameter_of_the_command_line_wins_over_the_default() {
    let gateway = start("open", &["--parameter", "StageName=other"]).await;
    let target = local_target(&gateway, &[]);
    assert_eq!(target.stage(), "other");
    let event = connect(&target).await.event().await;
    assert_eq!(event["requestContext"]["stage"], "other");
}

/// What the gateway says that does not start.
async fn refusal(template: &Path, flags: &[&str]) -> String {
    match Gateway::start(template, flags).await {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    }
}

/// `--parameter` with an unknown name is refused, and so is a value that the template rules out.
#[tokio::test]
async fn a_parameter_that_the_template_does_not_take_is_named() {
    let said = refusal(&template("open"), &["--parameter", "Stgae=x"]).await;
    assert!(said.contains("Stgae"), "{said}");
    let said = refusal(&template("open"), &["--parameter", "Watched=perhaps"]).await;
    assert!(said.contains("Watched"), "{said}");
}

/// A parameter without a default needs a value.
#[tokio::test]
async fn a_parameter_without_a_value_is_named() {
    let file = write("", "Parameters: {Flavour: {Type: String}}");
    let said = refusal(&file, &[]).await;
    assert!(said.contains("Flavour"), "{said}");
}

/// Parameters that break one of the template's `Rules` are refused in its own words.
#[tokio::test]
async fn parameters_that_break_a_rule_are_refused_in_its_words() {
    let more =
        "Parameters: {Auth: {Type: String, Default: jwt}, Issuer: {Type: String, Default: ''}}
Rules:
  TokensHaveAnIssuer:
    RuleCondition: !Equals [!Ref Auth, jwt]
    Assertions:
      - Assert: !Not [!Equals [!Ref Issuer, '']]
        AssertDescription: Give an Issuer, or open the doors";
    let file = write(GUARDED, &format!("{more}\n{GUARDED_BY}"));
    let said = refusal(&file, &[]).await;
    let expected = "line 7: Give an Issuer, or open the doors (rule TokensHaveAnIssuer)";
    assert!(said.contains(expected), "{said}");
    for parameter in ["Auth=open", "Issuer=https://login.example"] {
        let started = Gateway::start(&file, &["--parameter", parameter]).await;
        started.unwrap_or_else(|error| panic!("{parameter}: {error:#}"));
    }
}

/// A WebSocket API and an HTTP API whose authorizers have no identity sources, and are there only if
/// the condition `IsGuarded` holds.
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

/// What goes with it, except for the parameter.
const GUARDED_BY: &str = "Conditions: {IsGuarded: !Equals [!Ref Auth, jwt]}
Globals:
  Function:
    Environment:
      Variables:
        MANAGEMENT_ENDPOINT:
          !Sub https://${SocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/prod";

/// The condition of an authorizer may depend on a parameter: `AuthorizationType: NONE`, and SAM's
/// `Auth` that is no value, ask nobody.
#[tokio::test]
async fn who_is_asked_may_depend_on_a_parameter() {
    let file = write(
        GUARDED,
        &format!("Parameters: {{Auth: {{Type: String}}}}\n{GUARDED_BY}"),
    );
    let unauthorized = json!({"throw": {"type": "Error", "message": "Unauthorized"}});
    let told = json!({"authorize": unauthorized});
    for (parameter, status) in [("Auth=jwt", 401), ("Auth=open", 200)] {
        let gateway = Gateway::start(&file, &["--parameter", parameter]).await;
        let gateway = gateway.expect("it serves the template");
        let target = local_target(&gateway, &[]);
        let answer = web::get(&target, "/web", &told).await;
        assert_eq!(answer.status, status, "{parameter}");
        let attempt = Handshake::new(&target, "").tell(&told).attempt().await;
        let refused = attempt.map_or_else(|refusal| refusal.status.as_u16(), |_| 200);
        assert_eq!(refused, status, "{parameter}");
    }
}

/// An authorizer of `$connect` without identity sources is asked about every handshake. Its event
/// has all that the client has sent, names of headers as they were written.
#[tokio::test]
async fn an_authorizer_without_identity_sources_is_asked_about_every_handshake() {
    let file = write(
        GUARDED,
        &format!("Parameters: {{Auth: {{Type: String, Default: jwt}}}}\n{GUARDED_BY}"),
    );
    let gateway = Gateway::start(&file, &[]).await;
    let gateway = gateway.expect("it serves the template");
    let target = local_target(&gateway, &[]);
    let mut observer = Observer::open(&target).await;
    let told = json!({"authorize": {"report": observer.id}});
    for (query, expected) in [
        ("", json!({})),
        ("token=t-1&a=1&a=2", json!({"token": "t-1", "a": "2"})),
    ] {
        let handshake = Handshake::new(&target, query)
            .header("Authorization", "Bearer t-2")
            .header("Sec-WebSocket-Protocol", "chat.v1, bearer.t-3");
        handshake.tell(&told).open().await;
        let event = observer.next().await;
        assert_eq!(event["queryStringParameters"], expected);
        assert_eq!(event["headers"]["Authorization"], "Bearer t-2");
        // As this client writes it.
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
        let told = json!({"authorize": authorize});
        let refusal = Handshake::new(&target, "").tell(&told).refused().await;
        assert_eq!(refusal.status, status, "{authorize}");
    }
}

/// An `AuthorizationType` that there is not lets nobody in: the template is refused.
#[tokio::test]
async fn an_unknown_authorization_type_is_refused() {
    let resources = GUARDED.replace("[IsGuarded, CUSTOM, NONE]", "[IsGuarded, Custom, NONE]");
    let file = write(
        &resources,
        &format!("Parameters: {{Auth: {{Type: String, Default: jwt}}}}\n{GUARDED_BY}"),
    );
    let said = refusal(&file, &[]).await;
    assert!(
        said.contains("WebRoute") && said.contains("no AuthorizationType Custom"),
        "{said}"
    );
}

/// The end by Ctrl-C is a clean one.
#[tokio::test]
async fn an_interrupted_gateway_ends_well() {
    let gateway = start("bare", &[]).await;
    connect(&local_target(&gateway, &[])).await.event().await;
    let (status, log) = gateway.stop().await.expect("it ends");
    assert!(status.success(), "{status}: {log}");
}

/// Each `--access-key` may sign; functions get the first one; the default is then gone.
#[tokio::test]
async fn access_keys_are_those_of_the_command_line() {
    let keys = [
        "--access-key",
        "first:secret-1",
        "--access-key",
        "second:secret-2",
    ];
    let gateway = start("open", &keys).await;
    let mut target = local_target(&gateway, &[]);
    let mut observer = Observer::open(&target).await;
    let told = json!({"connect": {"report": observer.id}});
    Handshake::new(&target, "").tell(&told).open().await;
    observer.next().await;
    for (id, secret, status) in [
        ("second", "secret-2", 200),
        ("second", "secret-1", 403),
        ("local", "local", 403),
    ] {
        target.access_key_id = id.to_owned();
        target.secret_access_key = secret.to_owned();
        let answer = Call::new("GET", &observer.id).send(&target).await;
        assert_eq!(answer.status, status, "{id}:{secret}");
    }
}

/// `--in-flight` gives several events to one process at once.
#[tokio::test]
async fn one_process_may_serve_several_events_at_once() {
    let gateway = start("open", &["--in-flight", "4"]).await;
    expect_overtaking(&local_target(&gateway, &[])).await;
}

/// No fallback of `$connect` and `$disconnect` to `$default`.
#[tokio::test]
async fn the_default_route_does_not_stand_in_for_connect() {
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
    let gateway = Gateway::start(&file, &[])
        .await
        .expect("it serves the template");
    let target = local_target(&gateway, &[]);
    let told = json!({"connect": {"return": {"statusCode": 403}}});
    Handshake::new(&target, "").tell(&told).open().await;
    assert_eq!(gateway.http, None);
}

/// A template without a WebSocket API is served too.
#[tokio::test]
async fn an_http_api_may_be_alone() {
    let file = write(
        "WebApi:
  Type: AWS::ApiGatewayV2::Api
  Properties:
    Name: quick
    ProtocolType: HTTP
    Target: !GetAtt ProbeFunction.Arn",
        "",
    );
    let gateway = Gateway::start(&file, &[])
        .await
        .expect("it serves the template");
    assert_eq!(gateway.ws, None);
    let event = web::get(&local_target(&gateway, &[]), "/any", &Value::Null)
        .await
        .json();
    assert_eq!(event["routeKey"], "$default");
}

/// A throttled handshake is refused with 429.
#[tokio::test]
async fn handshakes_above_the_throttle_are_refused_with_429() {
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
    let gateway = Gateway::start(&file, &[])
        .await
        .expect("it serves the template");
    let target = local_target(&gateway, &[]);
    let attempts = (0..20).map(|_| Handshake::new(&target, "").attempt());
    let mut refused = 0;
    let attempts = futures_util::future::join_all(attempts).await;
    for refusal in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        assert_eq!(refusal.status, 429);
        refused += 1;
    }
    assert!((1..20).contains(&refused), "{refused} of 20");
}

/// The README of the gateway lists every test of this suite.
#[test]
fn the_readme_lists_every_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).expect("it is in the repository");
    let readme = read(&folder.join("../infra/gateway/README.md"));
    let modules = std::fs::read_dir(folder.join("conformance")).expect("this folder");
    let mut count = 0;
    for module in modules.flatten() {
        let path = module.path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = read(&path);
        // In two parts, lest this line be taken for a test.
        for test in text.split(concat!("#[tokio", "::test")).skip(1) {
            let name = test
                .split("async fn ")
                .nth(1)
                .and_then(|rest| rest.split('(').next());
            let name = name.expect("a test is a function");
            assert!(
                readme.contains(&format!("`{name}`")),
                "{name} is not in the README"
            );
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
