//! Too much of what would be good by itself: connections, posts, requests without an end.

use aws_sdk_apigatewaymanagement::operation::post_to_connection::PostToConnectionError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use tests::TIMEOUT;
use tests::raw::{Raw, client_frame, client_frame_head, statuses};
use tests::{process, until};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{ALLOWANCE_KB, FRAME, TEXT, Target, connection_id};

#[tokio::test]
async fn half_open_connections_cost_little_and_are_closed_in_time() {
    let files = process::raise_file_limit();
    // Other tests of this program need some, too.
    let count = match files >= 12_000 {
        true => 10_000,
        false => (files as usize / 2).min(2_000),
    };
    // One process of the function, so that their number does not change.
    let target = Target::start_with(&["--in-flight", "32"]).await;
    let files_before = process::open_files(target.gateway.id());
    let mut good = target.connect().await;
    let parts = ["", "GET /pro", "GET /prod HTTP/1.1\r\nHost: x\r\nX: "];
    let mut half_open = Vec::new();
    for (number, part) in parts.iter().cycle().take(count).enumerate() {
        let url = [target.ws(), target.http()][number % 2];
        let mut raw = Raw::open(url).await.expect("accepted");
        raw.send(part).await;
        half_open.push(raw);
    }
    connection_id(&mut good).await;
    target.serves().await;
    target.has_grown_less_than(32 * count as u64);

    for mut raw in half_open {
        let mut answer = Vec::new();
        let read = raw.0.read_to_end(&mut answer);
        let _ = timeout(3 * TIMEOUT, read)
            .await
            .expect("it is closed in time");
        let statuses = statuses(&answer);
        assert!(statuses.is_empty() || statuses == [408], "{statuses:?}");
    }
    until(async || process::open_files(target.gateway.id()) <= files_before + 10).await;
    connection_id(&mut good).await;
    target.end().await;
}

#[tokio::test]
async fn without_free_file_descriptors_it_serves_those_it_has_and_later_all() {
    let target = Target::start().await;
    let id = target.gateway.id();
    let mut good = target.connect().await;
    process::limit_files(id, process::open_files(id) as u64 + 10);
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(Raw::open(target.ws()).await.expect("the kernel accepts"));
    }
    until(async || target.gateway.log().contains("cannot accept")).await;
    connection_id(&mut good).await;
    drop(waiting);
    target.end().await;
}

#[tokio::test]
async fn clients_that_vanish_leave_nothing_behind() {
    // One process of the function, so that their number does not change.
    let target = Target::start_with(&["--in-flight", "32"]).await;
    let files_before = process::open_files(target.gateway.id());
    let pause = br#"{"action":"reply","probe":{"sleep_ms":500}}"#;
    for number in 0..300 {
        let last_words = match number % 3 {
            0 => client_frame(TEXT, pause),
            1 => client_frame_head(TEXT, 100),
            _ => Vec::new(),
        };
        let mut socket = target.upgrade().await;
        socket.send(last_words).await;
        // Its end is a reset, not a goodbye.
        socket.0.set_zero_linger().expect("a TCP socket");
    }
    until(async || process::open_files(target.gateway.id()) <= files_before + 20).await;
    target.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_fills_its_own_outbox_only() {
    let target = Target::start().await;
    let sockets = target.sockets();
    let mut silent = target.connect().await;
    let mut good = target.connect().await;
    let silent_id = connection_id(&mut silent).await;
    let good_id = connection_id(&mut good).await;
    let post = |id: &str, text: String| {
        let post = sockets.post_to_connection().connection_id(id);
        post.data(Blob::new(text)).send()
    };
    // 1 GB in all, which nobody is to keep.
    let text = "x".repeat(128 * 1_024);
    let mut posts = 0;
    let refusal = loop {
        assert!(posts < 8_192, "a post is refused at last");
        match post(&silent_id, text.clone()).await {
            Ok(_) => posts += 1,
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(
        matches!(refusal, PostToConnectionError::LimitExceededException(_)),
        "after {posts}: {refusal:?}"
    );
    post(&good_id, r#"{"x":1}"#.to_owned())
        .await
        .expect("posted");
    assert_eq!(good.next().await["x"], 1);
    connection_id(&mut good).await;

    // Replies that it does not read are dropped as well.
    for _ in 0..2_000 {
        silent.send_text(FRAME).await;
    }
    connection_id(&mut good).await;
    target.has_grown_less_than(2 * ALLOWANCE_KB);

    let delete = sockets.delete_connection().connection_id(&silent_id);
    delete.send().await.expect("deleted");
    until(async || {
        let get = sockets.get_connection().connection_id(&silent_id);
        get.send().await.is_err()
    })
    .await;
    target.end().await;
}

#[tokio::test]
async fn it_ends_in_time_with_requests_that_never_end() {
    let target = Target::start().await;
    let mut unfinished = Vec::new();
    for url in [target.ws(), target.http()] {
        for start in [
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            "GET /echo HTTP/1.1\r\n",
            "",
        ] {
            let mut raw = Raw::open(url).await.expect("accepted");
            raw.send(start).await;
            unfinished.push(raw);
        }
    }
    target.end().await;
}
