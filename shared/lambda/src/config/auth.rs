//! Settings of authorization.

use chat::Result;

use crate::env::{invalid, required};

/// `AUTH`: whether users need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `jwt`: the user is that of a verified token.
    Jwt,
    /// `open`: the user id of the URL is trusted, as in the old system.
    Open,
}

impl Auth {
    /// Reads the setting. No default: a missing variable must not open the chat.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): it is not set, or neither of the two.
    pub fn from_env() -> Result<Self> {
        const VARIABLE: &str = "AUTH";
        match required(VARIABLE)?.as_str() {
            "jwt" => Ok(Self::Jwt),
            "open" => Ok(Self::Open),
            _ => Err(invalid(VARIABLE, "is neither jwt nor open")),
        }
    }
}
