//! Why somebody does not get in.

use std::fmt;

use chat_lambda::HandlerError;
use lambda_runtime::Diagnostic;

/// What is wrong with a request. Only the log says which it is: API Gateway tells the caller 401 or
/// 403 and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no token where one is taken.
    #[error("there is no token")]
    NoToken,
    /// It has more than one.
    #[error("there is more than one token")]
    SeveralTokens,
    /// The token is longer than any that is taken.
    #[error("the token is too long")]
    TooLong,
    /// The token is no JWT, or lacks a claim, or has one of a wrong type.
    #[error("the token is malformed")]
    Malformed,
    /// The issuer publishes no such key, or the token names none where there are several.
    #[error("the key of the token is not known")]
    UnknownKey,
    /// The token says that it is signed in another way than its key signs.
    #[error("the algorithm of the token is not that of its key")]
    Algorithm,
    /// The signature is not one of its key.
    #[error("the signature of the token is wrong")]
    Signature,
    /// The token is one of somebody else's.
    #[error("the issuer of the token is another one")]
    Issuer,
    /// The token is for something else.
    #[error("the audience of the token is another one")]
    Audience,
    /// The token has ended.
    #[error("the token has expired")]
    Expired,
    /// The token begins later.
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

/// Why the authorizer does not say yes.
#[derive(thiserror::Error)]
pub enum Failure {
    /// The caller has to mend it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only we can mend it: nobody gets in, and nobody is told to sign in again.
    #[error(transparent)]
    Failed(#[from] chat::Error),
}

/// The runtime logs it by this.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// API Gateway answers 401 to this very message, and 500 to any other.
impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(_) => Diagnostic {
                error_type: "Unauthorized".to_owned(),
                error_message: "Unauthorized".to_owned(),
            },
            Failure::Failed(error) => HandlerError::from(error).into(),
        }
    }
}
