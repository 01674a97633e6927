//! Guards of routes that cannot be applied: nobody is let in, and the notes say why.

use std::collections::BTreeMap;

use crate::model::{Authorizer, HttpApi, Template};
use crate::template::Document;

/// Conditions that are not known here, and the start of the resources: functions and authorizers.
const START: &str = "
Parameters: {Env: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /app/env}}
Conditions: {IsProd: !Equals [!Ref Env, prod], NotProd: !Not [!Condition IsProd]}
Resources:
  Fn: {Type: AWS::Serverless::Function, Properties: {CodeUri: x}}
  Jwt: {Type: AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: Web, AuthorizerType: JWT,
    IdentitySource: [$request.header.Authorization], JwtConfiguration: {Audience: [a], Issuer: 'https://i.example'}}}
";

/// An HTTP API with a stage and an integration.
const HTTP: &str = "
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  WebStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Web, StageName: $default}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    IntegrationUri: !GetAtt Fn.Arn}}
";

/// The settings of a route that a token opens.
const JWT: &str = "AuthorizationType: JWT, AuthorizerId: !Ref Jwt";

fn read(resources: &str) -> Template {
    let text = format!("{START}{}", resources.trim_start_matches('\n'));
    let document = Document::parse(&text, "".as_ref()).expect("YAML");
    let template = document.evaluate(&BTreeMap::new());
    template.unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

/// Returns a route of the HTTP API, on a line of its own.
fn route(id: &str, condition: &str, key: &str, guard: &str) -> String {
    format!(
        "  {id}: {{{condition}Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Web, \
         RouteKey: '{key}', Target: !Sub 'integrations/${{To}}', {guard}}}}}\n"
    )
}

fn http(template: &Template) -> &HttpApi {
    template.http.as_ref().expect("an HTTP API")
}

fn is_denied(authorizer: Option<&Authorizer>) -> bool {
    matches!(authorizer, Some(Authorizer::Deny(_)))
}

/// Checks that a note of the template has these parts.
fn assert_noted(template: &Template, parts: &[&str]) {
    let has_all = |text: &String| parts.iter().all(|part| text.contains(part));
    let notes = &template.not_served;
    assert!(notes.iter().any(has_all), "{parts:?}: {notes:#?}");
}

#[test]
fn two_routes_for_the_same_requests_with_other_guards_let_nobody_in() {
    let (prod, other) = ("Condition: IsProd, ", "Condition: NotProd, ");
    for [first, second] in [
        [("", "GET /a", JWT), ("", "GET /a", "")],
        [("", "GET /a", ""), ("", "get /a", JWT)],
        [(prod, "GET /a", JWT), (other, "GET /a", "")],
        [(other, "GET /a", ""), (prod, "GET /a", JWT)],
        [("", "GET /{b}/{c+}", ""), ("", "GET /{x}/{y+}", JWT)],
        [
            ("", "$default", JWT),
            (
                "",
                "$default",
                "AuthorizationType: JWT, AuthorizerId: !Ref Jwt, AuthorizationScopes: [x]",
            ),
        ],
        [
            ("", "$default", "AuthorizationType: AWS_IAM"),
            ("", "$default", JWT),
        ],
    ] {
        let of = |id, (condition, key, guard)| route(id, condition, key, guard);
        let text = format!("{HTTP}{}{}", of("One", first), of("Two", second));
        let template = read(&text);
        let [served] = &http(&template).routes[..] else {
            panic!("{text}: {:?}", http(&template).routes);
        };
        assert!(is_denied(served.authorizer.as_ref()), "{text}: {served:?}");
        let parts = ["line 13: Two", "line 12: One", "nobody is let in"];
        assert_noted(&template, &parts);
    }
}

#[test]
fn of_two_routes_with_the_same_guard_the_first_is_served_and_the_other_is_named() {
    for guard in ["", JWT] {
        let (one, two) = (
            route("One", "", "GET /a", guard),
            route("Two", "", "GET /a", guard),
        );
        let template = read(&format!("{HTTP}{one}{two}"));
        let [served] = &http(&template).routes[..] else {
            panic!("{:?}", http(&template).routes);
        };
        assert!(!is_denied(served.authorizer.as_ref()), "{served:?}");
        assert_eq!(served.authorizer.is_some(), guard == JWT);
        assert_noted(&template, &["line 13: Two", "line 12: One"]);
    }
}

#[test]
fn two_connect_routes_with_other_guards_let_nobody_in() {
    let connect = |id: &str, guard: &str| {
        format!(
            "  {id}: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Ws, \
             RouteKey: $connect, {guard}}}}}\n"
        )
    };
    let iam = "AuthorizationType: AWS_IAM";
    for (guards, denied) in [(["", iam], true), ([iam, ""], true), ([iam, iam], false)] {
        let [one, two] = guards;
        let template = read(&format!(
            "
  Ws: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.a}}}}
  Stage: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Ws, StageName: prod}}}}
{}{}",
            connect("One", one),
            connect("Two", two)
        ));
        let api = template.websocket.as_ref().expect("a WebSocket API");
        assert_eq!(is_denied(api.authorizer.as_ref()), denied, "{guards:?}");
        assert_noted(&template, &["line 11: Two", "line 10: One"]);
    }
}

