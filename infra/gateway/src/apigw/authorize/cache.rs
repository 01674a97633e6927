//! Responses of authorizers that are still valid.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::response::AuthorizerResponse;
use crate::model::LambdaAuthorizer;

/// Cached responses of authorizers.
#[derive(Default)]
pub struct ResponseCache(Mutex<HashMap<Asked, (Instant, AuthorizerResponse)>>);

/// The key of a response: the authorizer and the identity.
type Asked = (String, Vec<String>);

impl ResponseCache {
    /// Returns the cached response for an identity, if it is young enough.
    pub fn get(
        &self,
        authorizer: &LambdaAuthorizer,
        identity: &[String],
    ) -> Option<AuthorizerResponse> {
        let responses = self.0.lock();
        let (time, response) = responses.get(&(authorizer.id.clone(), identity.to_vec()))?;
        (time.elapsed() < authorizer.cache_ttl).then(|| response.clone())
    }

    /// Caches a response, and removes old ones.
    pub fn put(
        &self,
        authorizer: &LambdaAuthorizer,
        identity: &[String],
        response: &AuthorizerResponse,
    ) {
        if authorizer.cache_ttl.is_zero() || identity.is_empty() {
            return;
        }
        let mut responses = self.0.lock();
        responses.retain(|_, (time, _)| time.elapsed() < Duration::from_secs(3_600));
        let key = (authorizer.id.clone(), identity.to_vec());
        responses.insert(key, (Instant::now(), response.clone()));
    }
}
