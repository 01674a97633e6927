//! Where the code of functions in Node and Python comes from, and interpreters that are missing.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::project::{Project, template};

#[tokio::test]
async fn code_in_the_template_is_the_module_index() {
    let text = template(&[], &[]).replace(
        "  Chat:\n",
        "  Node:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: nodejs20.x\n      \
         Handler: index.handler\n      InlineCode: |\n        exports.handler = async () => 'of node';\n  \
         Python:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: python3.11\n      \
         Handler: index.handler\n      InlineCode: |\n        def handler(event, context):\n            \
         return 'of python'\n  Chat:\n",
    );
    let project = Project::new(&[("template.yaml", &text)]);
    let gateway = project.start().await;
    for (function, expected) in [("Node", "of node"), ("Python", "of python")] {
        assert_eq!(
            gateway.invoke(function, &json!({})).await,
            Ok(json!(expected))
        );
    }
    gateway.stop().await.expect("stopped");
}

const FUNCTIONS: [(&str, &str); 2] = [
    (
        "Node",
        "CodeUri: node, Runtime: nodejs20.x, Handler: app.handler",
    ),
    (
        "Python",
        "CodeUri: python, Runtime: python3.11, Handler: app.handler",
    ),
];

/// A function says which build its code is of, and which package it has found.
fn node(build: &str) -> String {
    format!("exports.handler = async () => ['{build}', require('a-package')];")
}

fn python(build: &str) -> String {
    format!("import a_package\ndef handler(event, context): return ['{build}', a_package.name]")
}

/// Returns a project that `sam build` has built.
fn built() -> Project {
    Project::new(&[
        ("template.yaml", &template(&FUNCTIONS, &[])),
        ("node/app.js", &node("source")),
        ("python/app.py", &python("source")),
        (".aws-sam/build/Node/app.js", &node("built")),
        (
            ".aws-sam/build/Node/node_modules/a-package/index.js",
            "module.exports = 'package';",
        ),
        (".aws-sam/build/Python/app.py", &python("built")),
        (".aws-sam/build/Python/a_package.py", "name = 'package'"),
        (".aws-sam/build/template.yaml", "{}"),
    ])
}

/// Sets the time of the last change of a file, in seconds from now.
fn change(project: &Project, path: &str, seconds: u64) {
    let file = std::fs::File::options()
        .append(true)
        .open(project.folder().join(path));
    let time = SystemTime::now() + Duration::from_secs(seconds);
    file.and_then(|file| file.set_modified(time))
        .expect("the file is ours");
}

#[tokio::test]
async fn a_build_of_sam_is_run_unless_the_sources_are_newer() {
    let project = built();
    for (newer, expected) in [
        (".aws-sam/build/template.yaml", "built"),
        ("node/app.js", "source"),
    ] {
        change(&project, newer, 10 + u64::from(expected == "source") * 10);
        change(
            &project,
            "python/app.py",
            u64::from(expected == "source") * 20,
        );
        let gateway = project.start().await;
        for function in ["Node", "Python"] {
            // Its packages are found in either case.
            let result = gateway.invoke(function, &json!({})).await;
            assert_eq!(result, Ok(json!([expected, "package"])), "{function}");
            let folder = match expected {
                "built" => format!(".aws-sam/build/{function}"),
                _ => function.to_lowercase(),
            };
            let folder = project
                .folder()
                .canonicalize()
                .expect("it is there")
                .join(folder);
            let told = format!("{function} runs from {}", folder.display());
            assert!(gateway.log().contains(&told), "{}", gateway.log());
        }
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn what_cannot_run_is_named_and_the_rest_is_served() {
    let functions = [
        (
            "Typed",
            "CodeUri: typed, Runtime: nodejs20.x, Handler: app.handler",
        ),
        (
            "Moved",
            "CodeUri: moved, Runtime: python3.11, Handler: app.handler",
        ),
        (
            "Layered",
            "CodeUri: fine, Runtime: nodejs20.x, Handler: app.handler, Layers: [a]",
        ),
        (
            "Future",
            "CodeUri: fine, Runtime: nodejs99.x, Handler: app.handler",
        ),
    ];
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        (
            "typed/app.ts",
            "export const handler = async (event: unknown) => event;",
        ),
        ("fine/app.js", "exports.handler = async () => 1;"),
    ]);
    let gateway = project.start().await;
    for function in ["Layered", "Future"] {
        assert_eq!(gateway.invoke(function, &json!({})).await, Ok(json!(1)));
    }
    let (_, log) = gateway.stop().await.expect("stopped");
    for expected in [
        "Typed does not run: its source is TypeScript: run `sam build`",
        "Moved does not run: there is no folder ",
        "line 6: Layered (AWS::Serverless::Function): its Layers",
        "functions for nodejs99 run on version ",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

#[tokio::test]
async fn an_interpreter_that_is_missing_is_named_with_what_to_install() {
    let project = Project::new(&[
        ("template.yaml", &template(&FUNCTIONS, &[])),
        ("node/app.js", "exports.handler = async () => 1;"),
        ("python/app.py", "def handler(event, context): return 1"),
    ]);
    let launch = project.launch().env("PATH", project.folder());
    let gateway = launch.start().await.expect("it starts");
    let (_, log) = gateway.stop().await.expect("stopped");
    for expected in [
        "Node does not run: it needs Node 20: install it (apt install nodejs npm",
        "Python does not run: it needs Python 3.11: install it (apt install python3",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}
