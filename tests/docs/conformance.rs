//! The table of the gateway's behaviour: a row for each test of tests/conformance, which is the first
//! paragraph of its doc comment and its name.

use crate::{generated, read};

/// A test and its doc comment.
#[derive(Debug, PartialEq)]
struct Test {
    name: String,
    doc: String,
}

#[test]
fn the_readme_of_the_gateway_lists_every_conformance_test() {
    let mut content = String::new();
    let mut count = 0;
    for module in modules(&read("tests/conformance/main.rs")) {
        let source = read(&format!("tests/conformance/{module}.rs"));
        let tests = tests(&source);
        let attributes = source.lines().filter(|line| is_test_attribute(line));
        assert_eq!(
            tests.len(),
            attributes.count(),
            "tests that were read from {module}.rs"
        );
        if tests.is_empty() {
            continue;
        }
        count += tests.len();
        let title = first_paragraph(source.lines(), "//!");
        let title = title.split(". ").next().unwrap_or(&title);
        content += &format!("\n### {title}\n\n| behaviour | test in `{module}` |\n|---|---|\n");
        for Test { name, doc } in tests {
            assert!(
                !doc.is_empty(),
                "{module}::{name} has no doc comment that says what it shows"
            );
            content += &format!("| {} | `{name}` |\n", doc.replace('|', "\\|"));
        }
    }
    assert!(count > 100, "only {count} tests found");
    content += "\n";
    generated::check("infra/gateway/README.md", "conformance", &content);
}

/// Returns the modules of a `main.rs` in their order.
fn modules(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
}

/// Returns the tests of a file, in their order. It reads lines, since rustfmt gives each doc comment,
/// attribute and function a line of its own.
fn tests(source: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut above = Vec::new();
    for line in source.lines() {
        if line.starts_with("///") || line.starts_with("#[") {
            above.push(line);
            continue;
        }
        if above.iter().any(|line| is_test_attribute(line))
            && let Some(name) = function_name(line)
        {
            tests.push(Test {
                name: name.to_owned(),
                doc: first_paragraph(above.iter().copied(), "///"),
            });
        }
        above.clear();
    }
    tests
}

fn is_test_attribute(line: &str) -> bool {
    line == "#[test]" || line.starts_with("#[tokio::test")
}

fn function_name(line: &str) -> Option<&str> {
    let signature = line.strip_prefix("async ").unwrap_or(line);
    Some(signature.strip_prefix("fn ")?.split_once('(')?.0)
}

/// Joins the lines of a doc comment up to its first empty line. Takes off the backslashes that keep
/// rustdoc from reading `[U]` as a link, and the full stop at the end.
fn first_paragraph<'a>(lines: impl Iterator<Item = &'a str>, prefix: &str) -> String {
    let lines = lines
        .filter_map(|line| line.strip_prefix(prefix))
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    let text = text.replace("\\[", "[").replace("\\]", "]");
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

#[test]
fn a_row_is_the_first_paragraph_of_the_doc_comment() {
    let source = "\
/// No test.
fn helper() {}

/// A frame of two
/// lines \\[U\\].
///
/// <https://example.com>
#[tokio::test]
async fn a_frame_arrives() {
";
    let test = Test {
        name: "a_frame_arrives".to_owned(),
        doc: "A frame of two lines [U]".to_owned(),
    };
    assert_eq!(tests(source), [test]);
}
