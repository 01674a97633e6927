use serde_json::json;

use super::*;
use crate::model::Template;
use crate::template::Document;

/// Reads a template with an API, the function `F` (of 20 seconds) and further resources.
fn read(resources: &Value) -> Result<Template> {
    let mut all = json!({
        "Api": {"Type": "AWS::Serverless::WebSocketApi", "Properties": {
            "RouteSelectionExpression": "$request.body.action", "Routes": {}}},
        "F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "x", "Timeout": 20}},
    });
    for (id, resource) in resources.as_object().into_iter().flatten() {
        all[id] = resource.clone();
    }
    let text = json!({"Resources": all}).to_string();
    Document::parse(&text, "".as_ref())?.evaluate(&BTreeMap::new())
}

fn queue(properties: Value) -> Value {
    json!({"Type": "AWS::SQS::Queue", "Properties": properties})
}

fn source(properties: Value) -> Value {
    let mut all = json!({
        "EventSourceArn": {"Fn::GetAtt": ["Q", "Arn"]},
        "FunctionName": {"Ref": "F"},
    });
    for (name, value) in properties.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    json!({"Type": "AWS::Lambda::EventSourceMapping", "Properties": all})
}

#[test]
fn a_queue_has_the_defaults_of_sqs() {
    let template = read(&json!({"Q": {"Type": "AWS::SQS::Queue"}})).expect("valid");
    let queue = Queue {
        name: "Q".to_owned(),
        visibility_timeout: Duration::from_secs(30),
        delay: Duration::ZERO,
        receive_wait: Duration::ZERO,
        retention: Duration::from_secs(345_600),
        max_message_bytes: 1_048_576,
        redrive: None,
    };
    assert_eq!(template.queues["Q"], queue);
}

#[test]
fn a_redrive_policy_is_a_map_or_a_text() {
    let arn = json!({"Fn::GetAtt": ["Dead", "Arn"]});
    let text = json!({"Fn::Sub":
        "{\"deadLetterTargetArn\": \"${Dead.Arn}\", \"maxReceiveCount\": \"3\"}"});
    for policy in [
        json!({"deadLetterTargetArn": arn, "maxReceiveCount": 3}),
        text,
    ] {
        let resources = json!({
            "Q": queue(json!({"RedrivePolicy": policy})),
            "Dead": queue(json!({"QueueName": "dead-letters"})),
        });
        let template = read(&resources).expect("valid");
        let redrive = Redrive {
            dead_letter_queue: "dead-letters".to_owned(),
            max_receive_count: 3,
        };
        assert_eq!(template.queues["Q"].redrive, Some(redrive), "{policy}");
    }
}

