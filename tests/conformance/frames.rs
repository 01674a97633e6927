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

/// Size limit of a frame from a client, in bytes.
const MAX_FRAME_BYTES: usize = 32 * 1_024;

/// Size limit of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 128 * 1_024;

/// Tolerated delay of a close by a timer. A stage on AWS was observed to be four seconds late.
const CLOSE_TOLERANCE: Duration = Duration::from_secs(20);

/// Returns a frame of exactly `size` bytes, to which the probe responds with `received`.
fn frame_of(size: usize) -> String {
    let with = |filler: String| {
        let instructions =
            json!({"return": {"statusCode": 200, "body": "received"}, "filler": filler});
        frame("reply", &instructions).to_string()
    };
    let bare = with(String::new()).len();
    with("x".repeat(size - bare))
}

/// Sends a message that closes the connection, and returns the close code.
async fn code_after(message: Message) -> u16 {
    let mut socket = connect(target::open().await).await;
    socket.send_raw(message).await;
    socket.closed().await
}

/// A frame above 32 KB closes the connection with 1009.
#[tokio::test]
async fn a_frame_above_32_kilobytes_closes_the_connection_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket.send_text(frame_of(MAX_FRAME_BYTES)).await;
    assert_eq!(socket.next_text().await, "received");

    assert_eq!(
        code_after(Message::text(frame_of(MAX_FRAME_BYTES + 1))).await,
        1009
    );
}

/// A fragmented message above 128 KB closes the connection with 1009.
#[tokio::test]
async fn a_message_above_128_kilobytes_closes_the_connection_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket
        .send_in_fragments(&frame_of(MAX_MESSAGE_BYTES), MAX_FRAME_BYTES)
        .await;
    assert_eq!(socket.next_text().await, "received");

    socket
        .send_in_fragments(&frame_of(MAX_MESSAGE_BYTES + 1), MAX_FRAME_BYTES)
        .await;
    assert_eq!(socket.closed().await, 1009);
}

/// A fragment above 32 KB closes the connection with 1009.
#[tokio::test]
async fn a_fragment_above_32_kilobytes_closes_the_connection_with_1009() {
    let mut socket = connect(target::open().await).await;
    socket
        .send_in_fragments(&frame_of(2 * MAX_FRAME_BYTES), MAX_FRAME_BYTES + 1)
        .await;
    assert_eq!(socket.closed().await, 1009);
}

/// The fragments of a message are one event.
#[tokio::test]
async fn the_fragments_of_a_message_are_one_event() {
    let mut socket = connect(target::open().await).await;
    let text = frame("reply", &Value::Null).to_string();
    socket.send_in_fragments(&text, 7).await;
    assert_eq!(socket.next().await["body"], text.as_str());
    socket.expect_nothing().await;
}

/// A binary frame closes the connection with 1003.
#[tokio::test]
async fn a_binary_frame_closes_the_connection_with_1003() {
    assert_eq!(code_after(Message::binary(vec![1, 2, 3])).await, 1003);
}

/// Text that is not UTF-8 closes the connection with 1007, as in RFC 6455 \[U\].
#[tokio::test]
async fn text_that_is_not_utf8_closes_the_connection_with_1007() {
    let frame = Frame::message(vec![b'"', 0xFF, b'"'], OpCode::Data(Data::Text), true);
    assert_eq!(code_after(Message::Frame(frame)).await, 1007);
}

/// A ping gets a pong with the same bytes, without an invocation \[U\].
#[tokio::test]
async fn a_ping_gets_a_pong() {
    let mut socket = connect(target::open().await).await;
    socket
        .send_raw(Message::Ping(b"are you there".as_slice().into()))
        .await;
    let pong = Message::Pong(b"are you there".as_slice().into());
    assert_eq!(socket.next_raw().await, pong);
    socket.expect_nothing().await;
}

