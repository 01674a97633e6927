//! Settings of the page: those that it reads from `config.json`, and its content security policy.

use chat::Result;
use chat_lambda::config::Auth;
use chat_lambda::env::{invalid, optional, required};
use hyper::Uri;
use serde_json::json;

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// `SOCKET_URL`: the WebSocket URL that the page connects to (`wss://…/prod`). `{user}` in it is replaced by the user
    /// id, percent-encoded.
    pub socket_url: String,
    /// `AUTH`: whether the page asks for a token, or only for a user id.
    pub auth: Auth,
    /// `JWT_USER_CLAIM`: the claim of a token that is the user id; default `sub`.
    pub user_claim: String,
    /// The scheme and the host of `socket_url`.
    origin: String,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Self::new(
            required("SOCKET_URL")?,
            Auth::from_env()?,
            optional("JWT_USER_CLAIM")?.unwrap_or_else(|| "sub".to_owned()),
        )
    }

    fn new(socket_url: String, auth: Auth, user_claim: String) -> Result<Self> {
        let origin = origin(&socket_url).ok_or_else(|| {
            invalid(
                "SOCKET_URL",
                "is not a URL that begins with wss:// or ws://",
            )
        })?;
        Ok(Self {
            socket_url,
            auth,
            user_claim,
            origin,
        })
    }

    /// Returns `config.json`:
    ///
    /// ```json
    /// {"socketUrl": "wss://…/prod", "auth": "jwt", "userClaim": "sub"}
    /// ```
    pub fn json(&self) -> String {
        let auth = match self.auth {
            Auth::Jwt => "jwt",
            Auth::Open => "open",
        };
        json!({"socketUrl": self.socket_url, "auth": auth, "userClaim": self.user_claim})
            .to_string()
    }

    /// Returns the header `content-security-policy` ([directives]): everything comes from the page's own
    /// origin except the WebSocket, whose origin is named, and no text becomes markup.
    ///
    /// [directives]: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
    pub fn policy(&self) -> String {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self' {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            self.origin
        )
    }
}

/// Returns the scheme and the host of a WebSocket URL.
fn origin(socket_url: &str) -> Option<String> {
    // A `Uri` cannot have braces in it.
    let uri: Uri = socket_url.replace("{user}", "user").parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| ["ws", "wss"].contains(scheme))?;
    Some(format!("{scheme}://{}", uri.authority()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(socket_url: &str) -> Result<Config> {
        Config::new(socket_url.to_owned(), Auth::Open, "sub".to_owned())
    }

    #[test]
    fn the_page_may_connect_to_its_own_origin_and_to_that_of_the_websocket() {
        for (socket_url, expected) in [
            (
                "ws://127.0.0.1:3001/prod?user_id={user}",
                "ws://127.0.0.1:3001",
            ),
            (
                "wss://chat.example.com/ws/chat/{user}",
                "wss://chat.example.com",
            ),
        ] {
            let policy = config(socket_url).expect("a good URL").policy();
            let connect = policy
                .split("; ")
                .find(|part| part.starts_with("connect-src"));
            assert_eq!(connect, Some(&*format!("connect-src 'self' {expected}")));
        }
    }

    #[test]
    fn a_url_that_is_not_of_a_websocket_is_rejected() {
        for socket_url in [
            "",
            "https://example.com",
            "wss:///prod",
            "prod",
            "wss://a b/",
        ] {
            let error = config(socket_url).expect_err(socket_url).to_string();
            assert!(error.contains("SOCKET_URL"), "{error}");
        }
    }
}
