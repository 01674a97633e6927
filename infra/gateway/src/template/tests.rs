//! Templates of other people's shapes.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Authorizer, Code, Runtime};

fn read(text: &str, parameters: &[(&str, &str)]) -> Template {
    let parameters = parameters.iter();
    let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let document = Document::parse(text, Path::new("/nowhere")).expect("YAML");
    document.evaluate(&parameters.collect()).expect(text)
}

#[test]
fn a_value_that_only_aws_knows_is_named_and_not_passed_on() {
    let text = "
Parameters:
  One: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /app/one}
  Many: {Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /app/many}
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: x
      Events: {E: {Type: HttpApi}}
      Environment:
        Variables:
          KNOWN: yes
          ONE: !Sub 'a/${One}'
          MANY: !Join [',', !Ref Many]
          SECRET: '{{resolve:secretsmanager:chat:SecretString:password}}'
          JOINED: !Join ['', ['{{resolve:ssm:/', !Ref AWS::StackName, '}}']]
          IMPORTED: !Sub ['https://${A}/x', {A: !ImportValue a}]
          LEVEL: !FindInMap [Nowhere, !Ref AWS::Region, Level]
          CHOSEN: !If [Unknown, a, b]
Conditions: {Unknown: !Equals [!Ref One, a]}
";
    let template = read(text, &[]);
    let environment = &template.functions["Fn"].environment;
    assert_eq!(environment.keys().collect::<Vec<_>>(), ["KNOWN"]);
    for expected in [
        "line 14: the value of parameter One, which is in SSM (--parameter One=VALUE sets it),",
        "line 15: the value of parameter Many",
        "line 16: {{resolve:secretsmanager:chat:SecretString:password}} is",
        "line 17: {{resolve:ssm:/ is",
        "line 18: Fn::ImportValue is",
        "line 19: FindInMap Nowhere.us-east-1.Level is",
        "line 21: the value of parameter One",
    ] {
        let named = template.not_served.iter();
        assert!(
            named.clone().any(|text| text.starts_with(expected)),
            "{expected}: {:?}",
            template.not_served
        );
    }
    let template = read(text, &[("One", "a"), ("Many", "b, c")]);
    let environment = &template.functions["Fn"].environment;
    let value = |name: &str| environment[name].as_str();
    assert_eq!(
        [value("ONE"), value("MANY"), value("CHOSEN")],
        ["a/a", "b,c", "a"]
    );
}

#[test]
fn a_function_of_cloudformation_or_the_cdk_has_its_code_in_the_forms_of_both() {
    let uri = "!Join ['', ['arn:', !Ref AWS::Partition, ':apigateway:', !Ref AWS::Region, \
               ':lambda:path/2015-03-31/functions/', !GetAtt Fn.Arn, /invocations]]";
    let folder = |name: &str| Some(Code::Folder(Path::new("/nowhere").join(name)));
    for (properties, metadata, code) in [
        ("Code: fn", "{}", folder("fn")),
        (
            "Code: {S3Bucket: b, S3Key: k}",
            "{'aws:asset:path': asset.1, 'aws:asset:property': Code}",
            folder("asset.1"),
        ),
        (
            "Code: {ZipFile: pass}, Runtime: python3.13, Handler: index.f",
            "{}",
            Some(Code::Inline("pass".to_owned())),
        ),
        ("Code: {S3Bucket: b, S3Key: k}", "{}", None),
        ("Code: {ImageUri: i}", "{}", None),
    ] {
        let text = format!(
            "Resources:
  Web: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: HTTP, Target: {uri}}}}}
  Fn: {{Type: AWS::Lambda::Function, Properties: {{FunctionName: fn-1, Role: r, {properties}}}, Metadata: {metadata}}}
  Version: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !Ref Fn}}}}
  Permission: {{Type: AWS::Lambda::Permission, Properties: {{FunctionName: !Ref Fn}}}}
  CDKMetadata: {{Type: AWS::CDK::Metadata}}
"
        );
        let template = read(&text, &[]);
        let function = template.functions.get("Fn");
        assert_eq!(
            function.map(|function| function.code.clone()),
            code,
            "{text}"
        );
        if let Some(function) = function {
            let api = template.http.expect("an HTTP API");
            assert_eq!(api.routes[0].function, "Fn");
            assert_eq!(function.function_name, "fn-1");
            assert_eq!(template.not_served, Vec::<String>::new());
        }
    }
}

