//! `Rules`: what CloudFormation demands of the parameters before it makes anything.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html>

use anyhow::{Context, Result, ensure};

use super::intrinsic::{Scope, is_unknown_error, list, plain};
use super::yaml::{Content, Node};

/// The functions of rules that are known here. Others ask AWS about what a parameter names
/// (`Fn::ValueOf`, `Fn::ValueOfAll`), or are not for rules.
const KNOWN: [&str; 8] = [
    "Fn::And",
    "Fn::Contains",
    "Fn::EachMemberEquals",
    "Fn::EachMemberIn",
    "Fn::Equals",
    "Fn::Not",
    "Fn::Or",
    "Fn::RefAll",
];

/// Checks all rules of a template. What has an unknown function is noted in `scope`, and not
/// checked.
///
/// # Errors
///
/// Assertions that do not hold: each with its line, its description and its rule. Or a rule is
/// malformed.
pub fn check(root: &Node, scope: &Scope) -> Result<()> {
    let mut broken = Vec::new();
    for (name, rule) in root.get("Rules").map_or(&[][..], Node::entries) {
        let place = || format!("line {}: rule {name}", rule.line);
        broken.extend(check_one(name, rule, scope).with_context(place)?);
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

/// Returns the assertions of a rule that do not hold.
fn check_one(name: &str, rule: &Node, scope: &Scope) -> Result<Vec<String>> {
    let assertions = list(rule.get("Assertions").context("it has no Assertions")?)?;
    if let Some(condition) = rule.get("RuleCondition")
        && holds(condition, scope)? != Some(true)
    {
        return Ok(Vec::new());
    }
    let mut broken = Vec::new();
    for assertion in assertions {
        let assert = assertion.get("Assert");
        let assert = assert.with_context(|| format!("line {}: no Assert", assertion.line))?;
        if holds(assert, scope)? == Some(false) {
            let line = assertion.line;
            let sentence = match plain(assertion.get("AssertDescription")) {
                "" => "what it asserts does not hold",
                description => description,
            };
            broken.push(format!("line {line}: {sentence} (rule {name})"));
        }
    }
    Ok(broken)
}

/// Whether a condition or assertion holds; `None` if that is not known here.
fn holds(node: &Node, scope: &Scope) -> Result<Option<bool>> {
    let mut unknown = Vec::new();
    find_unknown(node, &mut unknown);
    for (line, name) in &unknown {
        scope.note_unknown(*line, name);
    }
    if !unknown.is_empty() {
        return Ok(None);
    }
    match scope.truth(node) {
        Err(error) if is_unknown_error(&error) => Ok(None),
        truth => truth.map(Some),
    }
}

/// Finds the functions in a node that are not known here, with their lines.
fn find_unknown(node: &Node, found: &mut Vec<(usize, String)>) {
    match &node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items.iter().for_each(|item| find_unknown(item, found)),
        Content::Map(entries) => {
            for (name, value) in entries {
                if name.starts_with("Fn::") && !KNOWN.contains(&name.as_str()) {
                    found.push((node.line, name.clone()));
                }
                find_unknown(value, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PARAMETERS: &str = "Parameters:
  Mode: {Type: String, Default: open}
  Sites: {Type: CommaDelimitedList, Default: 'a, b'}
  Twice: {Type: CommaDelimitedList, Default: 'a, a'}
  None: {Type: CommaDelimitedList, Default: ''}
  One: {Type: 'AWS::EC2::Subnet::Id', Default: s-1}
  More: {Type: 'List<AWS::EC2::Subnet::Id>', Default: 's-2, s-3'}
Rules:
";

    /// Returns the result of a check of rules, and the unknown functions.
    fn check(rules: &str) -> (Result<()>, Vec<String>) {
        let root = Node::parse(&format!("{PARAMETERS}{rules}")).expect("YAML");
        let scope = Scope::new(&root, &BTreeMap::new()).expect("parameters");
        let checked = super::check(&root, &scope);
        (checked, scope.unknown())
    }

    #[test]
    fn an_assertion_holds_or_not() {
        for (assert, holds) in [
            ("!Equals [!Ref Mode, open]", true),
            ("!Equals [!Ref Mode, jwt]", false),
            ("!Not [!Equals [!Ref Mode, open]]", false),
            ("!And [!Equals [a, a], !Equals [!Ref Mode, jwt]]", false),
            ("!Or [!Equals [a, b], !Equals [!Ref Mode, open]]", true),
            ("!Contains [[open, jwt], !Ref Mode]", true),
            ("!Contains [!Ref Sites, b]", true),
            ("!Contains [!Ref Sites, c]", false),
            // A list parameter without a value has one empty member.
            ("!Contains [!Ref None, '']", true),
            ("!EachMemberEquals [!Ref Twice, a]", true),
            ("!EachMemberEquals [!Ref Sites, a]", false),
            ("!EachMemberIn [!Ref Sites, [a, b, c]]", true),
            ("!EachMemberIn [!Ref Sites, [a, c]]", false),
            (
                "!EachMemberIn [[s-1, s-3], !RefAll 'AWS::EC2::Subnet::Id']",
                true,
            ),
            ("!Contains [!RefAll 'AWS::EC2::Subnet::Id', s-4]", false),
        ] {
            let (checked, unknown) = check(&format!("  R: {{Assertions: [Assert: {assert}]}}\n"));
            assert_eq!(checked.is_ok(), holds, "{assert}: {checked:?}");
            assert_eq!(unknown, Vec::<String>::new(), "{assert}");
        }
    }

    #[test]
    fn a_broken_rule_is_reported_with_its_description() {
        let rules = "  Guarded:
    RuleCondition: !Equals [!Ref Mode, open]
    Assertions:
      - Assert: !Equals [a, a]
        AssertDescription: It is fine
      - Assert: !Equals [!Ref Mode, jwt]
        AssertDescription: Open is not allowed
  Other:
    RuleCondition: !Equals [!Ref Mode, jwt]
    Assertions:
      - Assert: !Equals [a, b]
        AssertDescription: It does not matter
  Last:
    Assertions: [Assert: !Equals [a, b]]
";
        let (checked, _) = check(rules);
        assert_eq!(
            checked.expect_err("two rules are broken").to_string(),
            "line 14: Open is not allowed (rule Guarded); \
             line 22: what it asserts does not hold (rule Last)"
        );
    }

    #[test]
    fn functions_that_ask_aws_are_reported_and_the_other_rules_are_checked() {
        let rules = "  Subnets:
    Assertions:
      - Assert: !EachMemberIn [!ValueOfAll ['AWS::EC2::Subnet::Id', VpcId], [vpc-1]]
      - Assert: !Contains [!Ref Sites, c]
        AssertDescription: There must be c
";
        let (checked, unknown) = check(rules);
        let broken = checked.expect_err("one is broken").to_string();
        assert_eq!(broken, "line 12: There must be c (rule Subnets)");
        assert_eq!(unknown, ["line 11: Fn::ValueOfAll is not known here"]);
    }

    #[test]
    fn a_malformed_rule_is_an_error_with_its_line() {
        for (rule, expected) in [
            ("{}", "line 9: rule R: it has no Assertions"),
            ("{Assertions: 7}", "line 9: rule R: line 9: a list"),
            ("{Assertions: [{}]}", "line 9: rule R: line 9: no Assert"),
            (
                "{Assertions: [Assert: true]}",
                "line 9: rule R: line 9: this is not a condition",
            ),
            (
                "{Assertions: [Assert: !Contains [!Ref Mode, a]]}",
                "line 9: rule R: line 9: a list is expected",
            ),
        ] {
            let (checked, _) = check(&format!("  R: {rule}\n"));
            let said = format!("{:#}", checked.expect_err(rule));
            assert!(said.starts_with(expected), "{rule}: {said}");
        }
    }
}
