//! The resources of the emulator, and the code of its functions.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::ministack::MiniStack;

/// Prints the names of all resources that the template can create, by the operation that lists
/// them.
const INVENTORY: &str = r#"
import boto3, json
kinds = [
    ('lambda', 'list_functions', 'Functions', 'FunctionName'),
    ('lambda', 'list_event_source_mappings', 'EventSourceMappings', 'UUID'),
    ('sqs', 'list_queues', 'QueueUrls', None),
    ('apigatewayv2', 'get_apis', 'Items', 'ApiId'),
    ('logs', 'describe_log_groups', 'logGroups', 'logGroupName'),
    ('iam', 'list_roles', 'Roles', 'RoleName'),
    ('cloudwatch', 'describe_alarms', 'MetricAlarms', 'AlarmName'),
    ('cloudwatch', 'list_dashboards', 'DashboardEntries', 'DashboardName'),
    ('cloudfront', 'list_distributions', 'DistributionList', 'Id'),
    ('cloudfront', 'list_functions', 'FunctionList', 'Name'),
]
found = {}
for service, operation, field, name in kinds:
    # Without queues there is no list of them.
    items = getattr(boto3.client(service), operation)().get(field, [])
    items = items.get('Items', []) if isinstance(items, dict) else items
    found[operation] = [item[name] if name else item for item in items]
print(json.dumps(found))
"#;

/// Returns the hash of each function's code.
pub async fn code(emulator: &MiniStack) -> BTreeMap<String, Value> {
    let response = emulator.aws(&["lambda", "list-functions"]).await;
    let functions = response["Functions"].as_array().expect("functions");
    let entry = |function: &Value| {
        let name = function["FunctionName"].as_str().expect("a name");
        (name.to_owned(), function["CodeSha256"].clone())
    };
    functions.iter().map(entry).collect()
}

/// Returns the names of all resources, by the operation that lists them.
pub async fn inventory(emulator: &MiniStack) -> BTreeMap<String, Vec<String>> {
    let found = emulator.python(INVENTORY).await;
    serde_json::from_value(found).expect("lists of names")
}
