//! Dependencies: the gateway has none of this repository, and tests change no features of the others.

use std::collections::{BTreeMap, BTreeSet};

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

/// Returns the features of each package that a build of the whole workspace compiles, of which `edges`
/// lists the kinds of dependencies.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = cargo()
        .args(["tree", "--workspace", "--locked", "--edges", edges])
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo resolves the workspace");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (package, features) in lines.lines().filter_map(|line| line.split_once('|')) {
        // A star marks a package whose own dependencies were listed before.
        let features = features.trim_end_matches(" (*)");
        let sets = found.entry(package.to_owned()).or_default();
        sets.insert(features.to_owned());
    }
    found
}

/// Else the tests, which build the functions they run, would compile the driver a second time.
#[test]
fn tests_and_programs_are_built_with_the_same_features() {
    let programs = features("normal,build");
    let tests = features("normal,build,dev");
    assert!(!programs.is_empty() && tests.len() > programs.len());
    for (package, features) in programs {
        assert_eq!(tests[&package], features, "{package}");
    }
}
