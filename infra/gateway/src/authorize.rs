//! What authorizers decide.
//!
//! - [`jwt`]: tokens, their keys and their claims

pub mod jwt;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::headers::Pairs;
use crate::lambda::{Functions, Invocation, InvokeError};
use crate::template::authorizer::{IdentitySource, LambdaAuthorizer};

/// The longest that API Gateway waits for an authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer of an authorizer, in bytes.
const MAX_RESULT_BYTES: usize = 8 * 1024;

/// Whether events of a WebSocket API show numbers and booleans of the context as text. [U]
const CONTEXT_IS_TEXT: bool = true;

/// What becomes of a handshake whose authorizer gives a context value that is no scalar. [U]
const BAD_CONTEXT: Denied = Denied::Failed;

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

impl Denied {
    /// The status of the refusal.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What an authorizer has answered: good for any number of requests of one identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    verdict: Verdict,
    /// Who asks.
    principal_id: Option<String>,
    /// Whatever the authorizer wants functions to know.
    context: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Simple(bool),
    Policy(Value),
}

/// The values of all identity sources of a request to a route; `None` if one is missing or empty.
pub fn identity(
    sources: &[IdentitySource],
    headers: &Pairs,
    query: &Pairs,
    route_key: &str,
) -> Option<Vec<String>> {
    let value = |source: &IdentitySource| match source {
        IdentitySource::Header(name) => {
            let mut headers = headers.iter();
            headers.find(|(other, _)| other.eq_ignore_ascii_case(name))
        }
        IdentitySource::Query(name) => query.iter().find(|(other, _)| other == name),
        IdentitySource::RouteKey | IdentitySource::Always => None,
    };
    let values = sources.iter().map(|source| match source {
        IdentitySource::RouteKey => Some(route_key.to_owned()),
        IdentitySource::Always => Some(String::new()),
        source => value(source)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty()),
    });
    values.collect()
}

/// Asks the function of an authorizer.
///
/// # Errors
///
/// [`Denied`].
pub async fn ask(
    functions: &Functions,
    authorizer: &LambdaAuthorizer,
    connection_id: Option<&str>,
    event: &Value,
) -> Result<Answer, Denied> {
    let invocation = Invocation {
        function: &authorizer.function,
        cause: "authorizer",
        connection_id,
        payload: event.to_string().into(),
        timeout: AUTHORIZER_TIMEOUT,
    };
    match functions.invoke(invocation).await {
        Ok(payload) => Answer::parse(&payload, authorizer.simple),
        Err(InvokeError::Function(error)) if error.message() == "Unauthorized" => {
            Err(Denied::Unauthorized)
        }
        Err(error) => {
            tracing::warn!("the authorizer {} failed: {error}", authorizer.function);
            Err(Denied::Failed)
        }
    }
}

impl Answer {
    /// Reads an answer, `{"isAuthorized": …}` if it is to be `simple`, else one with a policy.
    fn parse(payload: &[u8], simple: bool) -> Result<Self, Denied> {
        if payload.len() > MAX_RESULT_BYTES {
            return Err(Denied::Failed);
        }
        let answer: Value = serde_json::from_slice(payload).map_err(|_| Denied::Failed)?;
        let principal_id = answer["principalId"].as_str().map(str::to_owned);
        let verdict = match simple {
            true => answer["isAuthorized"].as_bool().map(Verdict::Simple),
            false => principal_id
                .as_ref()
                .map(|_| Verdict::Policy(answer["policyDocument"].clone())),
        };
        let context = match &answer["context"] {
            Value::Null => Map::new(),
            Value::Object(context) => context.clone(),
            _ => return Err(Denied::Failed),
        };
        Ok(Self {
            verdict: verdict.ok_or(Denied::Failed)?,
            principal_id,
            context,
        })
    }

    /// Whether it allows `arn`.
    ///
    /// # Errors
    ///
    /// `Forbidden`, or `Failed` if its policy is none.
    pub fn check(&self, arn: &str) -> Result<(), Denied> {
        let allowed = match &self.verdict {
            Verdict::Simple(allowed) => Some(*allowed),
            Verdict::Policy(policy) => allows(policy, arn),
        };
        match allowed {
            Some(true) => Ok(()),
            Some(false) => Err(Denied::Forbidden),
            None => Err(Denied::Failed),
        }
    }

