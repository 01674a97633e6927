//! Settings that several functions have in common.
//!
//! - `database`: the database, and its connection string or the secret that holds it
//! - `auth`: whether users need a token
//! - `push`: the management API

mod auth;
mod database;
mod push;

pub use auth::Auth;
pub use database::{ConnectionString, DatabaseConfig};
pub use push::PushConfig;
