//! SAM templates of `corpus`, read as they are and as the SAM translator expands them: both have to mean the same
//! functions, routes, integrations, authorizers, scopes, cross-origin rules, stages, variables, throttles, queues, their
//! consumers and schedules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use local_gateway::model::Template;
use local_gateway::template::Document;
use local_gateway::template::yaml::Node;
use serde_json::Value;
use tests::tools;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Timeout of the translator for all templates.
const TIMEOUT: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/corpus")
}

/// Returns the templates of the corpus, by their names.
fn corpus() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder()).expect("it is there");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let templates = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    templates
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&path).expect("it can be read");
            (name, Node::parse(&text).expect("YAML").to_json())
        })
        .collect()
}

/// Expands templates by the SAM translator.
async fn expanded(templates: Vec<Value>) -> Vec<Value> {
    let python = spawn_blocking(tools::translator_python)
        .await
        .expect("no panic");
    let mut translator = Command::new(python)
        .arg(folder().join("expand.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python runs");
    let mut input = translator.stdin.take().expect("a pipe");
    let templates = Value::Array(templates).to_string();
    input
        .write_all(templates.as_bytes())
        .await
        .expect("it reads");
    drop(input);
    let output = timeout(TIMEOUT, translator.wait_with_output()).await;
    let output = output
        .expect("the translator ends in time")
        .expect("an exit status");
    serde_json::from_slice(&output.stdout).expect("the translator writes JSON")
}

fn read(template: &Value) -> Template {
    let document = Document::parse(&template.to_string(), &folder()).expect("a template");
    document
        .evaluate(&BTreeMap::new())
        .expect("it can be served")
}

/// Returns the parts of a template that have to be equal, as text.
fn dump(mut template: Template) -> String {
    if let Some(api) = &mut template.http {
        api.routes.sort_by(|one, other| one.key.cmp(&other.key));
    }
    let Template {
        functions,
        websocket,
        http,
        queues,
        event_sources,
        schedules,
        ..
    } = template;
    format!(
        "{functions:#?}\n{websocket:#?}\n{http:#?}\n{queues:#?}\n{event_sources:#?}\n{schedules:#?}"
    )
}

/// Puts the code of functions, which the translator wants in S3, where the corpus has it.
fn with_local_code(mut template: Value) -> Value {
    let resources = template["Resources"].as_object_mut().expect("resources");
    for resource in resources.values_mut() {
        if resource["Type"] == "AWS::Lambda::Function" {
            resource["Properties"]["Code"] = ".".into();
        }
    }
    template
}

#[tokio::test]
async fn sam_is_read_as_its_translator_expands_it() {
    let corpus = corpus();
    let all = expanded(corpus.values().cloned().collect()).await;
    assert_eq!(all.len(), corpus.len());
    let mut different = Vec::new();
    for ((name, template), expanded) in corpus.iter().zip(all) {
        assert_eq!(expanded["error"], Value::Null, "{name}");
        let expanded = with_local_code(expanded);
        let (own, theirs) = (dump(read(template)), dump(read(&expanded)));
        if own != theirs {
            let mut lines = own.lines().zip(theirs.lines());
            let first = lines.find(|(own, theirs)| own != theirs);
            different.push(format!("{name}: {first:?}\n{own}\n--- expanded:\n{theirs}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
