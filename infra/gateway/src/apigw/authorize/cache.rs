//! Responses of authorizers that are still valid.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::response::AuthorizerResponse;
use crate::model::LambdaAuthorizer;

/// Answers of authorizers that are still remembered.
#[derive(Default)]
pub struct ResponseCache(Mutex<HashMap<Asked, (Instant, AuthorizerResponse)>>);

/// An authorizer and the identity that it was asked about.
type Asked = (String, Vec<String>);

impl ResponseCache {
    /// The answer for an identity, if it is young enough.
    pub fn get(
        &self,
        authorizer: &LambdaAuthorizer,
        identity: &[String],
    ) -> Option<AuthorizerResponse> {
        let answers = self.0.lock();
        let (time, answer) = answers.get(&(authorizer.id.clone(), identity.to_vec()))?;
        (time.elapsed() < authorizer.cache_ttl).then(|| answer.clone())
    }

    /// Remembers an answer. Old ones are forgotten.
    pub fn put(
        &self,
        authorizer: &LambdaAuthorizer,
        identity: &[String],
        answer: &AuthorizerResponse,
    ) {
        if authorizer.cache_ttl.is_zero() || identity.is_empty() {
            return;
        }
        let mut answers = self.0.lock();
        answers.retain(|_, (time, _)| time.elapsed() < Duration::from_secs(3_600));
        let key = (authorizer.id.clone(), identity.to_vec());
        answers.insert(key, (Instant::now(), answer.clone()));
    }
}
