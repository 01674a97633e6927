//! The harness of end-to-end tests, benchmarks and tools.
//!
//! - [`programs`]: the binaries of the workspace, built once
//! - [`server`]: one database server for a run, a database for each test
//! - [`launch`]: the command line of the local gateway, on any template
//! - [`gateway`]: the local gateway as a running process
//! - [`chat`]: the whole chat: a local gateway and a database
//! - [`admin`]: the operator's program
//! - [`function`]: one process of a function, without a gateway
//! - [`messages`]: long conversations and lists, inserted directly
//! - [`issuer`]: an issuer of tokens
//! - [`management`]: the `@connections` API through the SDK
//! - [`queue`]: the queues of a local gateway through the SDK
//! - [`client`]: clients of the chat, for tests and tools
//! - [`page`]: the web page, loaded as a browser does it
//! - [`relay`]: a TCP relay in front of the database, which counts commands
//! - [`raw`]: a TCP connection for bytes of any kind
//! - [`process`]: processes that end with this one; memory, CPU time, open files and children of a process
//! - [`tls`]: clients that trust the certificates of the local gateway
//! - [`tools`]: third-party programs, installed once
//! - [`node`]: packages for Node, installed once, and bundles of them
//! - [`baseline`]: the server that the chat replaces, and samples of a chat in other languages
//! - [`ministack`]: an emulator of AWS as a process
//! - [`sam`]: builds, deploys and deletes with the SAM CLI, as the README says

pub mod admin;
pub mod baseline;
pub mod chat;
pub mod client;
pub mod function;
pub mod gateway;
pub mod issuer;
pub mod launch;
pub mod management;
pub mod messages;
pub mod ministack;
pub mod node;
pub mod page;
pub mod process;
pub mod programs;
pub mod queue;
pub mod raw;
pub mod relay;
pub mod sam;
pub mod server;
pub mod tls;
pub mod tools;

use std::panic::Location;
use std::time::Duration;

pub use self::chat::Chat;
pub use client::{Client, get};
pub use gateway::LocalGateway;

/// Time limit of every wait in a test.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits for a future, of which `what` is the result: `the reader's last message`.
///
/// # Panics
///
/// It is not there within [`TIMEOUT`].
pub async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(TIMEOUT, wait).await;
    waited.unwrap_or_else(|_| panic!("waited {TIMEOUT:?} in vain for {what}"))
}

/// Polls a condition until it holds: for conditions that no event announces.
///
/// # Panics
///
/// The condition does not hold within [`TIMEOUT`]; the message names the line of the call.
#[track_caller]
pub fn until(condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    poll(condition, TIMEOUT, Location::caller())
}

async fn poll(mut condition: impl AsyncFnMut() -> bool, limit: Duration, call: &Location<'_>) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(limit, poll).await;
    held.unwrap_or_else(|_| panic!("waited {limit:?} in vain for the condition at {call}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic = "waited 1ms in vain for the condition at tests/harness/lib.rs:"]
    async fn a_condition_that_does_not_hold_in_time_is_named() {
        poll(async || false, Duration::from_millis(1), Location::caller()).await;
    }
}