#[test]
fn two_events_for_one_route_with_other_guards_let_nobody_in() {
    let defined = "{paths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: !GetAtt Fn.Arn}}}}}";
    let events = |one: &str, two: &str| {
        let event = |name: &str, auth: &str| {
            format!(
                "{name}: {{Type: HttpApi, Properties: {{ApiId: !Ref Api, Path: /a, Method: get{auth}}}}}"
            )
        };
        format!("{{{}, {}}}", event("A", one), event("B", two))
    };
    let (open, guarded) = ("", ", Auth: {Authorizer: AWS_IAM}");
    for definition in [String::new(), format!(", DefinitionBody: {defined}")] {
        for [one, two] in [[open, guarded], [guarded, open]] {
            let template = read(&format!(
                "
  Api: {{Type: AWS::Serverless::HttpApi, Properties: {{StageName: $default{definition}}}}}
  Hello: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: x, Events: {}}}}}
",
                events(one, two)
            ));
            let [served] = &http(&template).routes[..] else {
                panic!("{:?}", http(&template).routes);
            };
            let authorizer = served.authorizer.as_ref();
            assert!(
                is_denied(authorizer),
                "{definition} {one} {two}: {served:?}"
            );
            assert_noted(&template, &["nobody is let in", "takes the same requests"]);
        }
    }
}

#[test]
fn of_two_apis_the_one_that_is_known_to_be_there_is_served_and_else_nobody_is_let_in() {
    let api = |id: &str, condition: &str| {
        format!(
            "  {id}: {{{condition}Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: HTTP, \
             Target: !GetAtt Fn.Arn}}}}\n"
        )
    };
    let prod = "Condition: IsProd, ";
    let template = read(&(api("One", prod) + &api("Two", "")));
    assert_eq!(http(&template).api_id, "Two");
    assert_eq!(http(&template).routes[0].authorizer, None);
    let template = read(&(api("One", prod) + &api("Two", "Condition: NotProd, ")));
    assert!(is_denied(http(&template).routes[0].authorizer.as_ref()));
    assert_noted(
        &template,
        &["AWS has this API or line 9: Two", "nobody is let in"],
    );
    let template = read(&api("One", prod));
    assert_eq!(http(&template).routes[0].authorizer, None);
    let without = "  None: {Condition: IsProd, Type: AWS::ApiGatewayV2::Api, Properties: [x]}\n";
    let template = read(&(without.to_owned() + &api("Two", prod)));
    assert_noted(
        &template,
        &["None (AWS::ApiGatewayV2::Api): it has no stage"],
    );
}

#[test]
fn overrides_whose_guard_cannot_be_applied_let_nobody_in() {
    let target = "
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, Target: !GetAtt Fn.Arn}}
";
    let overrides = |id: &str, settings: &str| {
        format!(
            "  {id}: {{Type: AWS::ApiGatewayV2::ApiGatewayManagedOverrides, Properties: {{ApiId: !Ref Web, {settings}}}}}\n"
        )
    };
    let guarded = format!("Route: {{{JWT}}}");
    let other = format!("Route: !If [IsProd, {{{JWT}}}, {{}}]");
    let to = format!("{HTTP}{}", route("R", "", "$default", ""));
    for (api, one, two, denied) in [
        (target, &*guarded, "", false),
        (target, &*guarded, &*guarded, false),
        (target, &*guarded, "Stage: {StageVariables: {a: b}}", false),
        (target, "Stage: {StageVariables: {a: b}}", &*guarded, false),
        (target, &*other, "", true),
        (target, "Route: JWT", "", true),
        (target, "Route: [JWT]", "", true),
        (target, &*guarded, "Route: {AuthorizationType: NONE}", true),
        (target, "Route: {AuthorizationType: NONE}", &*guarded, true),
        (&*to, &*guarded, "", true),
        (&*to, &*other, "", true),
    ] {
        let template = read(&(api.to_owned() + &overrides("One", one) + &overrides("Two", two)));
        let authorizer = &http(&template).routes[0].authorizer;
        assert!(authorizer.is_some(), "{one} {two}");
        assert_eq!(is_denied(authorizer.as_ref()), denied, "{one} {two}");
        if denied {
            assert_noted(&template, &["nobody is let in"]);
        }
    }
    let template = read(&(to + &overrides("One", "Stage: {StageVariables: {a: b}}")));
    assert_eq!(http(&template).routes[0].authorizer, None);
    assert_noted(&template, &["line 13: One", "its API has no Target"]);
}

