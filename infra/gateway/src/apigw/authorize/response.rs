//! The response of an authorizer.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::policy::allows;

/// The largest answer of an authorizer, in bytes.
const MAX_RESULT_BYTES: usize = 8 * 1024;

/// Whether events of a WebSocket API show numbers and booleans of the context as text. [U]
const CONTEXT_IS_TEXT: bool = true;

/// What becomes of a handshake whose authorizer gives a context value that is no scalar. [U]
const BAD_CONTEXT: Rejection = Rejection::Failed;

/// Why a handshake or a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 401: it says nothing of who asks, or nothing that is believed.
    Unauthorized,
    /// 403: whoever asks may not.
    Forbidden,
    /// 500: the authorizer failed.
    Failed,
}

impl Rejection {
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
pub struct AuthorizerResponse {
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

impl AuthorizerResponse {
    /// Reads an answer, `{"isAuthorized": …}` if it is to be `simple`, else one with a policy.
    pub fn parse(payload: &[u8], simple: bool) -> Result<Self, Rejection> {
        if payload.len() > MAX_RESULT_BYTES {
            return Err(Rejection::Failed);
        }
        let answer: Value = serde_json::from_slice(payload).map_err(|_| Rejection::Failed)?;
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
            _ => return Err(Rejection::Failed),
        };
        Ok(Self {
            verdict: verdict.ok_or(Rejection::Failed)?,
            principal_id,
            context,
        })
    }

    /// Whether it allows `arn`.
    ///
    /// # Errors
    ///
    /// `Forbidden`, or `Failed` if its policy is none.
    pub fn check(&self, arn: &str) -> Result<(), Rejection> {
        let allowed = match &self.verdict {
            Verdict::Simple(allowed) => Some(*allowed),
            Verdict::Policy(policy) => allows(policy, arn),
        };
        match allowed {
            Some(true) => Ok(()),
            Some(false) => Err(Rejection::Forbidden),
            None => Err(Rejection::Failed),
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
    pub fn flattened(&self, latency: Duration) -> Result<Value, Rejection> {
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
    fn an_answer_is_allow_deny_or_malformed() {
        let who = |effect: &str| json!({"principalId": "u", "policyDocument": policy(effect, json!("*"))});
        for (answer, simple, expected) in [
            (who("Allow"), false, Ok(())),
            (who("Deny"), false, Err(Rejection::Forbidden)),
            (
                json!({"policyDocument": policy("Allow", json!("*"))}),
                false,
                Err(Rejection::Failed),
            ),
            (json!(null), false, Err(Rejection::Failed)),
            (json!({"isAuthorized": true}), true, Ok(())),
            (
                json!({"isAuthorized": false}),
                true,
                Err(Rejection::Forbidden),
            ),
            (json!({"isAuthorized": "yes"}), true, Err(Rejection::Failed)),
        ] {
            let decided = AuthorizerResponse::parse(answer.to_string().as_bytes(), simple);
            let decided = decided.and_then(|answer| answer.check(ARN));
            assert_eq!(decided, expected, "{answer}");
        }
    }

    #[test]
    fn a_remembered_answer_is_good_only_for_what_it_allows() {
        let one = policy("Allow", json!("arn:aws:execute-api:*:Api/prod/GET/a"));
        let answer = json!({"principalId": "u", "policyDocument": one}).to_string();
        let answer = AuthorizerResponse::parse(answer.as_bytes(), false).expect("well-formed");
        let check =
            |path: &str| answer.check(&format!("arn:aws:execute-api:x:Api/prod/GET/{path}"));
        assert_eq!(check("a"), Ok(()));
        assert_eq!(check("b"), Err(Rejection::Forbidden));
    }

    #[test]
    fn context_values_become_text() {
        let context = json!({"a": "x", "b": 7, "c": true, "d": null});
        let answer = AuthorizerResponse {
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
