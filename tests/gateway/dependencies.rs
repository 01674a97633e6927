//! The packages that the gateway may depend on: none of this repository.

use std::collections::BTreeSet;

use local_gateway::process::cargo::cargo;
use serde_json::Value;

/// Returns the output of `cargo metadata` for the workspace.
fn metadata() -> Value {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo resolves the workspace");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the ids of the direct and indirect dependencies of the package `id`, including those of
/// its tests.
fn dependencies<'a>(metadata: &'a Value, id: &'a str) -> BTreeSet<&'a str> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a list");
    let mut found = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node["id"] == id).expect("a node");
        let direct = node["dependencies"].as_array().expect("a list");
        let direct = direct.iter().filter_map(Value::as_str);
        open.extend(direct.filter(|id| found.insert(*id)));
    }
    found
}

#[test]
fn local_gateway_depends_on_nothing_of_the_chat() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list");
    let named = |name: &str| packages.iter().find(|package| package["name"] == name);
    let id = |name: &str| named(name).and_then(|package| package["id"].as_str());
    let gateway = dependencies(
        &metadata,
        id("local-gateway").expect("a package of the workspace"),
    );
    let is_dependency = |package: &&Value| gateway.contains(package["id"].as_str().expect("an id"));
    let unwanted: Vec<&str> = packages
        .iter()
        .filter(is_dependency)
        // A package without a source is one of this repository.
        .filter(|package| {
            package["source"].is_null()
                || package["name"] == "mongodb"
                || package["name"] == "rquickjs"
        })
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert_eq!(unwanted, [""; 0]);
    // The same search finds the dependencies of `chat-local`.
    let local = dependencies(
        &metadata,
        id("chat-local").expect("a package of the workspace"),
    );
    for name in ["chat", "local-gateway", "mongodb", "rquickjs"] {
        assert!(local.contains(id(name).expect(name)), "{name}");
    }
}
