//! Why the authorizer would refuse a token. The token itself is never printed.

use std::io::Read;

use anyhow::{Context, Result};
use authorizer::JwtConfig;
use authorizer::error::{Error, Rejection};
use authorizer::keys::{Keys, Timing};
use authorizer::token::{Rules, Verifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat::timestamp;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::outcome::Outcome;
use crate::output::Output;

/// The answer.
#[derive(Serialize)]
struct Verdict {
    is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Says whether a token is valid, and if not, why: by the authorizer's own settings and code. Without a `token`, reads
/// it from standard input.
///
/// # Errors
///
/// A setting is missing, or the keys cannot be fetched.
pub async fn run(token: Option<String>, output: Output) -> Result<Outcome> {
    let config = JwtConfig::from_env()?;
    let token = match token {
        Some(token) => token,
        None => {
            let mut token = String::new();
            std::io::stdin().read_to_string(&mut token)?;
            token
        }
    };
    let token = token.trim();
    let rules = config.rules.clone();
    let verifier = Verifier::new(Keys::new(config.source, Timing::default()), config.rules);
    let verdict = match verifier.verify(token).await {
        Ok(identity) => Verdict {
            is_valid: true,
            user_id: Some(identity.user_id.to_string()),
            expires_at: identity.expires_at.map(timestamp::format),
            reason: None,
        },
        Err(Error::Rejected(rejection)) => Verdict {
            is_valid: false,
            user_id: None,
            expires_at: None,
            reason: Some(explain(rejection, &Unverified::of(token), &rules)),
        },
        Err(Error::Failed(error)) => {
            return Err(error).with_context(keys_missing);
        }
    };
    output.line(&verdict, || match (&verdict.user_id, &verdict.reason) {
        (Some(user), _) => {
            let end = verdict.expires_at.as_deref().unwrap_or_default();
            format!("the token is valid: it is that of {user}, until {end}")
        }
        (None, reason) => reason.clone().unwrap_or_default(),
    })?;
    Ok(Outcome::good_if(verdict.is_valid))
}

/// Says from where keys cannot be fetched.
fn keys_missing() -> String {
    let (name, from) = ["JWT_KEYS_URL", "JWT_SECRET_ARN"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok().filter(|it| !it.is_empty())?)))
        .unwrap_or_default();
    format!(
        "the keys cannot be fetched from {name}, {from}: is that right, and can this machine reach it?"
    )
}

/// What a token says of itself, whether that is true or not. Null where it says nothing.
struct Unverified {
    header: Value,
    claims: Value,
    /// Whether the scheme of the header that carries it stands before it.
    has_scheme: bool,
}

impl Unverified {
    fn of(token: &str) -> Self {
        let mut parts = token.split('.').map(|part| {
            let json = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice(&json).ok()
        });
        let mut next = || parts.next().flatten().unwrap_or_default();
        Self {
            header: next(),
            claims: next(),
            has_scheme: token
                .get(..7)
                .is_some_and(|it| it.eq_ignore_ascii_case("bearer ")),
        }
    }

    /// Returns the time of a claim.
    fn time(&self, claim: &str) -> String {
        let seconds = self.claims[claim].as_f64().unwrap_or_default();
        let time = DateTime::from_timestamp(seconds as i64, 0);
        time.map_or_else(|| "an unknown time".to_owned(), timestamp::format)
    }
}

fn explain(rejection: Rejection, token: &Unverified, rules: &Rules) -> String {
    let (header, claims) = (&token.header, &token.claims);
    if token.has_scheme {
        return "the text begins with \"Bearer \", which is no part of the token: give what is behind it".to_owned();
    }
    if rejection == Rejection::Malformed && claims.is_object() && claims["exp"].is_null() {
        return "the token has no claim `exp`, the time at which it ends: the issuer has to give it one".to_owned();
    }
    let detail = match rejection {
        Rejection::Issuer => format!("`iss` is {}, and JWT_ISSUER is {:?}", claims["iss"], rules.issuer),
        Rejection::Audience => format!(
            "`aud` is {}, `client_id` is {}, and JWT_AUDIENCE is {:?}",
            claims["aud"], claims["client_id"], rules.audience
        ),
        Rejection::UnknownKey => format!("`kid` is {}; is JWT_KEYS_URL that of this issuer?", header["kid"]),
        Rejection::Algorithm => format!("`alg` is {}", header["alg"]),
        Rejection::Signature => "somebody has changed it, or another key has made it".to_owned(),
        Rejection::Expired => format!("it did at {}, and it is {}", token.time("exp"), now()),
        Rejection::NotYetValid => format!("it is from {} on, and it is {}", token.time("nbf"), now()),
        Rejection::NoUser => no_user(claims, &rules.user_claim),
        _ => "a token is three parts with dots between, of which the first two are JSON in base64, with `exp` and `iss`"
            .to_owned(),
    };
    format!("{rejection}: {detail}")
}

fn now() -> String {
    timestamp::format(Utc::now())
}

fn no_user(claims: &Value, claim: &str) -> String {
    let value = &claims[claim];
    if !value.is_string() {
        return format!("its claim `{claim}` (JWT_USER_CLAIM) is {value}");
    }
    let verified = format!("{claim}_verified");
    if claim.ends_with("email") {
        return format!("`{verified}` is {}, and must be true", claims[&verified]);
    }
    format!("its claim `{claim}` (JWT_USER_CLAIM) is no valid user id")
}
