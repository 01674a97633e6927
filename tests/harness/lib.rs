//! What end-to-end tests and benchmarks stand on.
//!
//! - [`programs`]: the binaries, built once
//! - [`server`]: one database server for a run, a database for each test
//! - [`stack`]: the whole chat as a process of its own
//! - [`client`]: a WebSocket client and an HTTP client

pub mod client;
pub mod programs;
pub mod server;
pub mod stack;

pub use client::{Client, get};
pub use stack::Stack;

/// Waits until a condition holds that nothing announces.
///
/// # Panics
///
/// It does not hold within [`stack::PATIENCE`].
pub async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(stack::PATIENCE, poll).await;
    held.expect("the condition holds in time");
}
