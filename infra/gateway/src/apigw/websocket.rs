//! The WebSocket API.
//!
//! - [`handshake`]: requests that become connections
//! - [`connection`]: the task of an open connection
//! - [`registry`]: the open connections
//! - [`management`]: the `@connections` API

pub mod connection;
pub mod handshake;
pub mod management;
pub mod registry;
