//! What end-to-end tests and benchmarks stand on.
//!
//! - [`programs`]: the binaries, built once
//! - [`server`]: one database server for a run, a database for each test
//! - [`stack`]: the whole chat as a process of its own
//! - [`gateway`]: the local gateway as a process of its own, on any template
//! - [`management`]: the `@connections` API through the SDK
//! - [`client`]: a WebSocket client and an HTTP client
//! - [`raw`]: a TCP connection on which a test says what it likes
//! - [`process`]: memory and CPU time of a process, and how many files it may open
//! - [`tools`]: boto3, the AWS CLI and cargo-lambda, installed once

pub mod client;
pub mod gateway;
pub mod management;
pub mod process;
pub mod programs;
pub mod raw;
pub mod server;
pub mod stack;
pub mod tools;

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
