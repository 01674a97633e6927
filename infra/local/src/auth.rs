//! `--auth`: a local token issuer, with a key, a JWKS endpoint and a token for each `--user`.
//! Without it the `user_id` of the URL is trusted.

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use chat::UserId;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use local_gateway::http::server::{json_response, serve};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Parameters of the chat's template that `--auth` sets itself, or that contradict it.
const OURS: [&str; 5] = [
    "Auth",
    "JwtIssuer",
    "JwtAudience",
    "JwtKeysUrl",
    "JwtSecretArn",
];

/// The warning of a chat without authorization.
pub const OFF: &str = "authorization is off: the user id of the URL is believed";

/// The response of a chat without authorization to a web page of another machine, which could be any user
/// and read every history.
pub const PAGE_REFUSAL: &str = "authorization is off, so only web pages of this machine are served: open \
                                the page at http://localhost, or start with --auth";

/// The path of the public key at the issuer.
const KEYS_PATH: &str = "/.well-known/jwks.json";

/// The claim `aud` of tokens.
const AUDIENCE: &str = "meetme-chat";

/// Validity of a token, in hours.
pub const HOURS: i64 = 12;

/// Users who get a token without `--user`.
const USERS: [&str; 2] = ["prof@example.com", "student@example.com"];

/// Flags of authorization.
#[derive(Args)]
#[command(next_help_heading = "The chat")]
#[group(skip)]
pub struct Flags {
    /// Require tokens: creates a key, publishes its public half, and shows a token for each --user.
    /// Without it, the user id of the URL is trusted
    // Functions that run elsewhere do not get the address of the key.
    #[arg(long, conflicts_with = "lambda_endpoint")]
    auth: bool,

    /// User who gets a token; may be repeated [default: prof@example.com and student@example.com]
    #[arg(long = "user", value_name = "USER_ID", requires = "auth", value_parser = user_id)]
    users: Vec<UserId>,
}

fn user_id(text: &str) -> Result<UserId> {
    UserId::try_from(text.to_owned()).map_err(|rejection| anyhow!("{}", rejection.message))
}

impl Flags {
    /// Returns the authorization that the flags ask for. With `--auth` the issuer is up when this
    /// returns: functions read its keys at their start. `given` are the parameters of the command
    /// line.
    ///
    /// # Errors
    ///
    /// The command line sets a parameter that `--auth` sets, or there can be no issuer.
    pub async fn choose(&self, given: &[(String, String)]) -> Result<Authorization> {
        if !self.auth {
            let mut given = given.iter().rev();
            let mode = given.find(|(name, _)| name == "Auth");
            return Ok(match mode.map(|(_, mode)| mode.as_str()) {
                None | Some("open") => Authorization::Off,
                Some(_) => Authorization::Given,
            });
        }
        if let Some((name, _)) = given.iter().find(|(name, _)| OURS.contains(&&**name)) {
            bail!("--auth sets {name} itself: leave out --auth, or --parameter {name}=…");
        }
        let users = match self.users.as_slice() {
            [] => USERS.into_iter().map(user_id).collect::<Result<_>>()?,
            users => users.to_vec(),
        };
        let issuer = Issuer::start(users).await.context("--auth")?;
        Ok(Authorization::Own(issuer))
    }
}

/// The authorization of the chat.
pub enum Authorization {
    /// None: the user id of the URL is trusted.
    Off,
    /// Tokens of the issuer in the parameters of the command line.
    Given,
    /// Tokens of this start.
    Own(Issuer),
}

impl Authorization {
    /// Returns the parameters of the chat's template.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let parameters = match self {
            Self::Off => vec![("Auth", "open".to_owned())],
            Self::Given => Vec::new(),
            Self::Own(issuer) => vec![
                ("Auth", "jwt".to_owned()),
                ("JwtIssuer", issuer.url.clone()),
                ("JwtAudience", AUDIENCE.to_owned()),
                ("JwtKeysUrl", format!("{}{KEYS_PATH}", issuer.url)),
            ],
        };
        let parameters = parameters.into_iter();
        parameters
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// The issuer of the tokens of this start: a server of its own, as a real issuer is. Its key exists
/// only in this process.
pub struct Issuer {
    /// Its address, and the claim `iss` of its tokens.
    pub url: String,
    /// Users who get a token.
    pub users: Vec<UserId>,
    key: EncodingKey,
    key_id: String,
}

impl Issuer {
    /// Makes a key, and publishes its public half as long as this process lives.
    async fn start(users: Vec<UserId>) -> Result<Self> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| anyhow!("the system gives no random numbers"))?;
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut public_key = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        let key_id = public_key.thumbprint(ThumbprintHash::SHA256)?;
        public_key.common.key_id = Some(key_id.clone());

        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let keys = json!({"keys": [public_key]});
        let handler = move |request: hyper::Request<_>, _| {
            std::future::ready(published(&keys, request.uri().path()))
        };
        tokio::spawn(serve(listener, CancellationToken::new(), handler));
        Ok(Self {
            url,
            users,
            key,
            key_id,
        })
    }

    /// Returns a token for a user, with the claims of identity providers. The user id is in `sub`
    /// and in `email`, whichever `JwtUserClaim` names.
    ///
    /// # Errors
    ///
    /// It cannot be signed.
    pub fn token(&self, user: &UserId, now: DateTime<Utc>) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        let claims = json!({
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user,
            "email": user,
            "email_verified": true,
            "iat": now.timestamp(),
            "nbf": now.timestamp(),
            "exp": (now + TimeDelta::hours(HOURS)).timestamp(),
        });
        Ok(encode(&header, &claims, &self.key)?)
    }
}

