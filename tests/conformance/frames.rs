//! Sizes and kinds of frames, timers, concurrency.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::signed::sdk;
use crate::socket::{Handshake, Observer, Socket, connect, frame};
use crate::target::{self, Target};

/// The largest frame from a client, in bytes.
const FRAME: usize = 32 * 1_024;

/// The largest message, in bytes.
const MESSAGE: usize = 128 * 1_024;

/// How much later than its time a close may come: a real stage was seen to take four seconds.
const SLACK: Duration = Duration::from_secs(20);

/// A frame of exactly `size` bytes to which the probe answers `received`.
fn text_of(size: usize) -> String {
    let with = |filler: String| {
        let told = json!({"return": {"statusCode": 200, "body": "received"}, "filler": filler});
        frame("reply", &told).to_string()
    };
    let bare = with(String::new()).len();
    with("x".repeat(size - bare))
}

/// Sends something that the gateway refuses and gives the close code.
async fn code_after(message: Message) -> u16 {
    let mut socket = connect(target::open().await).await;
    socket.send_raw(message).await;
    socket.closed().await
}

/// Frames: 32 KB + 1 → 1009.
#[tokio::test]
async fn a_frame_above_32_kilobytes_closes_the_socket_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket.send_text(text_of(FRAME)).await;
    assert_eq!(socket.next_text().await, "received");

    assert_eq!(code_after(Message::text(text_of(FRAME + 1))).await, 1009);
}

/// Frames: fragmented 128 KB ok, +1 → 1009.
#[tokio::test]
async fn a_message_above_128_kilobytes_closes_the_socket_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket.send_in_fragments(&text_of(MESSAGE), FRAME).await;
    assert_eq!(socket.next_text().await, "received");

    socket.send_in_fragments(&text_of(MESSAGE + 1), FRAME).await;
    assert_eq!(socket.closed().await, 1009);
}

/// The limit of a frame holds for each fragment.
#[tokio::test]
async fn a_fragment_above_32_kilobytes_closes_the_socket_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket
        .send_in_fragments(&text_of(2 * FRAME), FRAME + 1)
        .await;
    assert_eq!(socket.closed().await, 1009);
}

/// A fragmented message is one event.
#[tokio::test]
async fn fragments_make_one_event() {
    let mut socket = connect(target::open().await).await;
    let text = frame("reply", &Value::Null).to_string();
    socket.send_in_fragments(&text, 7).await;
    assert_eq!(socket.next().await["body"], text.as_str());
    socket.expect_nothing().await;
}

/// Frames: binary → 1003.
#[tokio::test]
async fn a_binary_frame_closes_the_socket_with_1003() {
    assert_eq!(code_after(Message::binary(vec![1, 2, 3])).await, 1003);
}

/// RFC 6455: text that is not UTF-8 → 1007 \[U\].
#[tokio::test]
async fn text_that_is_not_utf8_closes_the_socket_with_1007() {
    let frame = Frame::message(vec![b'"', 0xFF, b'"'], OpCode::Data(Data::Text), true);
    assert_eq!(code_after(Message::Frame(frame)).await, 1007);
}

/// Frames: ping → pong \[U\], with the same bytes and without the function.
#[tokio::test]
async fn a_ping_is_answered_by_a_pong() {
    let mut socket = connect(target::open().await).await;
    socket
        .send_raw(Message::Ping(b"are you there".as_slice().into()))
        .await;
    let pong = Message::Pong(b"are you there".as_slice().into());
    assert_eq!(socket.next_raw().await, pong);
    socket.expect_nothing().await;
}

