//! Authorizers and scopes that cannot be applied on this machine: they let nobody in, and the log says why.
//! And `AWS_IAM`, which can be applied.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use local_gateway::http::sigv4::sign;
use serde_json::json;
use tests::client::{Http, request, send};
use tests::{Client, LocalGateway};

use crate::templates::serve;

/// An HTTP API whose routes are all guarded, except `/open`.
const HTTP: &str = "
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  WebStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Web, StageName: $default}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    PayloadFormatVersion: '2.0', IntegrationUri: !GetAtt Probe.Arn}}
  Elsewhere: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Web, AuthorizerType: REQUEST,
    IdentitySource: [$request.header.x], AuthorizerUri: !Sub ['${A}/invocations', {A: !ImportValue a}]}}
  Source: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Web, AuthorizerType: REQUEST,
    IdentitySource: [!ImportValue a], AuthorizerUri: !GetAtt Probe.Arn}}
  Open: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: ANY /open, Target: !Sub 'integrations/${To}'}}
  Default: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: $default, Target: !Sub 'integrations/${To}'}}
";

/// Guards of routes, each with a sentence for the log.
const DENIED: [(&str, &str, &str); 7] = [
    (
        "elsewhere",
        "AuthorizationType: CUSTOM, AuthorizerId: !Ref Elsewhere",
        "AuthorizerUri",
    ),
    (
        "source",
        "AuthorizationType: CUSTOM, AuthorizerId: !Ref Source",
        "IdentitySource",
    ),
    (
        "absent",
        "AuthorizationType: JWT, AuthorizerId: Nobody",
        "there is no authorizer Nobody",
    ),
    (
        "without",
        "AuthorizationType: JWT",
        "AuthorizationType JWT needs an AuthorizerId",
    ),
    (
        "type",
        "AuthorizationType: !ImportValue t",
        "AuthorizationType is not known",
    ),
    (
        "untyped",
        "AuthorizerId: !Ref Source",
        "AuthorizationType is not known",
    ),
    (
        "scopes",
        "AuthorizationScopes: [chat]",
        "AuthorizationScopes need a JWT authorizer",
    ),
];

fn route(name: &str, guard: &str) -> String {
    format!(
        "  R{name}: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Web, RouteKey: ANY /{name}, \
         Target: !Sub 'integrations/${{To}}', {guard}}}}}\n"
    )
}

async fn status(gateway: &LocalGateway, path: &str) -> StatusCode {
    let url = format!("{}/{path}", gateway.http.as_deref().expect("an HTTP API"));
    send(Method::GET, &url, &[("x", "y")]).await.status
}

#[tokio::test]
async fn a_guard_that_cannot_be_applied_lets_nobody_in() {
    let routes: String = DENIED.map(|(name, guard, _)| route(name, guard)).concat();
    let gateway = serve(&format!("Resources:{HTTP}{routes}")).await;
    assert_eq!(status(&gateway, "open").await, 200);
    for (name, _, _) in DENIED {
        assert_eq!(status(&gateway, name).await, 403, "{name}");
    }
    let (_, log) = gateway.stop().await.expect("stopped");
    for (name, _, why) in DENIED {
        let is_start = |line: &&str| {
            line.contains("not served here: line ") && line.contains(&format!(": R{name} "))
        };
        let line = log.lines().find(is_start);
        let line = line.unwrap_or_else(|| panic!("no line of {name}: {log}"));
        assert!(
            line.contains(why) && line.ends_with(": nobody is let in"),
            "{line}"
        );
        let rejected = format!("ANY /{name} lets nobody in: ");
        assert!(log.contains(&rejected), "{rejected}: {log}");
    }
}

#[tokio::test]
async fn a_handshake_whose_authorizer_is_elsewhere_is_forbidden() {
    let gateway = serve(
        "
Resources:
  Ws: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  WsStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Ws, StageName: prod}}
  Connect: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: $connect, AuthorizationType: CUSTOM,
    AuthorizerId: !Ref Auth, Target: !Sub 'integrations/${To}'}}
  Auth: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Ws, AuthorizerType: REQUEST,
    AuthorizerUri: {Fn::Sub: ['arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${A}/invocations', {A: !ImportValue a}]}}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Ws, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Probe.Arn}}
",
    )
    .await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    assert_eq!(
        Client::connect(url).await.err(),
        Some(StatusCode::FORBIDDEN)
    );
}