#[test]
fn an_arn_written_by_hand_leads_to_the_function_of_its_name() {
    let text = "
Resources:
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP,
    Target: !Sub 'arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-hello:live'}}
  Hello: {Type: AWS::Serverless::Function, Properties: {CodeUri: x, FunctionName: !Sub '${AWS::StackName}-hello'}}
  local-hello: {Type: AWS::Serverless::Function, Properties: {CodeUri: x}}
"
    .replace("local-hello", "Other");
    let template = read(&text, &[]);
    assert_eq!(
        template.http.expect("an HTTP API").routes[0].function,
        "Hello"
    );
    assert!(matches!(
        template.functions["Hello"].runtime,
        Runtime::Provided { .. }
    ));
}

#[test]
fn a_nested_stack_is_served_with_its_template_if_that_is_on_this_machine() {
    let folder = std::env::temp_dir().join(format!("nested-{:016x}", fastrand::u64(..)));
    std::fs::create_dir_all(folder.join("inner")).expect("it is writable");
    let inner = "
Parameters: {Api: {Type: String}, Key: {Type: String}}
Resources:
  Send: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: !Ref Key, Target: !Sub 'integrations/${To}',
    ApiKeyRequired: true}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Fn.Arn}}
  Fn: {Type: AWS::Serverless::Function, Properties: {CodeUri: fn, Environment: {Variables: {Q: !Ref Queue}}}}
  Queue: {Type: AWS::SQS::Queue}
Outputs: {Function: {Value: !GetAtt Fn.Arn}}
";
    std::fs::write(folder.join("inner/routes.yaml"), inner).expect("it is writable");
    let text = "
Resources:
  Ws: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.a}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Ws, StageName: prod}}
  Routes: {Type: AWS::Serverless::Application, Properties: {Location: inner/routes.yaml, Parameters: {Api: !Ref Ws, Key: send}}}
  Ping: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Ws, RouteKey: ping, Target: !Sub 'integrations/${To}'}}
  To: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Ws, IntegrationType: AWS_PROXY,
    IntegrationUri: !GetAtt Routes.Outputs.Function}}
  Far: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://bucket.example/template.yaml'}}
  Missing: {Type: AWS::Serverless::Application, Properties: {Location: nowhere.yaml}}
";
    let document = Document::parse(text, &folder).expect("YAML");
    let template = document.evaluate(&BTreeMap::new()).expect("it is served");
    let api = template.websocket.expect("a WebSocket API");
    assert_eq!(api.routes["send"].function, "RoutesFn");
    assert_eq!(api.routes["ping"].function, "RoutesFn");
    let function = &template.functions["RoutesFn"];
    assert_eq!(function.code, Code::Folder(folder.join("inner/fn")));
    assert!(function.environment["Q"].ends_with("/RoutesQueue"));
    assert!(template.queues.contains_key("RoutesQueue"));
    let file = folder.join("inner/routes.yaml");
    let [nowhere, key, far, missing] = &template.not_served[..] else {
        panic!("{:?}", template.not_served);
    };
    assert!(
        far.ends_with("line 9: Far (AWS::CloudFormation::Stack)"),
        "{far}"
    );
    assert_eq!(missing, "line 10: Missing (AWS::Serverless::Application)");
    let expected = format!(
        "line 10: the template {}, which is no file, is not known here",
        folder.join("nowhere.yaml").display()
    );
    assert_eq!(nowhere, &expected);
    let expected = format!(
        "{}: line 5: Send (AWS::ApiGatewayV2::Route): its ApiKeyRequired",
        file.display()
    );
    assert_eq!(key, &expected);
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn a_function_gets_no_address_of_an_api_that_is_not_served() {
    let text = "
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: x
      Events: {E: {Type: HttpApi, Properties: {ApiId: !Ref Web}}}
      Environment:
        Variables:
          WEB: !Sub 'https://${Web}.execute-api.${AWS::Region}.amazonaws.com'
          OTHER: !GetAtt OtherWeb.ApiEndpoint
          REST: !Sub 'https://${Rest}.execute-api.${AWS::Region}.amazonaws.com/prod'
          ID: !Ref OtherWeb
  Web: {Type: AWS::Serverless::HttpApi}
  OtherWeb: {Type: AWS::Serverless::HttpApi}
  Rest: {Type: AWS::Serverless::Api, Properties: {StageName: prod}}
";
    let template = read(text, &[]);
    let environment = &template.functions["Fn"].environment;
    assert_eq!(environment.keys().collect::<Vec<_>>(), ["ID", "WEB"]);
    assert_eq!(
        template.not_served,
        [
            "line 12: the id of Rest (AWS::Serverless::Api) is not known here",
            "line 15: OtherWeb (AWS::ApiGatewayV2::Api): Fn does not get its variable OTHER, which has this API's \
             address",
            "line 15: OtherWeb (AWS::ApiGatewayV2::Api): only one API of a protocol is served",
            "line 16: Rest (AWS::Serverless::Api): REST APIs are not served: use AWS::Serverless::HttpApi",
        ]
    );
}

