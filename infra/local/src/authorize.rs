//! What authorizers decide.
//!
//! - [`jwt`]: tokens, their keys and their claims

pub mod jwt;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Map, Value, json};

use crate::event::{Pairs, header_text};
use crate::gateway::Gateway;
use crate::lambda::InvokeError;
use crate::template::authorizer::{IdentitySource, LambdaAuthorizer};

/// The longest that API Gateway waits for an authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer of an authorizer, in bytes.
const MAX_RESULT_BYTES: usize = 8 * 1024;

/// Why a handshake or a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// 401: it says nothing of who asks, or nothing that is believed.
    Unauthorized,
    /// 403: whoever asks may not.
    Forbidden,
    /// 500: the authorizer failed.
    Failed,
}

/// What an authorizer has found out: `principalId`, if there is one, and its context.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowed {
    /// Who asks.
    pub principal_id: Option<String>,
    /// Whatever the authorizer wants functions to know.
    pub context: Map<String, Value>,
}

/// The values of all identity sources; `None` if one is missing or empty.
pub fn identity(sources: &[IdentitySource], headers: &Pairs, query: &Pairs) -> Option<Vec<String>> {
    let find = |pairs: &Pairs, name: &str| {
        let found = pairs
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let values = sources.iter().filter_map(|source| match source {
        IdentitySource::Header(name) => Some(find(headers, name)),
        IdentitySource::Query(name) => Some(find(query, name)),
        IdentitySource::Always => None,
    });
    values
        .map(|value| value.filter(|value| !value.is_empty()))
        .collect()
}

/// Headers as pairs.
pub fn header_pairs(headers: &HeaderMap) -> Pairs {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.to_string(), header_text(value.as_bytes())))
        .collect()
}

/// Asks the function of an authorizer whether `arn` may be called.
///
/// # Errors
///
/// [`Denied`].
pub async fn ask(
    gateway: &Gateway,
    authorizer: &LambdaAuthorizer,
    event: &Value,
    arn: &str,
) -> Result<Allowed, Denied> {
    let answer = gateway.invoke(&authorizer.function, event, AUTHORIZER_TIMEOUT);
    match answer.await {
        Ok(payload) => decide(&payload, authorizer.simple, arn),
        Err(InvokeError::Function(error)) if error.message() == "Unauthorized" => {
            Err(Denied::Unauthorized)
        }
        Err(error) => {
            tracing::warn!("the authorizer {} failed: {error}", authorizer.function);
            Err(Denied::Failed)
        }
    }
}

fn decide(payload: &Bytes, simple: bool, arn: &str) -> Result<Allowed, Denied> {
    if payload.len() > MAX_RESULT_BYTES {
        return Err(Denied::Failed);
    }
    let answer: Value = serde_json::from_slice(payload).map_err(|_| Denied::Failed)?;
    let allows = match simple {
        true => answer["isAuthorized"].as_bool(),
        false => allows(&answer["policyDocument"], arn),
    };
    let principal_id = answer["principalId"].as_str().map(str::to_owned);
    let has_who = simple || principal_id.is_some();
    let allowed = allows.filter(|_| has_who).ok_or(Denied::Failed)?;
    if !allowed {
        return Err(Denied::Forbidden);
    }
    let context = match &answer["context"] {
        Value::Null => Map::new(),
        Value::Object(context) => context.clone(),
        _ => return Err(Denied::Failed),
    };
    Ok(Allowed {
        principal_id,
        context,
    })
}

