//! The response of an authorizer.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::policy::allows;

/// Size limit of the response of an authorizer, in bytes.
const MAX_RESULT_BYTES: usize = 8 * 1024;

/// Whether events of a WebSocket API show numbers and booleans of the context as text. [U]
const CONTEXT_IS_TEXT: bool = true;

/// The rejection of a handshake whose authorizer returns a context value that is no scalar. [U]
const BAD_CONTEXT: Rejection = Rejection::Failed;

/// The rejection of a handshake or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 401: it has no identity, or none that is valid.
    Unauthorized,
    /// 403: its identity is not allowed.
    Forbidden,
    /// 500: the authorizer failed.
    Failed,
}

impl Rejection {
    /// Returns the status of the rejection.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The response of an authorizer, valid for any number of requests of one identity.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorizerResponse {
    verdict: Verdict,
    /// The identity of the caller.
    principal_id: Option<String>,
    /// Values for the events of functions.
    context: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Simple(bool),
    Policy(Value),
}

impl AuthorizerResponse {
    /// Reads a response: `{"isAuthorized": …}` if it is `simple`, else one with a policy.
    pub fn parse(payload: &[u8], simple: bool) -> Result<Self, Rejection> {
        if payload.len() > MAX_RESULT_BYTES {
            return Err(Rejection::Failed);
        }
        let response: Value = serde_json::from_slice(payload).map_err(|_| Rejection::Failed)?;
        let principal_id = response["principalId"].as_str().map(str::to_owned);
        let verdict = if simple {
            response["isAuthorized"].as_bool().map(Verdict::Simple)
        } else {
            principal_id
                .as_ref()
                .map(|_| Verdict::Policy(response["policyDocument"].clone()))
        };
        let context = match &response["context"] {
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

    /// Returns the context as events of an HTTP API have it.
    pub fn context(self) -> Map<String, Value> {
        let mut context = self.context;
        if let Some(principal_id) = self.principal_id {
            context.insert("principalId".to_owned(), principal_id.into());
        }
        context
    }

    /// Returns the context as events of a WebSocket API have it: flat, with the latency.
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
    use crate::apigw::authorize::policy::tests::{ARN, policy};

    #[test]
    fn a_response_allows_denies_or_is_malformed() {
        let who = |effect: &str| json!({"principalId": "u", "policyDocument": policy(effect, json!("*"))});
        for (response, simple, expected) in [
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
            let decided = AuthorizerResponse::parse(response.to_string().as_bytes(), simple);
            let decided = decided.and_then(|response| response.check(ARN));
            assert_eq!(decided, expected, "{response}");
        }
    }

    #[test]
    fn a_cached_response_is_valid_only_for_the_arns_that_it_allows() {
        let one = policy("Allow", json!("arn:aws:execute-api:*:Api/prod/GET/a"));
        let response = json!({"principalId": "u", "policyDocument": one}).to_string();
        let response = AuthorizerResponse::parse(response.as_bytes(), false).expect("well-formed");
        let check =
            |path: &str| response.check(&format!("arn:aws:execute-api:x:Api/prod/GET/{path}"));
        assert_eq!(check("a"), Ok(()));
        assert_eq!(check("b"), Err(Rejection::Forbidden));
    }

    #[test]
    fn context_values_become_text() {
        let context = json!({"a": "x", "b": 7, "c": true, "d": null});
        let response = AuthorizerResponse {
            verdict: Verdict::Simple(true),
            principal_id: Some("u".to_owned()),
            context: context.as_object().expect("a map").clone(),
        };
        let flat = response
            .flattened(Duration::from_millis(3))
            .expect("scalars");
        let expected =
            json!({"a": "x", "b": "7", "c": "true", "principalId": "u", "integrationLatency": 3});
        assert_eq!(flat, expected);
    }
}