fn published(keys: &Value, path: &str) -> Response<Full<Bytes>> {
    match path {
        KEYS_PATH => json_response(StatusCode::OK, keys),
        _ => json_response(StatusCode::NOT_FOUND, &json!({"keys_are_at": KEYS_PATH})),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
    use local_gateway::cli;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        gateway: cli::Flags,
        #[command(flatten)]
        auth: Flags,
    }

    async fn choose(arguments: &[&str]) -> Result<Authorization> {
        let arguments = Arguments::try_parse_from([&["chat-local"], arguments].concat())?;
        arguments.auth.choose(&arguments.gateway.parameters).await
    }

    async fn own(arguments: &[&str]) -> Issuer {
        match choose(arguments).await {
            Ok(Authorization::Own(issuer)) => issuer,
            _ => panic!("tokens of this start"),
        }
    }

    #[tokio::test]
    async fn a_token_is_signed_with_the_published_key_and_names_its_user() {
        let issuer = own(&["--auth", "--user", "a b"]).await;
        let [user] = issuer.users.as_slice() else {
            panic!("one user");
        };
        let token = issuer.token(user, Utc::now()).expect("signed");
        let address = format!("{}{KEYS_PATH}", issuer.url);
        let keys = local_gateway::http::client::get(&address)
            .await
            .expect("published");
        let keys: Value = serde_json::from_slice(&keys).expect("JSON");
        let [key] = keys["keys"].as_array().expect("a list").as_slice() else {
            panic!("one key");
        };
        let names: Vec<&String> = key.as_object().expect("a map").keys().collect();
        assert_eq!(
            names,
            ["alg", "crv", "kid", "kty", "x", "y"],
            "it is public"
        );
        let header = decode_header(&token).expect("a token");
        assert_eq!(key["kid"], header.kid.expect("it names its key"));

        let key: Jwk = serde_json::from_value(key.clone()).expect("a JWK");
        let key = DecodingKey::from_jwk(&key).expect("a key");
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&issuer.url]);
        validation.set_audience(&["meetme-chat"]);
        validation.validate_nbf = true;
        let claims: Value = decode(&token, &key, &validation).expect("valid").claims;
        assert_eq!(claims["sub"], "a b");
        assert_eq!(claims["email"], "a b");
        assert_eq!(claims["email_verified"], true);
        let [from, to] = ["iat", "exp"].map(|name| claims[name].as_i64().expect("a time"));
        assert_eq!(to - from, 12 * 3_600);
    }

    #[tokio::test]
    async fn each_start_has_a_key_of_its_own() {
        let (one, other) = (own(&["--auth"]).await, own(&["--auth"]).await);
        assert_eq!(one.users.len(), 2);
        assert_ne!(one.key_id, other.key_id);
    }

    #[tokio::test]
    async fn authorization_is_off_unless_it_is_asked_for() {
        let parameters = async |arguments: &[&str]| {
            let chosen = choose(arguments).await.expect("good arguments");
            chosen.parameters()
        };
        let auth = |mode: &str| ("Auth".to_owned(), mode.to_owned());
        let open = ["--parameter", "Auth=open"];
        assert_eq!(parameters(&[]).await, [auth("open")]);
        assert_eq!(parameters(&open).await, [auth("open")]);
        assert_eq!(parameters(&["--parameter", "Auth=jwt"]).await, []);
        assert!(parameters(&["--auth"]).await.contains(&auth("jwt")));
    }

    #[tokio::test]
    async fn contradicting_arguments_are_rejected() {
        for (arguments, expected) in [
            (&["--auth", "--user", ""][..], "The user id is empty."),
            (&["--auth", "--user", "a\nb"], "a control character"),
            (&["--user", "a"], "--auth"),
            (
                &["--auth", "--lambda-endpoint", "http://x"],
                "cannot be used with",
            ),
            (
                &["--auth", "--parameter", "Auth=jwt"],
                "--auth sets Auth itself",
            ),
            (
                &["--auth", "--parameter", "JwtSecretArn=x"],
                "--auth sets JwtSecretArn itself",
            ),
        ] {
            let Err(error) = choose(arguments).await else {
                panic!("{arguments:?}");
            };
            let said = error.to_string();
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
        // These say how tokens are read, and go well with tokens of this start.
        own(&["--auth", "--parameter", "JwtUserClaim=email"]).await;
        own(&["--auth", "--parameter", "JwtInQuery=on"]).await;
    }
}
