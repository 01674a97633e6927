//! HTTP as such: knows nothing of APIs, templates and functions.
//!
//! - [`server`]: accepts connections, reads bodies, writes responses
//! - [`body`]: bodies of requests, whose sum is limited
//! - [`client`]: sends requests
//! - [`headers`]: headers and query strings as pairs of text
//! - [`recorder`]: heads of requests as the client has written them
//! - [`tls`]: connections that may be TLS
//! - [`sigv4`]: signatures of requests

pub mod body;
pub mod client;
pub mod headers;
pub mod recorder;
pub mod server;
pub mod sigv4;
pub mod tls;
