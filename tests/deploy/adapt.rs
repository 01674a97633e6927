//! What the emulator does otherwise than AWS, and what is changed in the built template for it. All
//! else is deployed as it is.

use std::path::{Path, PathBuf};

use local_gateway::template::yaml::Node;
use serde_json::{Value, json};
use tests::ministack::MiniStack;
use tests::{sam, server};

/// What the functions are zipped from, each with its program in it.
const PROGRAM: &str = "bootstrap";

/// The built functions and the built template, in a folder of their own, ready for `sam deploy` to
/// an emulator; `release` is text that makes the code of each release another one.
pub async fn release(emulator: &MiniStack, release: &str) -> PathBuf {
    let built = sam::built().await;
    let text = std::fs::read_to_string(built.join("template.yaml")).expect("it is built");
    let mut template = Node::parse(&text).expect("it is YAML").to_json();
    adapt(&mut template, &emulator.url);

    let folder = server::scratch_folder().join(format!("release-{release}"));
    copy_functions(built, &folder, release).expect("the target folder is writable");
    // JSON is a form that CloudFormation takes as well.
    let path = folder.join("template.json");
    std::fs::write(&path, template.to_string()).expect("the target folder is writable");
    path
}

fn adapt(template: &mut Value, url: &str) {
    let resources = template["Resources"].as_object_mut().expect("a template");
    // It does not know the type and refuses the stack. It sends what a function returns to the
    // caller of any route, response or not.
    resources.retain(|_, resource| resource["Type"] != "AWS::ApiGatewayV2::RouteResponse");
    // It refuses alarms on more than one metric.
    resources.retain(|_, resource| {
        resource["Type"] != "AWS::CloudWatch::Alarm" || resource["Properties"]["Metrics"].is_null()
    });
    // Where no identity sources are named, it demands the header `Authorization`.
    resources["ChatApi"]["Properties"]["Auth"]["IdentitySource"] = json!([]);
    resources["HistoryAuthorizer"]["Properties"]["IdentitySource"] = json!([]);
    // The names of APIs in AWS lead to AWS: it serves them below its own address.
    let websocket_url = url.replace("http:", "ws:");
    for api in ["ChatApi", "HistoryApi"] {
        let name = format!("${{{api}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}");
        for (scheme, url) in [("https", url), ("wss", &websocket_url)] {
            let address = format!("{url}/_aws/execute-api/${{{api}}}");
            replace(template, &format!("{scheme}://{name}"), &address);
        }
    }
}

/// Replaces a part of all texts.
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
            // The kernel does not read what comes behind a program. Lambda does: it is other code.
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
