//! The authorizer of both APIs: verifies the user who opens a connection or asks for a history.
//!
//! - [`request`]: the request of API Gateway, and the token in it
//! - [`token`]: verifies a token
//! - [`keys`]: the keys that sign tokens
//! - [`response`]: the response to API Gateway
//! - [`error`]: the reasons for which a request is not authorized
//!
//! API Gateway asks once for a connection, and puts the identity into every event of it. It asks for
//! each request to the history.

pub mod error;
pub mod keys;
pub mod request;
pub mod response;
pub mod token;

use chat::{Identity, Result, UserId};
use chat_lambda::config::Auth;
use chat_lambda::env::{invalid, optional, required};
use chat_lambda::http_client;
use chat_lambda::secrets_manager::SecretReference;
use hyper::Uri;
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tracing::Instrument;

use error::{Error, Rejection};
use keys::{Keys, Source, Timing};
use request::Request;
use token::{Rules, Verifier};

/// Settings from environment variables.
pub enum Config {
    /// `AUTH=open`.
    Open,
    /// `AUTH=jwt`.
    Jwt(Box<JwtConfig>),
}

/// Settings about tokens.
pub struct JwtConfig {
    /// `JWT_KEYS_URL` or `JWT_SECRET_ARN`: one of them is required.
    pub source: Source,
    /// `JWT_ISSUER`, `JWT_AUDIENCE` (separated by commas) and `JWT_USER_CLAIM` (default `sub`).
    pub rules: Rules,
    /// `JWT_IN_QUERY`: `on` reads `?token=` as well; default `off`, since URLs get logged.
    pub in_query: bool,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        match Auth::from_env()? {
            Auth::Open => Ok(Self::Open),
            Auth::Jwt => Ok(Self::Jwt(Box::new(JwtConfig::from_env()?))),
        }
    }
}

impl JwtConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`].
    pub fn from_env() -> Result<Self> {
        const IN_QUERY: &str = "JWT_IN_QUERY";
        Ok(Self {
            source: source()?,
            rules: Rules {
                issuer: required("JWT_ISSUER")?,
                audience: audience()?,
                user_claim: optional("JWT_USER_CLAIM")?.unwrap_or_else(|| "sub".to_owned()),
            },
            in_query: match optional(IN_QUERY)?.as_deref() {
                None | Some("off") => false,
                Some("on") => true,
                Some(_) => return Err(invalid(IN_QUERY, "is neither on nor off")),
            },
        })
    }
}

fn audience() -> Result<Vec<String>> {
    const VARIABLE: &str = "JWT_AUDIENCE";
    let text = required(VARIABLE)?;
    let names: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(invalid(VARIABLE, "has no name in it"));
    }
    Ok(names)
}

fn source() -> Result<Source> {
    const URL: &str = "JWT_KEYS_URL";
    const SECRET: &str = "JWT_SECRET_ARN";
    match (optional(URL)?, optional(SECRET)?) {
        (Some(url), None) => Ok(Source::Published {
            url: keys_url(&url).map_err(|problem| invalid(URL, problem))?,
            client: Box::new(http_client::new()),
        }),
        (None, Some(_)) => Ok(Source::Secret(Box::new(SecretReference::from_env(SECRET)?))),
        (None, None) => Err(invalid(
            URL,
            "is not set, and JWT_SECRET_ARN is not set either",
        )),
        (Some(_), Some(_)) => Err(invalid(
            URL,
            "is set, and JWT_SECRET_ARN is set as well: set only one of them",
        )),
    }
}

/// Reads the address of a JWKS. It must be `https`, or on this machine: keys that were changed on their
/// way would make any token valid.
fn keys_url(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let is_local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_local => Ok(uri),
        _ => Err("does not start with https://"),
    }
}

/// Identifies the user of a request.
pub enum Authorizer {
    /// The user id of the URL is trusted.
    Open,
    /// The user is that of a verified token.
    Jwt {
        /// Verifies the token.
        verifier: Box<Verifier>,
        /// Whether `?token=` is read.
        in_query: bool,
    },
}

impl Authorizer {
    /// Returns an authorizer that has no keys yet.
    pub fn new(config: Config) -> Self {
        match config {
            Config::Open => Self::Open,
            Config::Jwt(config) => {
                let keys = Keys::new(config.source, Timing::default());
                Self::Jwt {
                    verifier: Box::new(Verifier::new(keys, config.rules)),
                    in_query: config.in_query,
                }
            }
        }
    }

    /// Fetches the keys, for the start of a process. Without them it starts all the same.
    pub async fn fetch_keys(&self) {
        if let Self::Jwt { verifier, .. } = self {
            verifier.fetch_keys().await;
        }
    }

    /// Returns the user of a request. In the open mode there may be none: `$connect` rejects that.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`], and [`Rejection::OtherUser`].
    pub async fn identify(&self, request: &Request) -> Result<Option<Identity>, Error> {
        match self {
            Self::Open => Ok(claimed(request)),
            Self::Jwt { verifier, in_query } => {
                let identity = verifier.verify(request.token(*in_query)?).await?;
                let user_id = identity.user_id.as_str();
                if request.user_ids.iter().any(|claimed| claimed != user_id) {
                    return Err(Rejection::OtherUser.into());
                }
                Ok(Some(identity))
            }
        }
    }
}

/// Stands in a decoded query for bytes that are not UTF-8.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Returns the user that a handshake names, if it is exactly one. An id that is not UTF-8 is none: API Gateway
/// decodes the query and replaces such bytes, so different ids would be one user.
fn claimed(request: &Request) -> Option<Identity> {
    let [user_id] = request.user_ids.as_slice() else {
        return None;
    };
    if user_id.contains(REPLACEMENT) {
        return None;
    }
    Some(Identity {
        user_id: UserId::try_from(user_id.clone()).ok()?,
        expires_at: None,
    })
}

/// Handles one request of API Gateway.
///
/// # Errors
///
/// [`Error`]: the caller sees 401 if the request is rejected, else 500.
pub async fn handle(
    event: LambdaEvent<Request>,
    authorizer: &'static Authorizer,
) -> Result<Value, Error> {
    let request = event.payload;
    let span = tracing::info_span!("authorize", connection_id = request.connection_id);
    respond(&request, authorizer).instrument(span).await
}

async fn respond(request: &Request, authorizer: &Authorizer) -> Result<Value, Error> {
    match authorizer.identify(request).await {
        Ok(identity) => Ok(response::allow(&request.target, identity.as_ref())),
        Err(Error::Rejected(Rejection::OtherUser)) => {
            let reason = Rejection::OtherUser.to_string();
            tracing::info!(reason, monotonic_counter.Refusals = 1, "not authorized");
            Ok(response::deny(&request.target))
        }
        Err(Error::Rejected(rejection)) => {
            let reason = rejection.to_string();
            // Counted apart: each is an error of the function as well, and errors beyond these alarm.
            tracing::info!(reason, monotonic_counter.Unauthorized = 1, "not authorized");
            Err(rejection.into())
        }
        Err(Error::Failed(error)) => {
            // Counted where the keys were not fetched.
            tracing::error!(cause = error.chain(), "authorization failed");
            Err(error.into())
        }
    }
}