#[test]
fn an_event_of_a_function_and_a_mapping_are_the_same() {
    let settings = json!({
        "BatchSize": 50,
        "MaximumBatchingWindowInSeconds": 2,
        "ScalingConfig": {"MaximumConcurrency": "7"},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    let mut event = settings.clone();
    event["Queue"] = json!({"Fn::GetAtt": ["Q", "Arn"]});
    let function = json!({"Type": "AWS::Serverless::Function", "Properties": {
        "CodeUri": "x", "Timeout": 20,
        "Events": {"Sent": {"Type": "SQS", "Properties": event}}}});
    let expected = EventSource {
        queue: "Q".to_owned(),
        function: "F".to_owned(),
        batch_size: 50,
        batching_window: Duration::from_secs(2),
        max_concurrency: Some(7),
        reports_failures: true,
    };
    for resources in [
        json!({"Q": queue(json!({})), "F": function}),
        json!({"Q": queue(json!({})), "Source": source(settings)}),
    ] {
        let template = read(&resources).expect("valid");
        assert_eq!(template.event_sources, std::slice::from_ref(&expected));
        assert!(template.not_served.is_empty(), "{:?}", template.not_served);
    }
    let off = json!({"Q": queue(json!({})), "Source": source(json!({"Enabled": "false"}))});
    assert_eq!(read(&off).expect("valid").event_sources, []);
}

#[test]
fn what_a_deployment_rejects_is_an_error() {
    let of_source = |queue_settings: Value, settings: Value| json!({"Q": queue(queue_settings), "Source": source(settings)});
    let of_queue = |settings: Value| json!({"Q": queue(settings)});
    for (resources, expected) in [
        (
            of_source(json!({"VisibilityTimeout": 19}), json!({})),
            "the VisibilityTimeout of Q (19 seconds) is less than the Timeout of F (20 seconds)",
        ),
        (
            of_source(json!({}), json!({"BatchSize": 11})),
            "BatchSize is above 10",
        ),
        (
            of_source(json!({}), json!({"BatchSize": 0})),
            "BatchSize is from 1 to 10000",
        ),
        (
            of_source(json!({}), json!({"MaximumBatchingWindowInSeconds": 301})),
            "MaximumBatchingWindowInSeconds is from 0 to 300",
        ),
        (
            of_source(
                json!({}),
                json!({"ScalingConfig": {"MaximumConcurrency": 1}}),
            ),
            "MaximumConcurrency is from 2 to 1000",
        ),
        (
            of_queue(json!({"VisibilityTimeout": 43_201})),
            "VisibilityTimeout is from 0",
        ),
        (
            of_queue(json!({"DelaySeconds": "901"})),
            "DelaySeconds is from 0 to 900",
        ),
        (
            of_queue(json!({"QueueName": "a b"})),
            "QueueName is up to 80",
        ),
        (
            of_queue(json!({"RedrivePolicy": {}})),
            "deadLetterTargetArn is missing",
        ),
        (
            json!({"Q": queue(json!({"QueueName": "a"})), "R": queue(json!({"QueueName": "a"}))}),
            "another queue has its QueueName",
        ),
    ] {
        let error = format!("{:#}", read(&resources).expect_err(expected));
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("line 1: "), "{error}");
    }
}

#[test]
fn what_is_not_served_is_named() {
    let elsewhere = "arn:aws:sqs:eu-west-1:210987654321:dead";
    let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/s";
    let resources = json!({
        "Ordered": queue(json!({"FifoQueue": true, "QueueName": "a.fifo"})),
        "Q": queue(json!({"RedrivePolicy":
            {"deadLetterTargetArn": elsewhere, "maxReceiveCount": 1}})),
        "Filtered": source(json!({"FilterCriteria": {"Filters": []}})),
        "Streamed": source(json!({"EventSourceArn": stream})),
        "Lost": source(json!({"FunctionName": "nobody"})),
        "Rights": {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": [{"Ref": "Q"}]}},
    });
    let template = read(&resources).expect("the rest is served");
    assert_eq!(template.queues.keys().collect::<Vec<_>>(), ["Q"]);
    assert_eq!(template.event_sources.len(), 1);
    let mut named = template.not_served.clone();
    named.sort();
    let expected = [
        "line 1: Filtered (AWS::Lambda::EventSourceMapping): its FilterCriteria",
        "line 1: Lost (AWS::Lambda::EventSourceMapping): its function is not served",
        "line 1: Ordered (AWS::SQS::Queue): only standard queues are served, and not FIFO queues",
        "line 1: Q (AWS::SQS::Queue): its RedrivePolicy: no dead-letter queue is served",
        "line 1: Streamed (AWS::Lambda::EventSourceMapping): its source is no queue that is served",
    ];
    assert_eq!(named, expected);
}

#[test]
fn functions_get_the_address_of_the_queues() {
    let function = json!({"Type": "AWS::Serverless::Function", "Properties": {
        "CodeUri": "x", "Environment": {"Variables": {"QUEUE": {"Ref": "Q"}}}}});
    let mut template = read(&json!({"Q": queue(json!({})), "F": function})).expect("valid");
    template.set_addresses("127.0.0.1:3001", "");
    let environment = &template.functions["F"].environment;
    assert_eq!(environment["QUEUE"], "http://127.0.0.1:3001/123456789012/Q");
    assert_eq!(environment["AWS_ENDPOINT_URL_SQS"], "http://127.0.0.1:3001");
}
