//! The authorizer of both APIs: who opens a socket, who asks for a history.
//!
//! - [`request`]: what API Gateway asks, and where the token is
//! - [`token`]: what makes a token good
//! - [`keys`]: the keys that sign tokens
//! - [`answer`]: what API Gateway is told
//! - [`refusal`]: why somebody does not get in
//!
//! API Gateway asks once for a socket, and puts what it is told into every event of that socket; it
//! asks for each request to the history.

pub mod answer;
pub mod keys;
pub mod refusal;
pub mod request;
pub mod token;

use chat::{Identity, Result, UserId};
use chat_lambda::config::{Auth, invalid, optional, required};
use chat_lambda::http_client;
use chat_lambda::secrets_manager::SecretReference;
use hyper::Uri;
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tracing::Instrument;

use keys::{Keys, Source, Timing};
use refusal::{Failure, Refusal};
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
    /// `JWT_IN_QUERY`: `on` takes `?token=` as well; default `off`, since URLs get logged.
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
    fn from_env() -> Result<Self> {
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
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    match names.is_empty() {
        false => Ok(names),
        true => Err(invalid(VARIABLE, "names nobody")),
    }
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
            "is set, and JWT_SECRET_ARN is set as well: which one is meant?",
        )),
    }
}

/// The address of a JWKS. Whoever could change it on its way could be anybody, so it is `https`, or on
/// this machine.
fn keys_url(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let is_local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_local => Ok(uri),
        _ => Err("does not start with https://"),
    }
}

/// Decides who gets in.
pub enum Authorizer {
    /// Whoever names a user is believed to be that user.
    Open,
    /// Whoever has a good token gets in.
    Jwt {
        /// Says who that is.
        verifier: Box<Verifier>,
        /// Whether `?token=` is taken.
        in_query: bool,
    },
}

impl Authorizer {
    /// An authorizer that has no keys yet.
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

    /// Who asks. In the open mode that may be nobody: `$connect` refuses that.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`], and [`Refusal::OtherUser`].
    pub async fn identify(&self, request: &Request) -> Result<Option<Identity>, Failure> {
        match self {
            Self::Open => Ok(claimed(request)),
            Self::Jwt { verifier, in_query } => {
                let identity = verifier.verify(request.token(*in_query)?).await?;
                let user_id = identity.user_id.as_str();
                match request.user_ids.iter().all(|claimed| claimed == user_id) {
                    true => Ok(Some(identity)),
                    false => Err(Refusal::OtherUser.into()),
                }
            }
        }
    }
}

/// The user that a handshake claims to come from, if it is exactly one.
fn claimed(request: &Request) -> Option<Identity> {
    let [user_id] = request.user_ids.as_slice() else {
        return None;
    };
    Some(Identity {
        user_id: UserId::try_from(user_id.clone()).ok()?,
        expires_at: None,
    })
}

/// Answers one question of API Gateway.
///
/// # Errors
///
/// [`Failure`]: the caller sees 401 if refused, else 500.
pub async fn handle(
    event: LambdaEvent<Request>,
    authorizer: &'static Authorizer,
) -> Result<Value, Failure> {
    let request = event.payload;
    let span = tracing::info_span!("authorize", connection_id = request.connection_id);
    answer(&request, authorizer).instrument(span).await
}

async fn answer(request: &Request, authorizer: &Authorizer) -> Result<Value, Failure> {
    match authorizer.identify(request).await {
        Ok(identity) => Ok(answer::allow(&request.target, identity.as_ref())),
        Err(Failure::Refused(Refusal::OtherUser)) => {
            let reason = Refusal::OtherUser.to_string();
            tracing::info!(reason, monotonic_counter.Refusals = 1, "not authorized");
            Ok(answer::deny(&request.target))
        }
        Err(Failure::Refused(refusal)) => {
            let reason = refusal.to_string();
            // Counted apart: each is an error of the function as well, and errors beyond these alarm.
            tracing::info!(reason, monotonic_counter.Unauthorized = 1, "not authorized");
            Err(refusal.into())
        }
        Err(Failure::Failed(error)) => {
            // Counted where the keys were not read.
            tracing::error!(cause = error.chain(), "authorization failed");
            Err(error.into())
        }
    }
}