#[test]
fn a_parameter_without_a_good_value_is_named() {
    let without_default = "Parameters: {Name: {Type: String}}\n".to_owned();
    let error = try_read(&(without_default + &with_routes("{}"))).expect_err("no Name");
    assert!(format!("{error:#}").contains("parameter Name"), "{error:#}");
}

fn try_read(text: &str) -> Result<Template> {
    Document::parse(text, Path::new(""))?.evaluate(&BTreeMap::new())
}

/// Returns a template with a WebSocket API of these routes.
fn with_routes(routes: &str) -> String {
    format!(
        "Resources:\n  Api:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:\n      \
         RouteSelectionExpression: $request.body.action\n      Routes: {routes}\n"
    )
}

#[test]
fn a_broken_template_is_an_error_with_its_line() {
    let conditions = "Conditions: {A: !Condition B, B: !Condition A}\n";
    let mappings = "Mappings: {M: {a: {b: !FindInMap [M, a, b]}}}\nOutputs: x\n";
    for (text, expected) in [
        (with_routes("{ping: a-function}"), "line 2: Api"),
        (with_routes("[]"), "line 2: Api"),
        (with_routes("{ping: {FunctionArn: [1]}}"), "line 2: Api"),
        (
            with_routes("{}").replace("request.body", "context"),
            "line 2: Api",
        ),
        (with_routes("{}").replace("Api:", "A-p-i:"), "line 2: A-p-i"),
        (
            format!("{conditions}{}", with_routes("{}"))
                .replace("Type:", "Condition: A\n    Type:"),
            "line 3: Api",
        ),
        (
            format!("{mappings}{}", with_routes("!FindInMap [M, a, b]")),
            "line 4: Api",
        ),
        ("Resources: {Api: 7}".to_owned(), "nothing to serve"),
        ("Resources: 7".to_owned(), "nothing to serve"),
        ("- a".to_owned(), "no Resources"),
        (String::new(), "empty"),
    ] {
        let error = try_read(&text).expect_err(&text);
        let message = format!("{error:#}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn a_template_with_nothing_to_serve_is_an_error_that_names_what_is_not_served() {
    let function = |kind: &str, event: &str| {
        format!(
            "Resources:\n  Fn: {{Type: {kind}, Properties: {{CodeUri: x, Events: {{E: {event}}}}}}}\n"
        )
    };
    let sam = "AWS::Serverless::Function";
    for (text, expected) in [
        (
            function(sam, "{Type: Api, Properties: {Path: /, Method: get}}"),
            "line 2: Fn (AWS::Serverless::Function): its event E (Api): REST APIs are not served",
        ),
        (
            function("AWS::Serverless::Functoin", "{Type: HttpApi}"),
            "line 2: Fn (AWS::Serverless::Functoin)",
        ),
        (
            "Resources:\n  Rest: {Type: AWS::ApiGateway::RestApi}\n".to_owned(),
            "line 2: Rest (AWS::ApiGateway::RestApi): REST APIs are not served: use AWS::Serverless::HttpApi",
        ),
        (
            "Resources:\n  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !ImportValue a}}\n"
                .to_owned(),
            "line 2: Stage (AWS::ApiGatewayV2::Stage)",
        ),
    ] {
        let error = format!("{:#}", try_read(&text).expect_err(&text));
        let expected = format!("nothing to serve\n  not served here: {expected}");
        assert!(error.contains(&expected), "{expected}: {error}");
    }
}

/// An HTTP API of CloudFormation with these properties, and a route to a function with these of its integration.
fn with_http(api: &str, key: &str, integration: &str) -> String {
    format!(
        "Resources:
  Fn: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: x}}}}
  Web: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: HTTP, {api}}}}}
  Stage: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Web, StageName: $default}}}}
  Route: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Web, RouteKey: '{key}', Target: integrations/To}}}}
  To: {{Type: AWS::ApiGatewayV2::Integration, Properties: {{ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    IntegrationUri: !GetAtt Fn.Arn, {integration}}}}}
