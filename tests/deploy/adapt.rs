//! Changes to the built template, where the emulator differs from AWS. Everything else is deployed
//! unchanged.

use std::path::{Path, PathBuf};

use local_gateway::template::yaml::Node;
use serde_json::{Value, json};
use tests::ministack::MiniStack;
use tests::{sam, server};

/// The file name of a function's program in its folder.
const PROGRAM: &str = "bootstrap";

/// Copies the built functions and the adapted template into a new folder, for `sam deploy` to the
/// emulator. Returns the path of the template. `release` is appended to the code of each function,
/// so that the code of each release differs.
pub async fn release(emulator: &MiniStack, release: &str) -> PathBuf {
    let built = sam::built().await;
    let text = std::fs::read_to_string(built.join("template.yaml")).expect("the template is built");
    let mut template = Node::parse(&text).expect("the template is YAML").to_json();
    adapt(&mut template, &emulator.url);

    let folder = server::scratch_folder().join(format!("release-{release}"));
    copy_functions(built, &folder, release).expect("the target folder is writable");
    // CloudFormation accepts JSON, too.
    let path = folder.join("template.json");
    std::fs::write(&path, template.to_string()).expect("the target folder is writable");
    path
}

fn adapt(template: &mut Value, url: &str) {
    let resources = template["Resources"].as_object_mut().expect("a template");
    // The emulator does not know this type and rejects the stack. It sends the result of a function
    // to the client on every route.
    resources.retain(|_, resource| resource["Type"] != "AWS::ApiGatewayV2::RouteResponse");
    // The emulator rejects alarms on more than one metric.
    resources.retain(|_, resource| {
        resource["Type"] != "AWS::CloudWatch::Alarm" || resource["Properties"]["Metrics"].is_null()
    });
    // Without a list of identity sources, the emulator requires the header `Authorization`.
    resources["ChatApi"]["Properties"]["Auth"]["IdentitySource"] = json!([]);
    resources["HistoryAuthorizer"]["Properties"]["IdentitySource"] = json!([]);
    // The emulator takes the value of a parameter for text, and then polls no queue.
    resources["DeliverySource"]["Properties"]["ScalingConfig"]["MaximumConcurrency"] = json!(2);
    // The host names of APIs lead to AWS. The emulator serves the APIs below its own address.
    let websocket_url = url.replace("http:", "ws:");
    for api in ["ChatApi", "HistoryApi"] {
        let name = format!("${{{api}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}");
        for (scheme, url) in [("https", url), ("wss", &websocket_url)] {
            let address = format!("{url}/_aws/execute-api/${{{api}}}");
            replace(template, &format!("{scheme}://{name}"), &address);
        }
    }
}

/// Replaces `part` in all strings of a JSON value.
fn replace(value: &mut Value, part: &str, by: &str) {
    match value {
        Value::String(text) => *text = text.replace(part, by),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, part, by)),
        Value::Object(entries) => entries.values_mut().for_each(|it| replace(it, part, by)),
        _ => {}
    }
}

fn copy_functions(built: &Path, folder: &Path, release: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(built)? {
        let function = entry?;
        let source = function.path().join(PROGRAM);
        if source.is_file() {
            let target = folder.join(function.file_name());
            std::fs::create_dir_all(&target)?;
            std::fs::copy(source, target.join(PROGRAM))?;
            // The kernel ignores bytes after a program. For Lambda, they change the code.
            append(&target.join(PROGRAM), release)?;
        }
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::options().append(true).open(path)?;
    file.write_all(text.as_bytes())
}