    /// As events of an HTTP API show it.
    pub fn context(self) -> Map<String, Value> {
        let mut context = self.context;
        if let Some(principal_id) = self.principal_id {
            context.insert("principalId".to_owned(), principal_id.into());
        }
        context
    }

    /// As events of a WebSocket API show it: flat, with the latency.
    ///
    /// # Errors
    ///
    /// A value is no scalar.
    pub fn flattened(&self, latency: Duration) -> Result<Value, Denied> {
        let mut flat = Map::new();
        for (name, value) in &self.context {
            let shown = match value {
                Value::Bool(_) | Value::Number(_) if CONTEXT_IS_TEXT => value.to_string().into(),
                Value::String(_) | Value::Bool(_) | Value::Number(_) => value.clone(),
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => return Err(BAD_CONTEXT),
            };
            flat.insert(name.clone(), shown);
        }
        if let Some(principal_id) = &self.principal_id {
            flat.insert("principalId".to_owned(), principal_id.as_str().into());
        }
        let millis = u64::try_from(latency.as_millis()).unwrap_or_default();
        flat.insert("integrationLatency".to_owned(), json!(millis));
        Ok(flat.into())
    }
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
        // What is not understood must not let anybody in.
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

/// Whether a text fits a pattern with `*` and `?`.
fn matches(pattern: &str, text: &str, any_case: bool) -> bool {
    let same = |a: u8, b: u8| a == b || any_case && a.eq_ignore_ascii_case(&b);
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

/// Answers of authorizers that are still remembered.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<Asked, (Instant, Answer)>>);

/// An authorizer and the identity that it was asked about.
type Asked = (String, Vec<String>);

impl Remembered {
    /// The answer for an identity, if it is young enough.
    pub fn get(&self, authorizer: &LambdaAuthorizer, identity: &[String]) -> Option<Answer> {
        let answers = self.0.lock().expect("no holder panics");
        let (time, answer) = answers.get(&(authorizer.id.clone(), identity.to_vec()))?;
        (time.elapsed() < authorizer.remembered).then(|| answer.clone())
    }

    /// Remembers an answer. Old ones are forgotten.
    pub fn put(&self, authorizer: &LambdaAuthorizer, identity: &[String], answer: &Answer) {
        if authorizer.remembered.is_zero() || identity.is_empty() {
            return;
        }
        let mut answers = self.0.lock().expect("no holder panics");
        answers.retain(|_, (time, _)| time.elapsed() < Duration::from_secs(3_600));
        let key = (authorizer.id.clone(), identity.to_vec());
        answers.insert(key, (Instant::now(), answer.clone()));
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
            let decided = Answer::parse(answer.to_string().as_bytes(), simple);
            let decided = decided.and_then(|answer| answer.check(ARN));
            assert_eq!(decided, expected, "{answer}");
        }
    }

    #[test]
    fn a_remembered_answer_is_good_only_for_what_it_allows() {
        let one = policy("Allow", json!("arn:aws:execute-api:*:Api/prod/GET/a"));
        let answer = json!({"principalId": "u", "policyDocument": one}).to_string();
        let answer = Answer::parse(answer.as_bytes(), false).expect("well-formed");
        let check =
            |path: &str| answer.check(&format!("arn:aws:execute-api:x:Api/prod/GET/{path}"));
        assert_eq!(check("a"), Ok(()));
        assert_eq!(check("b"), Err(Denied::Forbidden));

        let header = |name: &str| IdentitySource::Header(name.to_owned());
        let sources = [header("Authorization"), IdentitySource::RouteKey];
        let headers = vec![("authorization".to_owned(), "t".to_owned())];
        let of = |key: &str| identity(&sources, &headers, &Vec::new(), key);
        assert_eq!(of("GET /a").expect("complete"), ["t", "GET /a"]);
        assert_ne!(of("GET /a"), of("GET /b"));
        assert_eq!(identity(&sources, &Vec::new(), &headers, "GET /a"), None);
    }

    #[test]
    fn context_values_become_text() {
        let context = json!({"a": "x", "b": 7, "c": true, "d": null});
        let answer = Answer {
            verdict: Verdict::Simple(true),
            principal_id: Some("u".to_owned()),
            context: context.as_object().expect("a map").clone(),
        };
        let flat = answer.flattened(Duration::from_millis(3)).expect("scalars");
        let expected =
            json!({"a": "x", "b": "7", "c": "true", "principalId": "u", "integrationLatency": 3});
        assert_eq!(flat, expected);
    }
}
