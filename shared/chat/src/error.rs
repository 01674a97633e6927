//! Errors, with one variant per reaction of the caller.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an [`Error::Unavailable`], kept for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error, by what the caller does about it.
#[derive(thiserror::Error)]
pub enum Error {
    /// The client's fault: send the code and the sentence back.
    #[error("the request was rejected")]
    Rejected(#[from] Rejection),

    /// Our fault: log the cause once, respond with `unavailable`, which may be retried.
    #[error("{operation} failed")]
    Unavailable {
        /// The operation, as a noun phrase: `insert of a message`.
        operation: &'static str,
        /// The cause.
        #[source]
        cause: Cause,
    },

    /// The deployment is wrong: stop at start and name the variable.
    #[error("environment variable {variable} {problem}")]
    Config {
        /// The name of the environment variable.
        variable: &'static str,
        /// The problem with it; never its value, which may be secret.
        problem: String,
    },
}

impl Error {
    /// Returns an [`Error::Unavailable`] of `operation`, for use in `map_err`.
    pub fn unavailable<C: Into<Cause>>(operation: &'static str) -> impl FnOnce(C) -> Self {
        move |cause| Self::Unavailable {
            operation,
            cause: cause.into(),
        }
    }

    /// Returns the error and all its causes in one line, for the log.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some libraries repeat the cause in their own sentence.
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            source = cause.source();
        }
        line
    }

    /// Returns the rejection that the client gets. An error that is our fault becomes `unavailable`,
    /// without its cause.
    pub fn rejection(self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection,
            Self::Unavailable { .. } | Self::Config { .. } => Rejection::new(
                Code::Unavailable,
                "The service cannot answer right now. Please try again in a moment.",
            ),
        }
    }
}

/// As [`Error::chain`]: the runtime logs errors by this, and the `Debug` output of a cause may hold
/// whole responses of services, secrets among them.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

/// A request that is rejected, with a reason that the client can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// A sentence for the user. It repeats nothing of the input.
    pub message: String,
    /// The milliseconds after which the same request may succeed, where that is known.
    pub retry_after_ms: Option<u64>,
}

impl Rejection {
    /// Returns a rejection with `code` and the sentence `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// Returns the rejection of a user who has to wait before the next request.
    pub fn rate_limited(wait: Duration) -> Self {
        Self {
            code: Code::RateLimited,
            message: "Too many requests. Please wait a moment.".to_owned(),
            // Rounded up: an earlier request would be rejected again.
            retry_after_ms: Some(wait.as_nanos().div_ceil(1_000_000) as u64),
        }
    }
}

/// The error codes of the protocol, in snake_case on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON, not an object, a missing field, a wrong type, an unknown action.
    InvalidFrame,
    /// A parameter is missing, repeated or malformed (HTTP only).
    InvalidRequest,
    /// A user id that is empty, too long or holds control characters.
    InvalidUserId,
    /// The message has no text.
    MessageEmpty,
    /// The message is longer than [`Text::MAX_BYTES`](crate::Text::MAX_BYTES).
    MessageTooLong,
    /// The `client_message_id` belongs to an earlier message that says something else.
    IdConflict,
    /// `sender_id` is not the user of the connection.
    SenderMismatch,
    /// The connection has no user; reconnect.
    NotConnected,
    /// The token with which the connection was opened has expired; reconnect with a new one.
    TokenExpired,
    /// The conversation or the message belongs to other users, or the user is no owner of the group.
    Forbidden,
    /// No text has this number, or it was deleted.
    MessageNotFound,
    /// The time in which a message can be edited or deleted is over.
    TooLate,
    /// It would change nothing in the group, or leave it without an owner.
    NoChange,
    /// The group would have more members than the limit.
    GroupFull,
    /// The user makes more requests than the limit allows; wait for `retry_after_ms`.
    RateLimited,
    /// The database failed or the deadline passed; nothing is wrong with the request.
    Unavailable,
}

impl Code {
    /// Returns whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once_and_the_client_sees_none_of_them() {
        let cause = std::io::Error::other("port 27017 refused");
        let error = Error::unavailable("insert of a message")(cause);
        assert_eq!(
            error.chain(),
            "insert of a message failed: port 27017 refused"
        );
        let rejection = error.rejection();
        assert_eq!(rejection.code, Code::Unavailable);
        assert!(!rejection.message.contains("27017"));
    }
}
