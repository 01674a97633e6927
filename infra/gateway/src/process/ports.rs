//! Ports of this machine.

use std::net::TcpListener;

use anyhow::{Context, Result};

/// Returns a port that nobody listens on right now.
///
/// # Errors
///
/// There is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
