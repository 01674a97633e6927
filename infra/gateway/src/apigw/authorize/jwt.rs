//! Tokens of a JWT authorizer: signature, issuer, audience, times and scopes.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::response::Rejection;
use crate::http::client;
use crate::model::JwtAuthorizer;

/// How long the keys of an issuer are cached. API Gateway caches them for up to two hours; a
/// developer changes keys more often.
const KEYS_REMEMBERED: Duration = Duration::from_secs(300);

/// Timeout of the fetch of an issuer's keys.
const KEYS_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The algorithms that API Gateway takes are those of RSA; those of elliptic curves are taken here
/// as well. [U]
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// The keys of issuers.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, (Instant, JwkSet)>>);

impl Keys {
    /// Checks a token, with or without `Bearer` before it; returns its part of the event.
    ///
    /// # Errors
    ///
    /// [`Rejection::Unauthorized`], or `Forbidden` if it has none of `scopes`.
    pub async fn check(
        &self,
        authorizer: &JwtAuthorizer,
        token: &str,
        scopes: &[String],
    ) -> Result<Value, Rejection> {
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let claims = self.claims(authorizer, token).await;
        let claims = claims.map_err(|error| {
            tracing::warn!("a token is refused: {error:#}");
            Rejection::Unauthorized
        })?;
        let own: Vec<&str> = ["scope", "scp"]
            .iter()
            .filter_map(|name| claims.get(*name))
            .flat_map(|claim| match claim {
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                other => other
                    .as_str()
                    .unwrap_or_default()
                    .split_whitespace()
                    .collect::<Vec<_>>(),
            })
            .collect();
        if !scopes.is_empty() && !scopes.iter().any(|scope| own.contains(&scope.as_str())) {
            return Err(Rejection::Forbidden);
        }
        let texts: Map<_, _> = claims
            .iter()
            .map(|(name, value)| (name.clone(), claim_text(value).into()))
            .collect();
        let scopes = if scopes.is_empty() {
            Value::Null
        } else {
            json!(scopes)
        };
        Ok(json!({"jwt": {"claims": texts, "scopes": scopes}}))
    }

    async fn claims(&self, authorizer: &JwtAuthorizer, token: &str) -> Result<Map<String, Value>> {
        let header = decode_header(token).map_err(without_quotes)?;
        ensure!(
            ALGORITHMS.contains(&header.alg),
            "{:?} is not taken",
            header.alg
        );
        let kid = header.kid.context("it names no key")?;
        let keys = self.of(&authorizer.issuer, &kid).await?;
        let key = keys.find(&kid).context("its key is unknown")?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&authorizer.issuer]);
        validation.set_required_spec_claims(&["exp", "iss"]);
        validation.validate_nbf = true;
        // `aud`, or `client_id` where a token has none.
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(key)?;
        let token = decode(token, &key, &validation).map_err(without_quotes)?;
        let claims: Map<String, Value> = token.claims;
        let audience = claims.get("aud").or_else(|| claims.get("client_id"));
        let is_ours = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| authorizer.audience.iter().any(|ours| ours == text))
        };
        let is_for_us = match audience {
            Some(Value::Array(list)) => list.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        ensure!(is_for_us, "its audience is not one of ours");
        Ok(claims)
    }

    /// Returns the keys of an issuer; fetches them if they are old or have no key `kid`.
    async fn of(&self, issuer: &str, kid: &str) -> Result<JwkSet> {
        let remembered = |keys: &HashMap<String, (Instant, JwkSet)>| {
            let (time, keys) = keys.get(issuer)?;
            let is_young = time.elapsed() < KEYS_REMEMBERED && keys.find(kid).is_some();
            is_young.then(|| keys.clone())
        };
        if let Some(keys) = remembered(&self.0.lock()) {
            return Ok(keys);
        }
        let fetch = async {
            let base = issuer.trim_end_matches('/');
            let address = format!("{base}/.well-known/openid-configuration");
            let configuration: Value = serde_json::from_slice(&client::get(&address).await?)?;
            let address = configuration["jwks_uri"]
                .as_str()
                .context("it names no jwks_uri")?;
            anyhow::Ok(serde_json::from_slice::<JwkSet>(
                &client::get(address).await?,
            )?)
        };
        let keys = tokio::time::timeout(KEYS_TIMEOUT, fetch)
            .await
            .context("it takes too long")
            .flatten()
            .with_context(|| format!("the keys of {issuer}"))?;
        let mut all = self.0.lock();
        all.insert(issuer.to_owned(), (Instant::now(), keys.clone()));
        Ok(keys)
    }
}

/// Returns the error of a token without the parts of the token that errors of parsers quote: it is
/// logged.
fn without_quotes(error: jsonwebtoken::errors::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            anyhow!("it is malformed")
        }
        _ => error.into(),
    }
}

/// Claims arrive as text, lists as `[a b]`.
fn claim_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().map(claim_text).collect();
            format!("[{}]", texts.join(" "))
        }
        other => other.to_string(),
    }
}
