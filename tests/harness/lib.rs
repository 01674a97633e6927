//! What end-to-end tests and benchmarks stand on.
//!
//! - [`programs`]: the binaries, built once
//! - [`server`]: one database server for a run, a database for each test
//! - [`launch`]: the local gateway as a process, on any template
//! - [`chat`]: the whole chat: a local gateway and a database
//! - [`function`]: one process of a function, without a gateway
//! - [`issuer`]: an issuer of tokens
//! - [`management`]: the `@connections` API through the SDK
//! - [`client`]: clients of the chat, for tests and tools
//! - [`page`]: the web page, loaded as a browser does it
//! - [`relay`]: a TCP relay in front of the database, which counts commands
//! - [`raw`]: a TCP connection on which a test says what it likes
//! - [`process`]: processes that end with ours; memory and CPU time of a process, and how many files
//!   it may open
//! - [`tools`]: programs of others, installed once
//! - [`node`]: packages for Node, installed once, and bundles of them
//! - [`baseline`]: the server that the chat replaces, and functions in other languages
//! - [`ministack`]: an emulator of AWS as a process of its own
//! - [`sam`]: builds, deploys and deletes as the README says

pub mod baseline;
pub mod chat;
pub mod client;
pub mod function;
pub mod issuer;
pub mod launch;
pub mod management;
pub mod ministack;
pub mod node;
pub mod page;
pub mod process;
pub mod programs;
pub mod raw;
pub mod relay;
pub mod sam;
pub mod server;
pub mod tools;

use std::time::Duration;

pub use self::chat::Chat;
pub use client::{Client, get};
pub use launch::LocalGateway;

/// Time limit of every wait in a test.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until a condition holds that nothing announces.
///
/// # Panics
///
/// It does not hold within [`TIMEOUT`].
pub async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(TIMEOUT, poll).await;
    held.expect("the condition holds in time");
}
