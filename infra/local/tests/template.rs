//! The chat's template, as the gateway reads it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use local_gateway::model::Template;
use local_gateway::template::Document;

/// Our template, with authorization off unless `parameters` say something else.
fn evaluate(parameters: &[(&str, &str)]) -> Result<Template> {
    let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let ours = Document::read(Path::new("../template.yaml")).expect("our template");
    let parameters = [("Auth", "open")].iter().chain(parameters);
    ours.evaluate(&parameters.map(pair).collect())
}

#[test]
fn our_template_is_served_whole() {
    let mut template = evaluate(&[("MongodbUri", "mongodb://db")]).expect("valid");
    assert_eq!(template.not_served, Vec::<String>::new());
    let websocket = template.websocket.as_ref().expect("a WebSocket API");
    let routes: Vec<_> = websocket.routes.keys().collect();
    assert_eq!(
        routes,
        [
            "$connect",
            "$default",
            "$disconnect",
            "createGroup",
            "deleteMessage",
            "editMessage",
            "invite",
            "leave",
            "mark",
            "ping",
            "removeMember",
            "rename",
            "sendMessage",
            "setRole",
            "typing"
        ]
    );
    for (key, route) in &websocket.routes {
        let is_one_way = key.starts_with('$') || ["mark", "typing"].contains(&key.as_str());
        let responds = !is_one_way;
        assert_eq!(route.two_way, responds, "{key}");
    }
    let http = template.http.as_ref().expect("an HTTP API");
    assert_eq!(http.routes[0].key, "GET /chat/history");
    let [migration] = template.custom_resources.as_slice() else {
        panic!("one custom resource");
    };
    assert_eq!(migration.function, "MigrateFunction");
    assert_eq!(migration.timeout, Duration::from_secs(960));
    template.set_addresses("127.0.0.1:1", "127.0.0.1:2");
    let send = &template.functions["SendMessageFunction"];
    assert_eq!(send.binary(), Some("send-message"));
    assert_eq!(send.timeout, Duration::from_secs(10));
    assert_eq!(send.environment["MONGODB_URI"], "mongodb://db");
    assert_eq!(
        send.environment["MANAGEMENT_ENDPOINT"],
        "http://127.0.0.1:1/prod"
    );
    let queue = &send.environment["DELIVERY_QUEUE_URL"];
    assert_eq!(queue, "http://127.0.0.1:1/123456789012/DeliveryQueue");
    let [source] = template.event_sources.as_slice() else {
        panic!("one event source");
    };
    let timeout = template.functions[&source.function].timeout;
    let queue = &template.queues[&source.queue];
    assert_eq!(source.function, "DeliverFunction");
    assert!(source.reports_failures && queue.redrive.is_some());
    assert_eq!(queue.visibility_timeout, timeout * 6, "as AWS advises");
    let authorizer = &template.functions["AuthorizerFunction"];
    assert_eq!(authorizer.environment.get("MONGODB_URI"), None);
}

#[test]
fn our_edge_is_named_as_not_served() {
    let with_edge = [("MongodbUri", "mongodb://db"), ("Edge", "cloudfront")];
    let template = evaluate(&with_edge).expect("valid");
    let named = template.not_served.join("\n");
    assert!(
        named.contains("EdgeDistribution (AWS::CloudFront::Distribution)")
            && named.contains("EdgeFunction (AWS::CloudFront::Function)")
            // The page connects to it.
            && named.contains("EdgeDistribution.DomainName is not known here"),
        "{named}"
    );
    assert_eq!(template.not_served.len(), 3, "{named}");
}

#[test]
fn a_parameter_takes_the_place_of_its_default() {
    let template = evaluate(&[
        ("MongodbUri", "mongodb://db"),
        ("ManagementEndpoint", "https://ws.example.com"),
        ("StageName", "beta"),
    ])
    .expect("valid");
    assert_eq!(
        template.websocket.expect("a WebSocket API").stage.name,
        "beta"
    );
    let connect = &template.functions["ConnectFunction"];
    assert_eq!(
        connect.environment["MANAGEMENT_ENDPOINT"],
        "https://ws.example.com"
    );
}

#[test]
fn a_parameter_with_a_wrong_value_is_named() {
    let wrong = [("MongodbUri", "mongodb://db"), ("LogLevel", "LOUD")];
    let error = evaluate(&wrong).expect_err("no such level");
    assert!(
        format!("{error:#}").contains("parameter LogLevel"),
        "{error:#}"
    );
}

#[test]
fn parameters_that_break_a_rule_are_rejected_with_the_text_of_the_rule() {
    let uri = ("MongodbUri", "mongodb://db");
    for (parameters, sentence) in [
        (
            &[][..],
            "Give MongodbSecretArn, or else MongodbUri, and not both",
        ),
        (
            &[uri, ("SubnetIds", "subnet-1, subnet-2")],
            "SubnetIds need SecurityGroupIds",
        ),
    ] {
        let error = evaluate(parameters).expect_err(sentence).to_string();
        assert!(
            error.starts_with("line ") && error.contains(sentence),
            "{error}"
        );
    }
    let error = evaluate(&[uri, ("Auth", "jwt")]).expect_err("no issuer");
    let said = error.to_string();
    for parameter in ["JwtIssuer", "JwtAudience", "JwtKeysUrl"] {
        assert!(
            said.contains(&format!("Auth=jwt needs {parameter}")),
            "{said}"
        );
    }
    let both = [
        uri,
        ("SubnetIds", "subnet-1"),
        ("SecurityGroupIds", "sg-1, sg-2"),
    ];
    evaluate(&both).expect("the rules hold");
}

#[test]
fn old_messages_are_removed_by_a_schedule_if_there_is_a_time_for_them() {
    let uri = ("MongodbUri", "mongodb://db");
    let forever = evaluate(&[uri]).expect("valid");
    assert!(forever.schedules.is_empty());
    assert!(!forever.functions.contains_key("RetentionFunction"));
    let template = evaluate(&[uri, ("RetentionDays", "365")]).expect("valid");
    assert_eq!(template.not_served, Vec::<String>::new());
    let daily = template.schedule("RetentionFunction").expect("a schedule");
    assert_eq!(
        (daily.id.as_str(), daily.is_enabled),
        ("RetentionFunctionDaily", true)
    );
    for function in [
        "RetentionFunction",
        "HistoryFunction",
        "ConversationsFunction",
    ] {
        let environment = &template.functions[function].environment;
        assert_eq!(environment["RETENTION_DAYS"], "365", "{function}");
    }
}
