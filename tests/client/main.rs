//! Tests of the client library (`shared/client`) and the web page (`functions/page`), in JavaScript, which
//! run on Node.
//!
//! - `shared/client/test`: the library alone: with a driven clock, on a WebSocket server in the same process,
//!   and as a published package
//! - `tests/client`: the library on the whole chat, under faults
//! - `tests/page`: the page in a browser

use tests::node;
use tokio::sync::Mutex;

/// Makes the tests run one after another: they measure times, and a browser uses all of the CPU.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_works_alone() {
    run("shared/client/test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_shows_the_log_under_faults() {
    run("tests/client").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_browser() {
    run("tests/page").await;
}

async fn run(folder: &str) {
    let _turn = TURN.lock().await;
    if let Err(error) = node::test(folder).await {
        panic!("{folder}: {error:#}");
    }
}
