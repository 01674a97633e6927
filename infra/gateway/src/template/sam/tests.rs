//! Templates of SAM, and the APIs that they stand for.

use std::collections::BTreeMap;

use crate::model::{Authorizer, HttpApi, HttpRoute, Template};
use crate::template::Document;

/// Returns the APIs of a template that consists of these properties of an HTTP API, and of events of
/// a function, one a line. The authorizers of the API are `J`, with scopes, `K` without, and `L`.
fn http(properties: &str, events: &[&str]) -> Template {
    let events: String = events
        .iter()
        .map(|event| format!("      {event}\n"))
        .collect();
    let jwt = "IdentitySource: $request.header.Authorization, JwtConfiguration: {issuer: 'https://a', audience: [b]}";
    let text = format!(
        "Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        Authorizers:
          J: {{AuthorizationScopes: [one, two], {jwt}}}
          K: {{{jwt}}}
          L: {{FunctionArn: !GetAtt Fn.Arn, AuthorizerPayloadFormatVersion: '2.0'}}
{properties}
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: x
      Events:
{events}"
    );
    let document = Document::parse(&text, "".as_ref()).expect("YAML");
    document
        .evaluate(&BTreeMap::new())
        .unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

fn event(name: &str, method: &str, auth: &str) -> String {
    let key = format!("ApiId: !Ref Api, Method: {method}, Path: /{name}");
    format!("  {name}: {{Type: HttpApi, Properties: {{{key}{auth}}}}}")
}

fn route<'a>(api: &'a HttpApi, path: &str) -> &'a HttpRoute {
    let path = format!("/{path}");
    api.routes
        .iter()
        .find(|route| route.path == path)
        .expect("a route")
}

#[test]
fn the_scopes_of_a_route_are_its_own_else_those_of_its_authorizer() {
    for (auth, scopes) in [
        ("", &["one", "two"][..]),
        (", Auth: {Authorizer: J}", &["one", "two"]),
        (
            ", Auth: {Authorizer: J, AuthorizationScopes: []}",
            &["one", "two"],
        ),
        (
            ", Auth: {Authorizer: J, AuthorizationScopes: [three]}",
            &["three"],
        ),
        (", Auth: {AuthorizationScopes: [three]}", &["three"]),
        (", Auth: {Authorizer: K}", &[]),
    ] {
        let template = http("        DefaultAuthorizer: J", &[&event("a", "get", auth)]);
        let api = template.http.expect("an HTTP API");
        let route = route(&api, "a");
        assert_eq!(route.scopes, scopes, "{auth}");
        assert!(
            matches!(route.authorizer, Some(Authorizer::Jwt(_))),
            "{auth}"
        );
    }
}

#[test]
fn the_default_authorizer_guards_all_but_options_and_none() {
    let events = [
        event("guarded", "any", ""),
        event("options", "options", ""),
        event("scoped", "options", ", Auth: {AuthorizationScopes: [x]}"),
        event("none", "get", ", Auth: {Authorizer: NONE}"),
        event("iam", "get", ", Auth: {Authorizer: AWS_IAM}"),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let template = http("        DefaultAuthorizer: J", &events);
    let api = template.http.expect("an HTTP API");
    let is_guarded = |path: &str| matches!(route(&api, path).authorizer, Some(Authorizer::Jwt(_)));
    assert!(is_guarded("guarded") && is_guarded("scoped"));
    assert_eq!(route(&api, "options").authorizer, None);
    assert_eq!(route(&api, "none").authorizer, None);
    assert_eq!(route(&api, "iam").authorizer, Some(Authorizer::Iam));
}

#[test]
fn an_authorizer_that_sam_cannot_apply_lets_nobody_in() {
    for (default, auth) in [
        ("", ", Auth: {Authorizer: Nobody}"),
        ("", ", Auth: {AuthorizationScopes: [x]}"),
        ("", ", Auth: {Authorizer: !ImportValue x}"),
        ("", ", Auth: !ImportValue x"),
        ("", ", Auth: {Authorizer: L, AuthorizationScopes: [x]}"),
        (
            "",
            ", Auth: {Authorizer: J, AuthorizationScopes: [!ImportValue x]}",
        ),
        (
            "",
            ", Auth: {Authorizer: J, AuthorizationScopes: !ImportValue x}",
        ),
        ("        DefaultAuthorizer: Nobody", ""),
        ("        DefaultAuthorizer: !ImportValue x", ""),
        ("", ", Auth: J"),
        ("", ", Auth: [J]"),
        ("", ", Auth: {Authoriser: J}"),
        ("", ", Auth: {Authorizer: NONE, ApiKeyRequired: true}"),
        ("", ", auth: {Authorizer: J}"),
        ("", ", Authorizer: J"),
        ("", ", AuthorizationScopes: [x]"),
        ("        defaultAuthorizer: J", ""),
        ("        OverrideApiAuth: true", ""),
        ("      Authorizer: J", ""),
        ("      auth: {DefaultAuthorizer: J}", ""),
        (
            "          M: {Scopes: [x], IdentitySource: $request.header.a, JwtConfiguration: {issuer: 'https://a', audience: [b]}}",
            ", Auth: {Authorizer: M}",
        ),
    ] {
        let template = http(default, &[&event("a", "get", auth)]);
        let api = template.http.expect("an HTTP API");
        let authorizer = &route(&api, "a").authorizer;
        assert!(
            matches!(authorizer, Some(Authorizer::Deny(_))),
            "{default} {auth}: {authorizer:?}"
        );
        let is_named = |text: &String| text.ends_with("nobody is let in");
        assert!(
            template.not_served.iter().any(is_named),
            "{:?}",
            template.not_served
        );
    }
}

#[test]
fn auth_that_is_no_map_lets_nobody_in_and_an_empty_one_is_none() {
    for (auth, denied) in [
        ("J", true),
        ("[{DefaultAuthorizer: J}]", true),
        ("{}", false),
        ("", false),
    ] {
        for globals in [false, true] {
            let properties = format!("{{Auth: {auth}}}");
            let (own, globals) = match globals {
                true => ("{}", format!("Globals: {{HttpApi: {properties}}}")),
                false => (&*properties, String::new()),
            };
            let text = format!(
                "{globals}
Resources:
  ServerlessHttpApi: {{Type: AWS::Serverless::HttpApi, Properties: {own}}}
  Fn: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: x, Events: {{E: {{Type: HttpApi,
    Properties: {{Path: /a, Method: get, Auth: {{}}}}}}}}}}}}
"
            );
            let document = Document::parse(&text, "".as_ref()).expect("YAML");
            let template = document.evaluate(&BTreeMap::new()).expect(&text);
            let api = template.http.expect("an HTTP API");
            let authorizer = &route(&api, "a").authorizer;
            assert_eq!(authorizer.is_some(), denied, "{text}");
        }
    }
}