/// Frames: idle 10 min → 1001 (clock injected), `Going away`.
#[tokio::test]
async fn an_idle_socket_is_closed_with_1001() {
    let target = target::soon_idle().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"disconnect": {"report": observer.id}});
    let opened = Instant::now();
    let mut socket = Handshake::new(target, "").tell(&told).open().await;
    let end = async {
        let code = socket.closed_within(target.idle + SLACK).await;
        (code, opened.elapsed())
    };
    let report = observer.next_within(target.idle + SLACK, target.idle / 4);
    let ((code, elapsed), event) = tokio::join!(end, report);
    assert_eq!(code, 1001);
    assert!(elapsed >= target.idle, "closed after {elapsed:?}");
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1001);
    assert_eq!(event["requestContext"]["disconnectReason"], "Going away");
}

/// The idle timer is reset by data either way: by a client's message and by a post.
#[tokio::test]
async fn data_in_either_direction_keeps_a_socket_open() {
    let target = target::soon_idle().await;
    let (mut talker, mut listener) = (connect(target).await, connect(target).await);
    let (management, id) = (sdk(target), listener.id().await);
    let end = Instant::now() + target.idle * 2;
    while Instant::now() < end {
        talker.send("notify", &Value::Null).await;
        let post = management.post_to_connection().connection_id(&id);
        let post = post.data(b"\"still here\"".as_slice().into()).send().await;
        post.expect("the socket is open");
        assert_eq!(listener.next().await, "still here");
        tokio::time::sleep(target.idle / 4).await;
    }
    talker.expect_nothing().await;
    listener.expect_nothing().await;
}

/// Ping frames do not keep a socket open \[U\].
#[tokio::test]
async fn pings_do_not_keep_a_socket_open() {
    let target = target::soon_idle().await;
    let mut socket = connect(target).await;
    let end = Instant::now() + target.idle + SLACK;
    while Instant::now() < end {
        socket.send_raw(Message::Ping(Default::default())).await;
        match tokio::time::timeout(target.idle / 4, socket.next_raw()).await {
            Ok(Message::Close(frame)) => {
                assert_eq!(u16::from(frame.expect("it has a code").code), 1001);
                return;
            }
            Ok(Message::Pong(_)) => tokio::time::sleep(target.idle / 4).await,
            Ok(other) => panic!("neither a pong nor a close frame: {other:?}"),
            Err(_) => {}
        }
    }
    panic!("it is never closed");
}

/// Frames: 2 h → 1001, whatever the traffic.
#[tokio::test]
async fn a_socket_is_closed_with_1001_when_its_lifetime_is_over() {
    let target = target::short_lived().await;
    let opened = Instant::now();
    let mut socket = connect(target).await;
    assert_eq!(talk_until_closed(&mut socket, target).await, 1001);
    let elapsed = opened.elapsed();
    assert!(elapsed >= target.lifetime, "closed after {elapsed:?}");
}

/// Sends frames until the server closes; gives the code.
async fn talk_until_closed(socket: &mut Socket, target: &Target) -> u16 {
    let beat = (target.lifetime.min(target.idle)) / 8;
    let end = Instant::now() + target.lifetime + SLACK;
    while Instant::now() < end {
        match tokio::time::timeout(beat, socket.next_raw()).await {
            Ok(Message::Close(frame)) => return frame.expect("it has a code").code.into(),
            Ok(other) => panic!("not a close frame: {other:?}"),
            // The close frame may be on its way already.
            Err(_) => drop(socket.try_send("notify").await),
        }
    }
    panic!("it is never closed");
}

/// Frames: parallel dispatch: a frame that is being served does not hold up a later one.
#[tokio::test]
async fn a_later_frame_may_be_answered_first() {
    expect_overtaking(target::open().await).await;
}

/// Checks that the answer to a later frame comes while an earlier one is being served.
pub async fn expect_overtaking(target: &Target) {
    let gate = Observer::open(target).await;
    let mut socket = connect(target).await;
    let answer = |body: &str| json!({"statusCode": 200, "body": body});
    let first = json!({"await_gone": gate.id, "return": answer("first")});
    socket.send("reply", &first).await;
    socket
        .send("reply", &json!({"return": answer("second")}))
        .await;
    assert_eq!(socket.next_text().await, "second");
    gate.close().await;
    assert_eq!(socket.next_text().await, "first");
}
