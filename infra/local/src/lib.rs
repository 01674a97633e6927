//! The chat on one machine: what `cargo local` adds to [`local_gateway`].
//!
//! - [`database`]: finds, installs and runs the database
//! - [`auth`]: an issuer of tokens
//! - [`path_rewrite`]: the URLs of the old system
//! - [`running`]: where the running chat is
//! - [`screen`]: lines to paste, for the start-up screen

pub mod auth;
pub mod database;
pub mod path_rewrite;
pub mod running;
pub mod screen;
