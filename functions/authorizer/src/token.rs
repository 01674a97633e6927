//! Tokens: JWTs ([RFC 7519]), verified as [RFC 8725] recommends. Any token that the issuer has signed
//! for our audience is valid, ID tokens as well as access tokens.
//!
//! [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
//! [RFC 8725]: https://www.rfc-editor.org/rfc/rfc8725

use std::time::Duration;

use chat::{Identity, UserId};
use chrono::DateTime;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::error::{Error, Rejection};
use crate::keys::{Key, Keys};

/// The tolerance for the clocks of issuers.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The claims that a token must have.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Its `iss`.
    pub issuer: String,
    /// One of these must be its `aud`, or among them; or its `client_id` if it has no `aud`, as the
    /// access tokens of Cognito have none. [API Gateway's own rule][rule] is the same.
    ///
    /// [rule]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
    pub audience: Vec<String>,
    /// The claim that is the user id. One whose name ends in `email` is valid only beside a true claim of
    /// that name with `_verified` after it (`email` and `email_verified`): else a user could choose the
    /// address of anybody.
    pub user_claim: String,
}

/// Verifies tokens.
pub struct Verifier {
    keys: Keys,
    rules: Rules,
}

impl Verifier {
    /// Returns a verifier with `keys` and `rules`.
    pub fn new(keys: Keys, rules: Rules) -> Self {
        Self { keys, rules }
    }

    /// Fetches the keys, so that the first request need not. A failure is logged, and retried then.
    pub async fn fetch_keys(&self) {
        let _ = self.keys.find(None, Algorithm::RS256).await;
    }

    /// Verifies a token. Returns its user, with the time at which it expires.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the token is not valid.
    /// - [`Error::Failed`]: the keys cannot be fetched.
    pub async fn verify(&self, token: &str) -> Result<Identity, Error> {
        let header = decode_header(token).map_err(|_| Rejection::Malformed)?;
        // Extensions that must be understood, and that this does not know.
        if header.crit.is_some() {
            return Err(Rejection::Malformed.into());
        }
        let (id, algorithm) = (header.kid.as_deref(), header.alg);
        let key = self.keys.find(id, algorithm).await?;
        let claims = match self.claims(token, &key.ok_or(Rejection::UnknownKey)?) {
            Err(Rejection::Signature) => {
                let key = self.keys.find_refetched(id, algorithm).await;
                self.claims(token, &key.ok_or(Rejection::UnknownKey)?)?
            }
            claims => claims?,
        };
        Ok(self.identity(&claims)?)
    }

    fn claims(&self, token: &str, key: &Key) -> Result<Map<String, Value>, Rejection> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.rules.issuer]);
        validation.set_required_spec_claims(&["exp", "iss"]);
        // `is_for_us` checks it, since the library does not know `client_id`.
        validation.validate_aud = false;
        let decoded = decode::<Map<String, Value>>(token, &key.decoding, &validation);
        let claims = decoded.map_err(|error| rejection(error.kind()))?.claims;
        // The library takes a list with ours in it as well, which is no `iss`.
        if claims.get("iss").and_then(Value::as_str) != Some(&self.rules.issuer) {
            return Err(Rejection::Issuer);
        }
        if !self.is_for_us(&claims) {
            return Err(Rejection::Audience);
        }
        Ok(claims)
    }

    fn is_for_us(&self, claims: &Map<String, Value>) -> bool {
        let is_ours = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| self.rules.audience.iter().any(|ours| ours == text))
        };
        match claims.get("aud").or_else(|| claims.get("client_id")) {
            Some(Value::Array(several)) => several.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        }
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, Rejection> {
        let claim = self.rules.user_claim.as_str();
        if claim.ends_with("email") && !is_true(claims.get(&format!("{claim}_verified"))) {
            return Err(Rejection::NoUser);
        }
        let user_id = claims.get(claim).and_then(Value::as_str);
        let user_id = UserId::try_from(user_id.ok_or(Rejection::NoUser)?.to_owned());
        let end = claims.get("exp").and_then(Value::as_f64);
        let end =
            end.map(|seconds| (seconds as i64).saturating_add(LEEWAY.as_secs().cast_signed()));
        let end = end.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Ok(Identity {
            user_id: user_id.map_err(|_| Rejection::NoUser)?,
            expires_at: Some(end.ok_or(Rejection::Malformed)?),
        })
    }
}

/// Cognito says `true`, and `"true"` in some of its tokens.
fn is_true(claim: Option<&Value>) -> bool {
    match claim {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    }
}

fn rejection(kind: &ErrorKind) -> Rejection {
    match kind {
        ErrorKind::InvalidSignature => Rejection::Signature,
        ErrorKind::InvalidAlgorithm => Rejection::Algorithm,
        ErrorKind::InvalidIssuer => Rejection::Issuer,
        ErrorKind::ExpiredSignature => Rejection::Expired,
        ErrorKind::ImmatureSignature => Rejection::NotYetValid,
        _ => Rejection::Malformed,
    }
}
