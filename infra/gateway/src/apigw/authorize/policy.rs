//! IAM policies, as far as authorizers return them.

use serde_json::Value;

/// Whether a policy allows `arn`: a statement allows it, and none denies it. `None` if it is no
/// policy.
pub fn allows(policy: &Value, arn: &str) -> Option<bool> {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement @ Value::Object(_) => std::slice::from_ref(statement),
        _ => return None,
    };
    let mut allowed = false;
    for statement in statements {
        // An element that is not understood must not allow anything.
        let is_known =
            |key: &String| ["Sid", "Effect", "Action", "Resource"].contains(&key.as_str());
        if !statement.as_object()?.keys().all(is_known) {
            return None;
        }
        let matches_any = |key: &str, text: &str, any_case: bool| {
            let patterns = match &statement[key] {
                Value::Array(patterns) => patterns.as_slice(),
                pattern => std::slice::from_ref(pattern),
            };
            let mut patterns = patterns.iter().filter_map(Value::as_str);
            patterns.any(|pattern| matches(pattern, text, any_case))
        };
        if !matches_any("Action", "execute-api:Invoke", true)
            || !matches_any("Resource", arn, false)
        {
            continue;
        }
        match statement["Effect"].as_str()? {
            "Deny" => return Some(false),
            "Allow" => allowed = true,
            _ => return None,
        }
    }
    Some(allowed)
}

/// Whether a text matches a pattern with `*` and `?`.
fn matches(pattern: &str, text: &str, any_case: bool) -> bool {
    let same = |a: u8, b: u8| a == b || any_case && a.eq_ignore_ascii_case(&b);
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The positions to go on from if the text after the last star does not match.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || same(byte, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The method of the policies.
    pub const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:Api/prod/$connect";

    /// Returns a policy with one statement.
    pub fn policy(effect: &str, resource: Value) -> Value {
        json!({"Statement": [
            {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource},
        ]})
    }

    #[test]
    fn a_policy_allows_what_it_names_unless_it_denies_it() {
        for (policy, expected) in [
            (policy("Allow", json!(ARN)), Some(true)),
            (policy("Allow", json!("*")), Some(true)),
            (
                policy(
                    "Allow",
                    json!(["x", "arn:aws:execute-api:*:Api/*/$conn?ct"]),
                ),
                Some(true),
            ),
            (
                policy("Allow", json!("arn:aws:execute-api:*:Other/*")),
                Some(false),
            ),
            (policy("Deny", json!("*")), Some(false)),
            (policy("Perhaps", json!("*")), None),
            (policy("Allow", json!("ARN:aws:execute-api:*")), Some(false)),
            (
                json!({"Statement": {"Effect": "Allow", "NotAction": "x", "Resource": "*"}}),
                None,
            ),
            (json!({}), None),
        ] {
            assert_eq!(allows(&policy, ARN), expected, "{policy}");
        }
    }
}
