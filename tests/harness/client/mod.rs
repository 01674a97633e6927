//! Clients of the chat. The pieces of a client that follows the delivery contract report every failure
//! as a value; tests, benchmarks and tools are made of them. [`Client`] panics instead: for tests that
//! expect a response to each frame.
//!
//! - [`connection`]: connects with or without a token, sends, receives
//! - [`frame`]: the frames of the server
//! - [`pending`]: sends a message again until it is acknowledged
//! - [`copy`]: drops messages that are known, and finds gaps
//! - [`history`]: pages of the history, to fill gaps
//! - [`list`]: the list of a user's conversations
//! - [`members`]: the members of a group
//! - [`backoff`]: pauses before the next attempt to send or to connect
//! - [`http`]: an HTTP client
//! - [`asserting`]: a client that panics

pub mod asserting;
pub mod backoff;
pub mod connection;
pub mod copy;
pub mod frame;
pub mod history;
pub mod http;
pub mod list;
pub mod members;
pub mod pending;

use std::fmt::Display;

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

pub use asserting::Client;
pub use connection::{Connect, Connection, Token};
pub use frame::{Ack, Frame, Message, Receipt, Rejection};
pub use history::{History, history_url};
pub use http::{Http, HttpResponse, get, get_as, request, send};
pub use list::{List, Row};
pub use members::{Member, Members};
pub use pending::{Pending, Reply};

/// A handshake or a request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The server has refused it: nothing was done.
    #[error("{0}")]
    Rejected(StatusCode),
    /// There was no response, or it broke off: the request may have been carried out.
    #[error("{0}")]
    Unknown(String),
    /// The response is not of the form that it should be; its text.
    #[error("not of the expected form: {0}")]
    Malformed(String),
}

impl Error {
    fn unknown(error: impl Display) -> Self {
        Self::Unknown(error.to_string())
    }

    fn no_response() -> Self {
        Self::Unknown("no response".to_owned())
    }
}

/// Encodes a value for a query string or a path.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
