//! Functions that the gateway builds, or finds built.

use std::time::Duration;

use serde_json::json;
use tests::launch::Host;

use crate::project::{Project, RUST_FUNCTION, template};

/// Time limit of the builds of some small packages, on a busy machine.
const BUILD_TIMEOUT: Duration = Duration::from_secs(180);

/// Returns the manifest of a package with one binary.
fn manifest(package: &str, binary: &str) -> String {
    format!(
        "[package]\nname = \"{package}\"\nedition = \"2024\"\n\
         [[bin]]\nname = \"{binary}\"\npath = \"main.rs\"\n"
    )
}

/// Two packages have a binary of the same name, the code of a third function is the output folder of
/// `cargo lambda build`, which is not there yet, and the folder of a fourth one has no package.
#[tokio::test]
async fn functions_are_built_from_their_packages() {
    let functions = [
        ("One", "CodeUri: one"),
        ("Two", "CodeUri: two"),
        ("Output", "CodeUri: target/lambda/third/"),
        ("Missing", "CodeUri: /nowhere"),
    ];
    let mut text = template(&functions, &[]);
    for package in ["one", "two"] {
        let properties = format!("Properties: {{CodeUri: {package}}}");
        let named = format!("{properties}, Metadata: {{BuildProperties: {{Binary: bootstrap}}}}");
        text = text.replace(&properties, &named);
    }
    let source = |result: &str| RUST_FUNCTION.replace("RESULT", result);
    let project = Project::new(&[
        ("template.yaml", &text),
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\", \"three\"]\n",
        ),
        ("one/Cargo.toml", &manifest("one", "bootstrap")),
        ("one/main.rs", &source("1")),
        ("two/Cargo.toml", &manifest("two", "bootstrap")),
        ("two/main.rs", &source("2")),
        ("three/Cargo.toml", &manifest("three", "third")),
        ("three/main.rs", &source("3")),
    ]);
    // Twice: cargo builds nothing the second time.
    for _ in 0..2 {
        let launch = project.launch().host(Host::Built).timeout(BUILD_TIMEOUT);
        let gateway = launch.start().await.expect("it starts");
        for (function, result) in [("One", 1), ("Two", 2), ("Output", 3)] {
            assert_eq!(
                gateway.invoke(function, &json!({})).await,
                Ok(json!(result)),
                "{function}"
            );
        }
        let (_, log) = gateway.stop().await.expect("stopped");
        assert!(
            log.contains("Missing does not run: cannot run cargo in /nowhere"),
            "{log}"
        );
    }

    // The folder of a program that was built before, whatever its language, needs no package.
    let built = project.folder().join("target/debug/third");
    let done = Project::new(&[
        (
            "template.yaml",
            &template(&[("Done", "CodeUri: done, Handler: bootstrap")], &[]),
        ),
        ("done/README.md", ""),
    ]);
    std::fs::copy(built, done.folder().join("done/bootstrap")).expect("copied");
    let gateway = done
        .launch()
        .host(Host::Built)
        .start()
        .await
        .expect("it starts");
    assert_eq!(gateway.invoke("Done", &json!({})).await, Ok(json!(3)));
    gateway.stop().await.expect("stopped");
}
