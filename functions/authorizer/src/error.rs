//! The reasons for which a request is not authorized.

use std::fmt;

use chat_lambda::HandlerError;
use lambda_runtime::Diagnostic;

/// A rejected request: the caller's fault. Only the log has the reason: API Gateway responds to the
/// caller with 401 or 403 and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It has no token in any of the places for one.
    #[error("there is no token")]
    NoToken,
    /// It has more than one.
    #[error("there is more than one token")]
    SeveralTokens,
    /// The token is longer than the limit.
    #[error("the token is too long")]
    TooLong,
    /// The token is no JWT, lacks a claim, or has one of a wrong type.
    #[error("the token is malformed")]
    Malformed,
    /// The issuer publishes no such key, or the token names none where there are several.
    #[error("the key of the token is not known")]
    UnknownKey,
    /// The algorithm in the header of the token is not that of its key.
    #[error("the algorithm of the token is not that of its key")]
    Algorithm,
    /// The signature was not made by its key.
    #[error("the signature of the token is wrong")]
    Signature,
    /// The token is from another issuer.
    #[error("the issuer of the token is another one")]
    Issuer,
    /// The token is for another audience.
    #[error("the audience of the token is another one")]
    Audience,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token names no user: the claim is missing, no valid user id, or an unverified e-mail
    /// address.
    #[error("the token names no user")]
    NoUser,
    /// The token is good, and `?user_id=` names another user.
    #[error("the user of the URL is not that of the token")]
    OtherUser,
}

/// An error of the authorizer.
#[derive(thiserror::Error)]
pub enum Error {
    /// The caller's fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Our fault: no request is authorized, and no user is asked to sign in again.
    #[error(transparent)]
    Failed(#[from] chat::Error),
}

/// The runtime logs the error by this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// API Gateway responds with 401 to exactly this message, and with 500 to any other.
impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(_) => Diagnostic {
                error_type: "Unauthorized".to_owned(),
                error_message: "Unauthorized".to_owned(),
            },
            Error::Failed(error) => HandlerError::from(error).into(),
        }
    }
}
