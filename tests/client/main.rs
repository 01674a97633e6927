//! The client library (`shared/client`) and the web page (`functions/page`), tested by programs in
//! JavaScript that run on Node.
//!
//! - `shared/client/test`: the library by itself: its rules with a driven clock, a WebSocket server in
//!   the same process, and the package as it is published
//! - `tests/client`: the library and a whole chat, under faults
//! - `tests/page`: the page in a browser

use tests::node;
use tokio::sync::Mutex;

/// One after another: they measure times, and a browser takes what there is of a machine.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_keeps_its_promises() {
    run("shared/client/test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_shows_the_log_whatever_fails() {
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
