//! Gateways on templates of other people's shapes, with the function `probe` behind all routes.

use std::path::PathBuf;

use hyper::Method;
use serde_json::{Value, json};
use tests::client::{HttpResponse, send};
use tests::{Client, LocalGateway, server};

/// The function, and its logical id.
const PROBE: &str = "
  Probe:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: probe}}
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Timeout: 20}
";

/// Writes a template whose text ends with its resources, and adds the function `Probe` to these.
pub fn write(template: &str) -> PathBuf {
    let path = server::scratch_folder().join(format!("{:016x}.yaml", fastrand::u64(..)));
    std::fs::write(&path, template.trim_end().to_owned() + PROBE).expect("the folder is writable");
    path
}

/// Starts a gateway on a template as of [`write`].
pub async fn serve(template: &str) -> LocalGateway {
    let gateway = LocalGateway::start(&write(template), &[]).await;
    gateway.expect("it starts")
}

/// Returns the response to a GET request.
async fn get(gateway: &LocalGateway, path: &str) -> HttpResponse {
    let url = format!("{}{path}", gateway.http.as_deref().expect("an HTTP API"));
    send(Method::GET, &url, &[("x-a", "1"), ("x-a", "2")]).await
}

/// An HTTP API with a `$default` stage and an integration of payload format 1.0.
const FORMAT_1: &str = "
Resources:
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  WebStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Web, StageName: $default}}
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: 'GET /a/{id}', Target: !Sub 'integrations/${To}'}}
  Without: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: GET /without}}
  Default: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: $default, Target: !Sub 'integrations/${To}'}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    PayloadFormatVersion: 1.0, IntegrationUri: !GetAtt Probe.Arn}}
";

#[tokio::test]
async fn a_function_gets_payload_format_1_if_its_integration_says_so() {
    let gateway = serve(FORMAT_1).await;
    let event = get(&gateway, "/a/b?q=1&q=2&r=3").await.json();
    for (pointer, value) in [
        ("/version", json!("1.0")),
        ("/resource", json!("/a/{id}")),
        ("/path", json!("/a/b")),
        ("/httpMethod", json!("GET")),
        ("/headers/x-a", json!("2")),
        ("/multiValueHeaders/x-a", json!(["1", "2"])),
        ("/multiValueHeaders/x-forwarded-proto", json!(["http"])),
        ("/queryStringParameters", json!({"q": "2", "r": "3"})),
        (
            "/multiValueQueryStringParameters",
            json!({"q": ["1", "2"], "r": ["3"]}),
        ),
        ("/pathParameters", json!({"id": "b"})),
        ("/stageVariables", Value::Null),
        ("/body", Value::Null),
        ("/isBase64Encoded", json!(false)),
        ("/requestContext/resourcePath", json!("/a/{id}")),
        ("/requestContext/stage", json!("$default")),
        ("/requestContext/identity/sourceIp", json!("127.0.0.1")),
        (
            "/requestContext/authorizer",
            json!({"claims": null, "scopes": null}),
        ),
    ] {
        assert_eq!(event.pointer(pointer), Some(&value), "{pointer}: {event}");
    }
    let event = get(&gateway, "/elsewhere").await.json();
    assert_eq!(event["queryStringParameters"], Value::Null);
    assert_eq!(event["pathParameters"], Value::Null);
}

#[tokio::test]
async fn a_route_without_a_target_fails_and_the_others_are_served() {
    let gateway = serve(FORMAT_1).await;
    assert_eq!(get(&gateway, "/without").await.status, 500);
    assert_eq!(get(&gateway, "/with").await.status, 200);
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(
        log.contains("Without (AWS::ApiGatewayV2::Route): it has no Target"),
        "{log}"
    );
}

#[tokio::test]
async fn a_connect_route_without_an_integration_accepts() {
    let gateway = serve(
        "
Resources:
  Ws: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.op}}
  WsStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Ws, StageName: 1}}
  Connect: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: $connect}}
  Seven: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: 7,
    RouteResponseSelectionExpression: $default, Target: !Sub 'integrations/${To}'}}
  SevenResponse: {Type: AWS::ApiGatewayV2::RouteResponse, Properties: {ApiId: !Ref Ws, RouteId: !Ref Seven, RouteResponseKey: $default}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Ws, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Probe.Arn}}
",
    )
    .await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    assert!(url.ends_with("/1"), "{url}");
    let mut client = Client::connect(url).await.expect("accepted");
    client.send(&json!({"op": 7})).await;
    assert_eq!(client.next().await["requestContext"]["routeKey"], "7");
}

#[tokio::test]
async fn an_openapi_definition_is_served() {
    let gateway = serve(
        "
Resources:
  Web:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        openapi: 3.0.1
        info: {title: x, version: '1'}
        paths:
          /a/{id}:
            get: {x-amazon-apigateway-integration: &to {type: aws_proxy, httpMethod: POST, payloadFormatVersion: '2.0',
              uri: !Sub 'arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Probe.Arn}/invocations'}}
          /guarded:
            x-amazon-apigateway-any-method: {security: [{J: [chat]}], x-amazon-apigateway-integration: *to}
        components:
          securitySchemes:
            J: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt, identitySource: $request.header.Authorization,
              jwtConfiguration: {issuer: 'https://issuer.example', audience: [me]}}}
        x-amazon-apigateway-cors: {allowOrigins: ['https://page.example']}
",
    )
    .await;
    let event = get(&gateway, "/a/b").await.json();
    assert_eq!(event["pathParameters"]["id"], "b", "{event}");
    assert_eq!(get(&gateway, "/guarded").await.status, 401);
    assert_eq!(get(&gateway, "/other").await.status, 404);
    let url = format!("{}/a/b", gateway.http.as_deref().expect("an HTTP API"));
    let response = send(Method::GET, &url, &[("origin", "https://page.example")]).await;
    assert_eq!(
        response.header("access-control-allow-origin"),
        "https://page.example"
    );
}