#[test]
fn a_property_that_looks_like_a_guard_and_is_none_lets_nobody_in() {
    for guard in [
        "AuthorisationType: JWT",
        "authorizationType: JWT",
        "Authorizer: !Ref Jwt",
        "Auth: {Authorizer: J}",
    ] {
        let template = read(&format!("{HTTP}{}", route("R", "", "GET /a", guard)));
        let authorizer = &http(&template).routes[0].authorizer;
        assert!(is_denied(authorizer.as_ref()), "{guard}: {authorizer:?}");
        assert_noted(&template, &["line 12: R", "nobody is let in"]);
        let api = HTTP.replace("{ProtocolType", &format!("{{{guard}, ProtocolType"));
        let template = read(&format!("{api}{}", route("R", "", "GET /a", "")));
        let authorizer = &http(&template).routes[0].authorizer;
        assert!(is_denied(authorizer.as_ref()), "{guard}: {authorizer:?}");
    }
}

#[test]
fn settings_that_are_not_known_have_their_defaults_and_the_rest_is_served() {
    let template = read(
        "
  Named: {Type: AWS::Serverless::Function, Properties: {CodeUri: x, FunctionName: !Ref Env, Timeout: !Ref Env, MemorySize: !Ref Env}}
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  WebStage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Web, StageName: !Ref Env,
    StageVariables: {A: !Ref Env, B: 1}, DefaultRouteSettings: {ThrottlingRateLimit: !Ref Env, ThrottlingBurstLimit: 7},
    RouteSettings: !ImportValue r}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    IntegrationUri: !GetAtt Named.Arn, TimeoutInMillis: !Ref Env}}
  R: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: GET /a, Target: !Sub 'integrations/${To}'}}
  Unknown: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Web, RouteKey: !Ref Env, Target: !Sub 'integrations/${To}'}}
",
    );
    let api = http(&template);
    let [route] = &api.routes[..] else {
        panic!("{:?}", api.routes);
    };
    assert_eq!((&*route.function, route.timeout.as_secs()), ("Named", 30));
    assert_eq!(api.stage.name, "$default");
    assert_eq!(
        api.stage.variables,
        BTreeMap::from([("B".to_owned(), "1".to_owned())])
    );
    let throttle = api.stage.default_throttle.expect("a limit");
    assert_eq!((throttle.rate, throttle.burst), (10_000.0, 7.0));
    let function = &template.functions["Named"];
    assert_eq!(function.function_name, "Named");
    assert_eq!((function.timeout.as_secs(), function.memory_mb), (3, 128));
    assert_noted(
        &template,
        &[
            "WebStage",
            "its StageName is not known here: it is $default",
        ],
    );
    assert_noted(
        &template,
        &["Unknown (AWS::ApiGatewayV2::Route): its RouteKey is not known here"],
    );
}

#[test]
fn a_guarded_websocket_route_whose_key_is_not_known_may_be_that_of_connect() {
    for (guard, denied) in [
        ("AuthorizationType: AWS_IAM", true),
        ("AuthorizationType: NONE", false),
    ] {
        let template = read(&format!(
            "
  Ws: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.a}}}}
  Stage: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Ws, StageName: prod}}}}
  Any: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Ws, RouteKey: !Ref Env, {guard}}}}}
"
        ));
        let api = template.websocket.as_ref().expect("a WebSocket API");
        assert_eq!(is_denied(api.authorizer.as_ref()), denied, "{guard}");
    }
}
