//! What end-to-end tests and benchmarks stand on.
//!
//! - [`programs`]: the binaries, built once
//! - [`server`]: one database server for a run, a database for each test
//! - [`stack`]: the whole chat as a process of its own
//! - [`gateway`]: the local gateway as a process of its own, on any template
//! - [`function`]: one process of a function, without a gateway
//! - [`issuer`]: an issuer of tokens
//! - [`management`]: the `@connections` API through the SDK
//! - [`client`]: a WebSocket client and an HTTP client
//! - [`page`]: the web page, loaded as a browser does it
//! - [`raw`]: a TCP connection on which a test says what it likes
//! - [`process`]: processes that end with ours; memory and CPU time of a process, and how many files
//!   it may open
//! - [`tools`]: programs of others, installed once
//! - [`node`]: packages for Node, installed once, and bundles of them
//! - [`baseline`]: the server that the chat replaces, and functions in other languages
//! - [`ministack`]: an emulator of AWS as a process of its own
//! - [`sam`]: builds, deploys and deletes as the README says

pub mod baseline;
pub mod client;
pub mod function;
pub mod gateway;
pub mod issuer;
pub mod management;
pub mod ministack;
pub mod node;
pub mod page;
pub mod process;
pub mod programs;
pub mod raw;
pub mod sam;
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