/// Whether a policy allows `arn`: some statement does, and none denies it. `None` if it is no
/// policy.
fn allows(policy: &Value, arn: &str) -> Option<bool> {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement @ Value::Object(_) => std::slice::from_ref(statement),
        _ => return None,
    };
    let mut allowed = false;
    for statement in statements {
        let matches_any = |key: &str, text: &str| {
            let patterns = match &statement[key] {
                Value::Array(patterns) => patterns.as_slice(),
                pattern => std::slice::from_ref(pattern),
            };
            let mut patterns = patterns.iter().filter_map(Value::as_str);
            patterns.any(|pattern| matches(pattern, text))
        };
        if !matches_any("Action", "execute-api:Invoke") || !matches_any("Resource", arn) {
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

/// Whether a text fits a pattern with `*` and `?`.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last star does not fit.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte.eq_ignore_ascii_case(&text[t]) => {
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

impl Allowed {
    /// As events of a WebSocket API show it: flat, all values as text but for the latency.
    ///
    /// A context value that is no scalar is an error of the authorizer.
    pub fn flattened(&self, latency: Duration) -> Result<Value, Denied> {
        let mut flat = Map::new();
        for (name, value) in &self.context {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => return Err(Denied::Failed),
            };
            flat.insert(name.clone(), text.into());
        }
        if let Some(principal_id) = &self.principal_id {
            flat.insert("principalId".to_owned(), principal_id.as_str().into());
        }
        let millis = u64::try_from(latency.as_millis()).unwrap_or_default();
        flat.insert("integrationLatency".to_owned(), json!(millis));
        Ok(flat.into())
    }
}

/// Answers of authorizers that are still remembered.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<Asked, (Instant, Allowed)>>);

/// An authorizer and the identity that it was asked about.
type Asked = (String, Vec<String>);

impl Remembered {
    /// The answer for an identity, if it is young enough.
    pub fn get(&self, authorizer: &LambdaAuthorizer, identity: &[String]) -> Option<Allowed> {
        let answers = self.0.lock().expect("no holder panics");
        let (time, allowed) = answers.get(&(authorizer.id.clone(), identity.to_vec()))?;
        (time.elapsed() < authorizer.remembered).then(|| allowed.clone())
    }

    /// Remembers an answer. Old ones are forgotten.
    pub fn put(&self, authorizer: &LambdaAuthorizer, identity: &[String], allowed: &Allowed) {
        if authorizer.remembered.is_zero() || identity.is_empty() {
            return;
        }
        let mut answers = self.0.lock().expect("no holder panics");
        answers.retain(|_, (time, _)| time.elapsed() < Duration::from_secs(3_600));
        let key = (authorizer.id.clone(), identity.to_vec());
        answers.insert(key, (Instant::now(), allowed.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:Api/prod/$connect";

    fn policy(effect: &str, resource: Value) -> Value {
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
            (json!({}), None),
        ] {
            assert_eq!(allows(&policy, ARN), expected, "{policy}");
        }
    }

    #[test]
    fn an_answer_is_allow_deny_or_malformed() {
        let who = |effect: &str| json!({"principalId": "u", "policyDocument": policy(effect, json!("*"))});
        for (answer, simple, expected) in [
            (who("Allow"), false, Ok(())),
            (who("Deny"), false, Err(Denied::Forbidden)),
            (
                json!({"policyDocument": policy("Allow", json!("*"))}),
                false,
                Err(Denied::Failed),
            ),
            (json!(null), false, Err(Denied::Failed)),
            (json!({"isAuthorized": true}), true, Ok(())),
            (json!({"isAuthorized": false}), true, Err(Denied::Forbidden)),
            (json!({"isAuthorized": "yes"}), true, Err(Denied::Failed)),
        ] {
            let decided = decide(&answer.to_string().into(), simple, ARN);
            assert_eq!(decided.map(|_| ()), expected, "{answer}");
        }
    }

    #[test]
    fn context_values_become_text() {
        let context = json!({"a": "x", "b": 7, "c": true, "d": null});
        let allowed = Allowed {
            principal_id: Some("u".to_owned()),
            context: context.as_object().expect("a map").clone(),
        };
        let flat = allowed
            .flattened(Duration::from_millis(3))
            .expect("scalars");
        let expected =
            json!({"a": "x", "b": "7", "c": "true", "principalId": "u", "integrationLatency": 3});
        assert_eq!(flat, expected);
    }
}
