//! Functions in Node and Python are restarted when their sources change, with `--watch`.

use serde_json::json;
use tests::until;

use crate::project::{Project, template};

#[tokio::test]
async fn a_change_of_the_sources_restarts_a_function_after_its_event() {
    let node = |result: u8| {
        format!(
            "exports.handler = async ({{ms = 0}}) => {{
               await new Promise((resolve) => setTimeout(resolve, ms));
               return {result};
             }};"
        )
    };
    let python = |result: u8| format!("def handler(event, context): return {result}");
    let functions = [
        (
            "Node",
            "CodeUri: node, Runtime: nodejs20.x, Handler: app.handler",
        ),
        (
            "Python",
            "CodeUri: python, Runtime: python3.11, Handler: app.handler",
        ),
    ];
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("node/app.js", &node(1)),
        ("python/app.py", &python(1)),
    ]);
    let launch = project.launch().watch_scripts();
    let gateway = launch.start().await.expect("it starts");
    let invoke = async |function: &str| gateway.invoke(function, &json!({})).await;
    for function in ["Node", "Python"] {
        assert_eq!(invoke(function).await, Ok(json!(1)));
    }
    let long = json!({"ms": 2_000});
    let old = gateway.invoke("Node", &long);
    let changed = async {
        project.write("node/app.js", &node(2));
        project.write("python/app.py", &python(2));
        for function in ["Node", "Python"] {
            until(async || invoke(function).await == Ok(json!(2))).await;
        }
    };
    let (old, ()) = tokio::join!(old, changed);
    assert_eq!(
        old,
        Ok(json!(1)),
        "an event ends in the process that has it"
    );
    let (_, log) = gateway.stop().await.expect("stopped");
    for function in ["Node", "Python"] {
        let told = format!("{function} is restarted: its sources have changed");
        assert_eq!(log.matches(&told).count(), 1, "{log}");
        assert!(!log.contains(&format!("{function} ended")), "{log}");
    }
}
