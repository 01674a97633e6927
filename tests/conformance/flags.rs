//! The flags of the local gateway. Each test starts a gateway of its own.

use serde_json::json;

use crate::frames::expect_parallel_processing;
use crate::signed::Call;
use crate::socket::{Handshake, Observer, connect};
use crate::target::local_target;
use crate::template::start;

/// Ctrl-C shuts the gateway down with exit code 0.
#[tokio::test]
async fn an_interrupt_shuts_the_gateway_down() {
    let gateway = start("bare", &[]).await;
    connect(&local_target(&gateway, &[])).await.event().await;
    let (status, log) = gateway.stop().await.expect("the gateway shuts down");
    assert!(status.success(), "{status}: {log}");
}

/// Each `--access-key` may sign, functions get the first one, and the default key is no longer
/// valid.
#[tokio::test]
async fn access_keys_on_the_command_line_replace_the_default() {
    let keys = [
        "--access-key",
        "first:secret-1",
        "--access-key",
        "second:secret-2",
    ];
    let gateway = start("open", &keys).await;
    let mut target = local_target(&gateway, &[]);
    let mut observer = Observer::open(&target).await;
    let instructions = json!({"connect": {"report": observer.id}});
    Handshake::new(&target, "")
        .instruct(&instructions)
        .open()
        .await;
    observer.next().await;
    for (id, secret, status) in [
        ("second", "secret-2", 200),
        ("second", "secret-1", 403),
        ("local", "local", 403),
    ] {
        target.access_key_id = id.to_owned();
        target.secret_access_key = secret.to_owned();
        let response = Call::new("GET", &observer.id).send(&target).await;
        assert_eq!(response.status, status, "{id}:{secret}");
    }
}

/// `--in-flight` gives several events to one process at once.
#[tokio::test]
async fn one_process_may_handle_several_events_at_once() {
    let gateway = start("open", &["--in-flight", "4"]).await;
    expect_parallel_processing(&local_target(&gateway, &[])).await;
}