#[tokio::test]
async fn the_guard_of_managed_overrides_holds_for_the_route_of_quick_create() {
    let gateway = serve(
        "
Resources:
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, Target: !GetAtt Probe.Arn}}
  Over: {Type: AWS::ApiGatewayV2::ApiGatewayManagedOverrides, Properties: {ApiId: !Ref Web,
    Route: {AuthorizationType: JWT, AuthorizerId: !Ref Jwt}, Stage: {StageVariables: {color: red}}}}
  Jwt: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Web, AuthorizerType: JWT,
    IdentitySource: [$request.header.Authorization], JwtConfiguration: {Audience: [me], Issuer: 'https://issuer.example'}}}
",
    )
    .await;
    assert_eq!(status(&gateway, "any").await, 401);
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(!log.contains("not served here"), "{log}");
}

#[tokio::test]
async fn aws_iam_lets_in_whoever_signs_with_an_access_key() {
    let gateway = serve(&format!(
        "Resources:{HTTP}{}
  Ws: {{Type: AWS::Serverless::WebSocketApi, Properties: {{StageName: prod, RouteSelectionExpression: $request.body.action,
    Auth: {{AuthType: AWS_IAM}}, Routes: {{$connect: {{FunctionArn: !GetAtt Probe.Arn}}}}}}}}
",
        route("iam", "AuthorizationType: AWS_IAM")
    ))
    .await;
    let url = format!("{}/iam", gateway.http.as_deref().expect("an HTTP API"));
    let body = Bytes::from_static(b"hello");
    let signed = |secret: &str, body: &Bytes| {
        let request = Request::post(&url).body(Full::new(body.clone()));
        let key = format!("local:{secret}").parse().expect("ID:SECRET");
        sign(request.expect("a URL"), b"hello", "execute-api", &key).expect("it has a host")
    };
    let response = Http::default()
        .send(signed("local", &body))
        .await
        .expect("a response");
    assert_eq!(response.status, 200);
    assert_eq!(
        response.json()["requestContext"]["authorizer"]["iam"]["accessKey"],
        "local"
    );
    for (secret, sent) in [("other", &body), ("local", &Bytes::from_static(b"hullo"))] {
        let response = Http::default()
            .send(signed(secret, sent))
            .await
            .expect("a response");
        assert_eq!(response.status, 403, "{secret} {sent:?}");
    }
    assert_eq!(
        request(Method::POST, &url, b"hello".to_vec()).await.status,
        403
    );
    let ws = gateway.ws.as_deref().expect("a WebSocket API");
    assert_eq!(Client::connect(ws).await.err(), Some(StatusCode::FORBIDDEN));
    // The same handshake with a signature.
    let head = Request::get(ws.replacen("ws://", "http://", 1)).body(Full::default());
    let key = "local:local".parse().expect("ID:SECRET");
    let head = sign(head.expect("a URL"), b"", "execute-api", &key).expect("it has a host");
    let headers: Vec<_> = ["authorization", "x-amz-date"]
        .map(|name| {
            (
                name,
                head.headers()[name].to_str().expect("ASCII").to_owned(),
            )
        })
        .into();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert!(Client::connect_with(ws, &headers).await.is_ok());
}

#[tokio::test]
async fn frames_to_a_route_with_an_authorizer_are_forbidden() {
    let gateway = serve(
        "
Resources:
  Ws: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  WsStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Ws, StageName: prod}}
  Custom: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: custom, AuthorizationType: CUSTOM,
    AuthorizerId: !Ref Auth, Target: !Sub 'integrations/${To}'}}
  Iam: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: iam, AuthorizationType: AWS_IAM,
    Target: !Sub 'integrations/${To}'}}
  Open: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: open, AuthorizationType: NONE,
    RouteResponseSelectionExpression: $default, Target: !Sub 'integrations/${To}'}}
  OpenResponse: {Type: AWS::ApiGatewayV2::RouteResponse, Properties: {ApiId: !Ref Ws, RouteId: !Ref Open, RouteResponseKey: $default}}
  Auth: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Ws, AuthorizerType: REQUEST, AuthorizerUri: !GetAtt Probe.Arn}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Ws, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Probe.Arn}}
",
    )
    .await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("accepted");
    for action in ["custom", "iam"] {
        client.send(&json!({"action": action})).await;
        assert_eq!(client.next().await["message"], "Forbidden", "{action}");
    }
    client.send(&json!({"action": "open"})).await;
    let event = client.next().await;
    assert_eq!(event["requestContext"]["routeKey"], "open", "{event}");
    let (_, log) = gateway.stop().await.expect("stopped");
    for expected in [
        ": Custom (AWS::ApiGatewayV2::Route): its authorization: a WebSocket API takes an authorizer on $connect only",
        ": Iam (AWS::ApiGatewayV2::Route): its authorization: a WebSocket API takes an authorizer on $connect only",
        "iam lets nobody in: ",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}
