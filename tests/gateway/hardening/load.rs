//! Too many well-formed connections, posts and unfinished requests.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::operation::post_to_connection::PostToConnectionError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use hyper::{Method, StatusCode};
use tests::TIMEOUT;
use tests::client::request;
use tests::raw::{Raw, client_frame, client_frame_head, statuses};
use tests::{process, until};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{FRAME, MAX_GROWTH_KB, TEXT, Target, claim, connection_id};

#[tokio::test]
async fn half_open_connections_use_little_memory_and_are_closed_in_time() {
    let files = process::raise_file_limit();
    // Other tests of this process need file descriptors, too.
    let count = if files >= 12_000 {
        10_000
    } else {
        (files as usize / 2).min(2_000)
    };
    // One process of the function, so that the number of its processes does not change.
    let target = Target::start_with(&["--in-flight", "32"]).await;
    let files_before = process::open_files(target.gateway.id());
    let mut good = target.connect().await;
    // The last two are the begin of TLS.
    let parts: [&[u8]; 5] = [
        b"",
        b"GET /pro",
        b"GET /prod HTTP/1.1\r\nHost: x\r\nX: ",
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    let mut half_open = Vec::new();
    for (number, part) in parts.iter().cycle().take(count).enumerate() {
        let url = [target.ws(), target.http()][number % 2];
        let mut raw = Raw::open(url).await.expect("accepted");
        raw.send(part).await;
        half_open.push(raw);
    }
    connection_id(&mut good).await;
    target.assert_serving().await;
    target.assert_growth_below(32 * count as u64);

    for mut raw in half_open {
        let mut response = Vec::new();
        let read = raw.0.read_to_end(&mut response);
        let _ = timeout(3 * TIMEOUT, read)
            .await
            .expect("the connection is closed in time");
        let statuses = statuses(&response);
        assert!(statuses.is_empty() || statuses == [408], "{statuses:?}");
    }
    until(async || process::open_files(target.gateway.id()) <= files_before + 10).await;
    connection_id(&mut good).await;
    target.shutdown().await;
}

#[tokio::test]
async fn without_free_file_descriptors_open_connections_are_served_and_new_ones_wait() {
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
    target.shutdown().await;
}

#[tokio::test]
async fn clients_that_reset_their_connections_leave_no_open_files() {
    // One process of the function, so that the number of its processes does not change.
    let target = Target::start_with(&["--in-flight", "32"]).await;
    let files_before = process::open_files(target.gateway.id());
    let pause = br#"{"action":"reply","probe":{"sleep_ms":500}}"#;
    for number in 0..300 {
        let bytes = match number % 3 {
            0 => client_frame(TEXT, pause),
            1 => client_frame_head(TEXT, 100),
            _ => Vec::new(),
        };
        let mut socket = target.upgrade().await;
        socket.send(bytes).await;
        // The connection ends with a TCP reset.
        socket.0.set_zero_linger().expect("a TCP socket");
    }
    until(async || process::open_files(target.gateway.id()) <= files_before + 20).await;
    target.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_fills_only_its_own_outbox() {
    let target = Target::start().await;
    let management = target.management();
    let mut slow = target.connect().await;
    let mut good = target.connect().await;
    let slow_id = connection_id(&mut slow).await;
    let good_id = connection_id(&mut good).await;
    let post = |id: &str, text: String| {
        let post = management.post_to_connection().connection_id(id);
        post.data(Blob::new(text)).send()
    };
    // 1 GB in all, which the gateway must not keep.
    let text = "x".repeat(128 * 1_024);
    let mut posts = 0;
    let rejection = loop {
        assert!(posts < 8_192, "a post is rejected in the end");
        match post(&slow_id, text.clone()).await {
            Ok(_) => posts += 1,
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(
        matches!(rejection, PostToConnectionError::LimitExceededException(_)),
        "after {posts}: {rejection:?}"
    );
    post(&good_id, r#"{"x":1}"#.to_owned())
        .await
        .expect("posted");
    assert_eq!(good.next().await["x"], 1);
    connection_id(&mut good).await;

    // Responses that the client does not read are dropped, too.
    for _ in 0..2_000 {
        slow.send_text(FRAME).await;
    }
    connection_id(&mut good).await;
    target.assert_growth_below(2 * MAX_GROWTH_KB);

    let delete = management.delete_connection().connection_id(&slow_id);
    delete.send().await.expect("deleted");
    until(async || {
        let get = management.get_connection().connection_id(&slow_id);
        get.send().await.is_err()
    })
    .await;
    target.shutdown().await;
}

#[tokio::test]
async fn unfinished_requests_do_not_delay_the_shutdown() {
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
    target.shutdown().await;
}

/// Requests that send all of a large body but its last byte.
const UNFINISHED: usize = 20;

#[tokio::test]
async fn unfinished_bodies_use_limited_memory_in_all() {
    let target = Target::start().await;
    // In base64, the largest body that a function takes and can return.
    let part = "x".repeat(17 << 18);
    let invoke = "/2015-03-31/functions/ProbeFunction/invocations";
    let management = "/prod/@connections/AAAAAAAAAAAAAAA=";
    let mut unfinished = Vec::new();
    // 85 MB each.
    for (url, path, headers) in [
        (target.ws(), invoke, claim("lambda")),
        (target.ws(), management, claim("execute-api")),
        (target.http(), "/echo", String::new()),
    ] {
        for _ in 0..UNFINISHED {
            let mut raw = Raw::open(url).await.expect("accepted");
            let length = part.len() + 1;
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}");
            raw.send(format!("{head}Content-Length: {length}\r\n\r\n{part}"))
                .await;
            unfinished.push(raw);
        }
    }
    // There is no room for another such body of the HTTP API; requests without one are served.
    let echo = format!("{}/echo", target.http());
    let post = async || request(Method::POST, &echo, part.clone().into_bytes()).await;
    until(async || post().await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    target.assert_serving().await;
    target.assert_growth_below(3 * MAX_GROWTH_KB);
    drop(unfinished);
    until(async || post().await.status == StatusCode::OK).await;
    target.shutdown().await;
}

/// Interval of the checks whether they are closed.
const POLL: Duration = Duration::from_millis(100);

/// How long clients that do not read are awaited: more than the write timeout of the gateway.
const UNREAD: Duration = Duration::from_secs(60);

#[tokio::test]
async fn clients_that_do_not_read_are_closed_in_time() {
    // One process of the function, so that the number of its processes does not change.
    let target = Target::start_with(&["--in-flight", "32"]).await;
    let files_before = process::open_files(target.gateway.id());
    let body = "x".repeat(4 << 20);
    let mut unread = Vec::new();
    for _ in 0..30 {
        let mut raw = Raw::open(target.http()).await.expect("accepted");
        let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n";
        let length = body.len();
        raw.send(format!("{head}Content-Length: {length}\r\n\r\n{body}"))
            .await;
        unread.push(raw);
    }
    let management = target.management();
    let mut slow = target.connect().await;
    let slow_id = connection_id(&mut slow).await;
    let text = Blob::new("x".repeat(128 * 1_024));
    let post = || management.post_to_connection().connection_id(&slow_id);
    while post().data(text.clone()).send().await.is_ok() {}

    let closed = async {
        let get = || management.get_connection().connection_id(&slow_id);
        while get().send().await.is_ok() {
            tokio::time::sleep(POLL).await;
        }
        while process::open_files(target.gateway.id()) > files_before + 10 {
            tokio::time::sleep(POLL).await;
        }
    };
    let closed = timeout(UNREAD, closed).await;
    closed.expect("the gateway closes all of them");
    let line = format!("$disconnect {slow_id} 1006");
    until(async || target.gateway.log().contains(&line)).await;
    drop(unread);
    target.shutdown().await;
}