"
    )
}

#[test]
fn a_setting_that_aws_rejects_is_an_error_with_its_line() {
    for (text, line, expected) in [
        (
            with_http("CorsConfiguration: '*'", "GET /", ""),
            3,
            "CorsConfiguration is a map",
        ),
        (
            with_http(
                "CorsConfiguration: {AllowOrigins: 'https://a.example'}",
                "GET /",
                "",
            ),
            3,
            "AllowOrigins is a list",
        ),
        (
            with_http("CorsConfiguration: {MaxAge: 1h}", "GET /", ""),
            3,
            "MaxAge: \"1h\" is not a whole number",
        ),
        (
            with_http("", "* /v1", ""),
            5,
            "its method * is none of ANY, DELETE",
        ),
        (
            with_http("", "GET /", "PayloadFormatVersion: '3.0'"),
            6,
            "PayloadFormatVersion is 1.0 or 2.0, and not 3.0",
        ),
    ] {
        let error = format!("{:#}", try_read(&text).expect_err(&text));
        let line = format!("line {line}: ");
        assert!(
            error.contains(&line) && error.contains(expected),
            "{expected}: {error}"
        );
    }
}

#[test]
fn a_map_that_only_aws_knows_has_no_entries() {
    let text = "
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: x
      Environment: {Variables: !ImportValue variables}
      Events: {E: {Type: HttpApi, Properties: {ApiId: !Ref Web}}}
  Web:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageVariables: !ImportValue variables
      CorsConfiguration: {AllowOrigins: !ImportValue origins, MaxAge: !ImportValue age}
      DefaultRouteSettings: {ThrottlingRateLimit: !ImportValue rate}
";
    let template = read(text, &[]);
    assert!(template.functions["Fn"].environment.is_empty());
    let api = template.http.expect("an HTTP API");
    assert!(api.stage.variables.is_empty());
    assert_eq!(api.stage.default_throttle.map(|it| it.burst), None);
    let cors = api.cors.expect("rules");
    assert_eq!((cors.origins.len(), cors.max_age), (0, None));
    assert_eq!(template.not_served.len(), 4, "{:?}", template.not_served);
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let text = with_routes("{}")
        + "  Fn: {Type: AWS::Serverless::Function, Properties: {CodeUri: x, Environment: {Variables: {A: [1]}}}}\n";
    let template = try_read(&text).expect("the API is served");
    assert_eq!(
        template.not_served,
        ["line 7: Fn (AWS::Serverless::Function): its variable A: a single value is expected"]
    );
}

#[test]
fn entries_of_globals_that_sam_does_not_take_are_named() {
    let text = "Globals: {Foo: {A: b}, HttpApi: {Name: n}, SimpleTable: {SSESpecification: {}}}\n"
        .to_owned()
        + &with_routes("{}");
    let template = try_read(&text).expect("the API is served");
    assert_eq!(
        template.not_served,
        [
            "line 1: Globals.Foo: SAM does not take it",
            "line 1: Globals.HttpApi.Name: SAM does not take it",
        ]
    );
}

