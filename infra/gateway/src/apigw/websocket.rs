//! The WebSocket API.
//!
//! - [`handshake`]: requests that become connections
//! - [`connection`]: the task of an open connection
//! - [`dispatch`]: frames of an open connection
//! - [`management`]: the `@connections` API

pub mod connection;
pub mod dispatch;
pub mod handshake;
pub mod management;
