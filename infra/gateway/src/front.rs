//! The handlers of the two listeners.
//!
//! - [`websocket`]: handshakes, on the WebSocket port
//! - [`socket`]: the life of a socket that is up
//! - [`management`]: `@connections`, on the same port
//! - [`invoke`]: the Invoke API of Lambda, on the same port
//! - [`control`]: faults on demand, on the same port
//! - [`http`]: the HTTP API
//! - [`cors`]: its cross-origin rules

pub mod control;
pub mod cors;
pub mod http;
pub mod invoke;
pub mod management;
pub mod socket;
pub mod websocket;
