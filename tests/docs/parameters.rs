//! The tables of the template's parameters: a table for each group, and the rules about them.

use local_gateway::template::yaml::{Content, Node};
use serde_json::Value;

use crate::{generated, read};

/// Allowed values that a table shows; longer lists are left to the template.
const SHOWN_VALUES: usize = 4;

/// The sentence before the rules.
const RULES: &str =
    "\nA deployment that breaks one of these rules is refused before anything changes:\n\n";

#[test]
fn the_readme_of_infra_lists_every_parameter() {
    let template = Node::parse(&read("infra/template.yaml")).expect("a template");
    let parameters = get(&template, "Parameters");
    let interface = get(get(&template, "Metadata"), "AWS::CloudFormation::Interface");
    let mut content = String::new();
    let mut count = 0;
    for group in items(get(interface, "ParameterGroups")) {
        let label = text(get(get(group, "Label"), "default"));
        content += &format!("\n**{label}**\n\n| parameter | meaning | default |\n|---|---|---|\n");
        for name in items(get(group, "Parameters")) {
            let name = text(name);
            content += &row(&name, get(parameters, &name));
            count += 1;
        }
    }
    assert_eq!(
        count,
        parameters.entries().len(),
        "parameters that are in a group"
    );
    content += RULES;
    for (_, rule) in get(&template, "Rules").entries() {
        for assertion in items(get(rule, "Assertions")) {
            let sentence = text(get(assertion, "AssertDescription"));
            content += &format!("- {sentence}\n");
        }
    }
    content += "\n";
    generated::check("infra/README.md", "parameters", &content);
}

fn row(name: &str, parameter: &Node) -> String {
    let meaning = text(get(parameter, "Description")).replace('|', "\\|");
    let default = text(get(parameter, "Default"));
    let default = if default.is_empty() {
        "none".to_owned()
    } else {
        format!("`{default}`")
    };
    let values = match parameter.get("AllowedValues").map(items) {
        Some(values) if values.len() <= SHOWN_VALUES => values.iter().map(text).collect(),
        _ => Vec::new(),
    };
    let others = values
        .into_iter()
        .map(|value| format!("`{value}`"))
        .filter(|value| *value != default)
        .collect::<Vec<_>>();
    let default = if others.is_empty() {
        default
    } else {
        format!("{default}; or {}", others.join(", "))
    };
    format!("| `{name}` | {meaning} | {default} |\n")
}

fn get<'a>(node: &'a Node, key: &str) -> &'a Node {
    node.get(key)
        .unwrap_or_else(|| panic!("line {} of the template: no {key}", node.line))
}

fn items(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        _ => panic!("line {} of the template: not a list", node.line),
    }
}

fn text(node: &Node) -> String {
    match &node.content {
        Content::Scalar(Value::String(text)) => text.clone(),
        Content::Scalar(value) => value.to_string(),
        _ => panic!("line {} of the template: not a text", node.line),
    }
}
