//! The HTTP API.
//!
//! - [`handler`]: requests as payload format 2.0, and the rules for a function's response
//! - [`cors`]: cross-origin rules

pub mod cors;
pub mod handler;