#[test]
fn a_websocket_api_whose_auth_is_not_complete_lets_nobody_in() {
    for auth in [
        "Auth: {AuthType: CUSTOM}",
        "Auth: {AuthArn: x}",
        "Auth: {AuthType: !ImportValue x}",
        "Auth: !ImportValue x",
        "Auth: CUSTOM",
        "Auth: {AuthType: NONE, IdentitySources: [x]}",
        "auth: {AuthType: CUSTOM}",
        "AuthType: CUSTOM",
    ] {
        let text = format!(
            "Resources: {{Api: {{Type: AWS::Serverless::WebSocketApi, Properties: {{\
             RouteSelectionExpression: $request.body.a, {auth}, \
             Routes: {{$connect: {{FunctionArn: x}}}}}}}}}}"
        );
        let document = Document::parse(&text, "".as_ref()).expect("YAML");
        let template = document.evaluate(&BTreeMap::new()).expect(auth);
        let api = template.websocket.expect("a WebSocket API");
        assert!(
            matches!(api.authorizer, Some(Authorizer::Deny(_))),
            "{auth}: {:?}",
            api.authorizer
        );
    }
}

#[test]
fn an_event_whose_route_or_api_is_not_known_is_named_and_not_served() {
    let event = |properties: &str| format!("  E: {{Type: HttpApi, Properties: {properties}}}");
    for (properties, why) in [
        (
            "{ApiId: !Ref Api, Path: !ImportValue p, Method: get}",
            "Path is not known",
        ),
        (
            "{ApiId: !Ref Api, Path: !Sub ['/${P}/a', {P: !ImportValue p}], Method: get}",
            "Path is not known",
        ),
        (
            "{ApiId: !Ref Api, Path: /a, Method: !ImportValue m}",
            "Method is not known",
        ),
        (
            "{ApiId: !ImportValue i, Path: /a, Method: get}",
            "ApiId is not known",
        ),
        (
            "{ApiId: !Ref Api, Path: [/a], Method: get}",
            "Path is no text",
        ),
        ("!ImportValue e", "Properties are not known"),
    ] {
        let template = http("        DefaultAuthorizer: J", &[&event(properties)]);
        let api = template.http.expect("an HTTP API");
        assert_eq!(api.api_id, "Api");
        assert!(api.routes.is_empty(), "{properties}: {:?}", api.routes);
        let is_it = |text: &String| text.contains("its event E: its") && text.contains(why);
        let notes = &template.not_served;
        assert!(notes.iter().any(is_it), "{why}: {notes:?}");
    }
}

#[test]
fn routes_of_a_websocket_api_that_are_not_known_are_not_open() {
    for (auth, routes, denied) in [
        ("", "!ImportValue r", true),
        (", Auth: {AuthType: AWS_IAM}", "!ImportValue r", true),
        ("", "{a: !ImportValue r}", false),
        (
            "",
            "{a: {FunctionArn: !ImportValue r, IntegrationTimeout: !ImportValue t}}",
            false,
        ),
        (
            ", Auth: {AuthType: AWS_IAM}",
            "{$connect: !ImportValue r}",
            false,
        ),
    ] {
        let text = format!(
            "Resources: {{Api: {{Type: AWS::Serverless::WebSocketApi, Properties: {{\
             RouteSelectionExpression: $request.body.a, StageName: !ImportValue s{auth}, Routes: {routes}}}}}}}"
        );
        let document = Document::parse(&text, "".as_ref()).expect("YAML");
        let template = document.evaluate(&BTreeMap::new()).expect(&text);
        let api = template.websocket.expect("a WebSocket API");
        assert_eq!(api.stage.name, "default");
        let expected = match (denied, auth) {
            (true, _) => "Some(Deny(\"its Routes are not known here\"))",
            (false, "") => "None",
            (false, _) => "Some(Iam)",
        };
        assert_eq!(format!("{:?}", api.authorizer), expected, "{text}");
    }
}
