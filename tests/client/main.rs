//! Tests of the client library (`shared/client`) and the web page (`functions/page`), in JavaScript, which
//! run on Node.
//!
//! - `shared/client/test`: the library alone: with a driven clock, on a WebSocket server in the same process,
//!   and as a published package
//! - `tests/client`: the library on the whole chat, under faults
//! - `tests/page`: the page in a browser

use tests::node;
use tokio::sync::RwLock;

/// Held by the tests of the page alone: a browser uses all of the CPU. The other two mostly wait, for
/// different servers, and share it.
static MACHINE: RwLock<()> = RwLock::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_works_alone() {
    let _shared = MACHINE.read().await;
    run("shared/client/test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_shows_the_log_under_faults() {
    let _shared = MACHINE.read().await;
    run("tests/client").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_browser() {
    let _alone = MACHINE.write().await;
    run("tests/page").await;
}

async fn run(folder: &str) {
    if let Err(error) = node::test(folder).await {
        panic!("{folder}: {error:#}");
    }
}
