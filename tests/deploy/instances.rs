//! `send-message` on Lambda Managed Instances, which the parameter `CapacityProviderArn` asks for. No
//! emulator runs them: these tests read the template.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use local_gateway::model::Template;
use local_gateway::template::Document;
use local_gateway::template::yaml::Node;
use serde_json::Value;
use tests::launch::TEMPLATE;

const CAPACITY_PROVIDER: (&str, &str) = (
    "CapacityProviderArn",
    "arn:aws:lambda:us-east-1:123456789012:capacity-provider:chat",
);

const SEND_MESSAGE: &str = "SendMessageFunction";
const MANAGED: &str = "ManagedSendMessageFunction";

/// Evaluates the template with `parameters` beside those that it requires.
fn evaluate(parameters: &[(&str, &str)]) -> Result<Template> {
    let required = [("Auth", "open"), ("MongodbUri", "mongodb://db")];
    let parameters: BTreeMap<String, String> = required
        .iter()
        .chain(parameters)
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    Document::read(Path::new(TEMPLATE))?.evaluate(&parameters)
}

/// Returns the functions that serve frames.
fn frame_functions(template: &Template) -> BTreeSet<&str> {
    let routes = &template.websocket.as_ref().expect("a WebSocket API").routes;
    routes
        .iter()
        .filter(|(key, _)| !["$connect", "$disconnect"].contains(&key.as_str()))
        .map(|(_, route)| route.function.as_str())
        .collect()
}

#[test]
fn a_capacity_provider_serves_every_frame() {
    let by_default = evaluate(&[]).expect("valid");
    assert_eq!(frame_functions(&by_default), BTreeSet::from([SEND_MESSAGE]));
    assert!(!by_default.functions.contains_key(MANAGED));

    let managed = evaluate(&[CAPACITY_PROVIDER, ("EventsPerEnvironment", "64")]).expect("valid");
    assert_eq!(frame_functions(&managed), BTreeSet::from([MANAGED]));
    assert!(!managed.functions.contains_key(SEND_MESSAGE));
    assert_eq!(managed.functions[MANAGED].binary(), Some("send-message"));
}

#[test]
fn events_per_environment_need_a_capacity_provider() {
    let error = evaluate(&[("EventsPerEnvironment", "64")]).expect_err("there is none");
    let sentence = "EventsPerEnvironment needs CapacityProviderArn";
    assert!(format!("{error:#}").contains(sentence), "{error:#}");
}

#[test]
fn both_send_message_functions_have_the_same_code_environment_and_rights() {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let template = Node::parse(&text).expect("it is YAML").to_json();
    let function = |id: &str, own: &[&str]| -> (Value, Value) {
        let mut function = template["Resources"][id].clone();
        let properties = function["Properties"].as_object_mut().expect("properties");
        for name in own {
            assert!(properties.remove(*name).is_some(), "{id} has a {name}");
        }
        (function["Metadata"].take(), function["Properties"].take())
    };
    let managed = [
        "CapacityProviderConfig",
        "MemorySize",
        "PublishToLatestPublished",
        "ReservedConcurrentExecutions",
    ];
    assert_eq!(
        function(SEND_MESSAGE, &["VpcConfig"]),
        function(MANAGED, &managed)
    );
}