/// A connection without data for 10 minutes is closed with 1001 `Going away`.
#[tokio::test]
async fn an_idle_connection_is_closed_with_1001() {
    let target = target::short_idle().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"disconnect": {"report": observer.id}});
    let opened = Instant::now();
    let mut socket = Handshake::new(target, "")
        .instruct(&instructions)
        .open()
        .await;
    let close = async {
        let code = socket.closed_within(target.idle + CLOSE_TOLERANCE).await;
        (code, opened.elapsed())
    };
    let report = observer.next_within(target.idle + CLOSE_TOLERANCE, target.idle / 4);
    let ((code, elapsed), event) = tokio::join!(close, report);
    assert_eq!(code, 1001);
    assert!(elapsed >= target.idle, "closed after {elapsed:?}");
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1001);
    assert_eq!(event["requestContext"]["disconnectReason"], "Going away");
}

/// A message of the client or a post of the back end resets the idle timer.
#[tokio::test]
async fn data_in_either_direction_keeps_a_connection_open() {
    let target = target::short_idle().await;
    let (mut sender, mut receiver) = (connect(target).await, connect(target).await);
    let (management, id) = (sdk(target), receiver.id().await);
    let deadline = Instant::now() + target.idle * 2;
    while Instant::now() < deadline {
        sender.send("notify", &Value::Null).await;
        let post = management.post_to_connection().connection_id(&id);
        let post = post.data(b"\"still here\"".as_slice().into()).send().await;
        post.expect("the socket is open");
        assert_eq!(receiver.next().await, "still here");
        tokio::time::sleep(target.idle / 4).await;
    }
    sender.expect_nothing().await;
    receiver.expect_nothing().await;
}

/// Ping frames do not reset the idle timer \[U\].
#[tokio::test]
async fn pings_do_not_keep_a_connection_open() {
    let target = target::short_idle().await;
    let mut socket = connect(target).await;
    let deadline = Instant::now() + target.idle + CLOSE_TOLERANCE;
    while Instant::now() < deadline {
        socket.send_raw(Message::Ping(Default::default())).await;
        match tokio::time::timeout(target.idle / 4, socket.next_raw()).await {
            Ok(Message::Close(frame)) => {
                assert_eq!(
                    u16::from(frame.expect("a close frame has a code").code),
                    1001
                );
                return;
            }
            Ok(Message::Pong(_)) => tokio::time::sleep(target.idle / 4).await,
            Ok(other) => panic!("neither a pong nor a close frame: {other:?}"),
            Err(_) => {}
        }
    }
    panic!("the socket is not closed in time");
}

/// A connection is closed with 1001 after 2 hours, whatever its traffic.
#[tokio::test]
async fn a_connection_is_closed_with_1001_at_the_end_of_its_lifetime() {
    let target = target::short_lived().await;
    let opened = Instant::now();
    let mut socket = connect(target).await;
    assert_eq!(send_until_closed(&mut socket, target).await, 1001);
    let elapsed = opened.elapsed();
    assert!(elapsed >= target.lifetime, "closed after {elapsed:?}");
}

/// Sends frames until the server closes the socket. Returns the close code.
async fn send_until_closed(socket: &mut Socket, target: &Target) -> u16 {
    let interval = (target.lifetime.min(target.idle)) / 8;
    let deadline = Instant::now() + target.lifetime + CLOSE_TOLERANCE;
    while Instant::now() < deadline {
        match tokio::time::timeout(interval, socket.next_raw()).await {
            Ok(Message::Close(frame)) => {
                return frame.expect("a close frame has a code").code.into();
            }
            Ok(other) => panic!("not a close frame: {other:?}"),
            // The server may have closed the socket, with the close frame still to be read.
            Err(_) => drop(socket.try_send("notify").await),
        }
    }
    panic!("the socket is not closed in time");
}

/// The frames of a connection are processed in parallel: a slow one does not delay a later one.
#[tokio::test]
async fn a_later_frame_may_finish_first() {
    expect_parallel_processing(target::open().await).await;
}

/// Checks that the response to a later frame arrives while an earlier frame is still processed.
pub async fn expect_parallel_processing(target: &Target) {
    let gate = Observer::open(target).await;
    let mut socket = connect(target).await;
    let result = |body: &str| json!({"statusCode": 200, "body": body});
    let first = json!({"await_gone": gate.id, "return": result("first")});
    socket.send("reply", &first).await;
    socket
        .send("reply", &json!({"return": result("second")}))
        .await;
    assert_eq!(socket.next_text().await, "second");
    gate.close().await;
    assert_eq!(socket.next_text().await, "first");
}