#[test]
fn a_function_that_cannot_run_is_named_and_the_rest_is_served() {
    let function = |id: &str, properties: &str| {
        format!("  {id}:\n    Type: AWS::Serverless::Function\n    Properties: {properties}\n")
    };
    let text = with_routes("{ping: {FunctionArn: !GetAtt Endless.Arn}}")
        + &function("Endless", "{CodeUri: x, Timeout: 9223372036854775807}")
        + &function("Script", "{CodeUri: x, Runtime: nodejs22.x, Handler: i.h}")
        + &function("Image", "{PackageType: Image, ImageUri: x}")
        + &function("Elsewhere", "{CodeUri: {Bucket: b, Key: k}}")
        + &function("Inline", "{InlineCode: x}")
        + &function("Old", "{CodeUri: x, Runtime: java21, Handler: a::b}")
        + &function(
            "Queued",
            "{CodeUri: x, Events: {Q: {Type: SQS, Properties: y}}}",
        );
    let template = try_read(&text).expect("the API is served");
    let ids: Vec<_> = template.functions.keys().collect();
    assert_eq!(ids, ["Queued", "Script"]);
    for (line, expected) in [
        (2, "leads to no function that runs here"),
        (7, "Timeout is from 1 to 900"),
        (13, "an image"),
        (16, "in S3"),
        (19, "InlineCode, which only Node and Python run"),
        (22, "its runtime java21"),
        (25, "its event Q (SQS)"),
    ] {
        let is_it =
            |text: &String| text.contains(&format!("line {line}: ")) && text.contains(expected);
        assert!(
            template.not_served.iter().any(is_it),
            "{:?}",
            template.not_served
        );
    }
}

#[test]
fn a_function_without_code_has_the_folder_of_the_template() {
    let text = "Resources: {Fn: {Type: AWS::Serverless::Function, Metadata: {BuildProperties: \
                {Binary: fn}}, Properties: {Events: {E: {Type: HttpApi}}}}}";
    let folder = std::env::temp_dir().canonicalize().expect("a folder");
    let template = Document::parse(text, &folder).expect("YAML");
    let template = template.evaluate(&BTreeMap::new()).expect("valid");
    let function = &template.functions["Fn"];
    assert_eq!(function.folder(), Some(folder.as_path()));
    assert_eq!(function.binary(), Some("fn"));
    assert_eq!(function.handler, "bootstrap");
}

#[test]
fn a_folder_that_is_not_there_is_absolute_too() {
    let text = with_routes("{}")
        + "  Fn: {Type: AWS::Serverless::Function, Properties: {CodeUri: target/lambda/fn/}}\n";
    let document = Document::parse(&text, Path::new("")).expect("a template");
    let template = document.evaluate(&BTreeMap::new()).expect("valid");
    let here = std::env::current_dir().expect("a folder");
    let folder = template.functions["Fn"].folder().expect("a folder");
    assert_eq!(folder, here.join("target/lambda/fn"));
    assert_eq!(template.functions["Fn"].binary(), Some("fn"));
}

#[test]
fn an_authorizer_applies_even_if_its_route_has_no_function() {
    let resource = |id: &str, kind: &str, properties: &str| {
        format!("  {id}:\n    Type: AWS::{kind}\n    Properties: {{{properties}}}\n")
    };
    let part = |id: &str, kind: &str, properties: &str| {
        let kind = format!("ApiGatewayV2::{kind}");
        resource(id, &kind, &format!("ApiId: !Ref Api, {properties}"))
    };
    let api = "ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action";
    let authorizer = "AuthorizerType: REQUEST, AuthorizerUri: !GetAtt Guard.Arn";
    let route = "RouteKey: $connect, AuthorizationType: CUSTOM, AuthorizerId: !Ref Authorizer, \
                 Target: integrations/Mock";
    let text = [
        "Resources:\n".to_owned(),
        resource("Api", "ApiGatewayV2::Api", api),
        resource("Guard", "Serverless::Function", "CodeUri: x"),
        part("Stage", "Stage", "StageName: prod"),
        part("Authorizer", "Authorizer", authorizer),
        part("Connect", "Route", route),
        part("Mock", "Integration", "IntegrationType: MOCK"),
    ];
    let websocket = try_read(&text.concat()).expect("valid").websocket;
    let websocket = websocket.expect("a WebSocket API");
    assert!(websocket.routes.is_empty());
    let Some(Authorizer::Lambda(authorizer)) = &websocket.authorizer else {
        panic!("{:?}", websocket.authorizer);
    };
    assert_eq!(authorizer.function, "Guard");
}
