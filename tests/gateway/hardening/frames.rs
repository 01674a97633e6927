//! Bad frames on an open connection.

use std::time::Duration;

use serde_json::json;
use tests::raw::{Raw, client_frame, client_frame_head, handshake};
use tokio::time::timeout;

use super::{FRAME, MAX_GROWTH_KB, TEXT, Target};

// First bytes of frames: the FIN bit and the opcode.
const FIRST_TEXT_FRAGMENT: u8 = 0x01;
const CONTINUATION: u8 = 0x00;
const LAST_CONTINUATION: u8 = 0x80;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

#[tokio::test]
async fn a_frame_that_announces_a_gigabyte_is_rejected_before_it_arrives() {
    let target = Target::start().await;
    for _ in 0..50 {
        let mut socket = target.upgrade().await;
        socket.send(client_frame_head(TEXT, 1 << 30)).await;
        socket.send([b'x'; 16 * 1_024]).await;
        assert_eq!(socket.close_code().await, Some(1009));
    }
    for length in [u64::MAX >> 1, u64::MAX] {
        let mut socket = target.upgrade().await;
        socket.send(client_frame_head(TEXT, length)).await;
        let code = socket.close_code().await;
        assert!(matches!(code, Some(1002 | 1009)), "{length:x}: {code:?}");
    }
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

#[tokio::test]
async fn an_endless_message_is_rejected_once_it_is_too_long() {
    let target = Target::start().await;
    let mut socket = target.upgrade().await;
    let part = [b'x'; 32 * 1_024];
    socket.send(client_frame(FIRST_TEXT_FRAGMENT, &part)).await;
    for _ in 0..4 {
        socket.send(client_frame(CONTINUATION, &part)).await;
    }
    assert_eq!(socket.close_code().await, Some(1009));

    // A message with any number of empty fragments is not too long.
    let mut socket = target.upgrade().await;
    let (half, other) = FRAME.split_at(5);
    socket
        .send(client_frame(FIRST_TEXT_FRAGMENT, half.as_bytes()))
        .await;
    socket
        .send(client_frame(CONTINUATION, b"").repeat(100_000))
        .await;
    socket
        .send(client_frame(LAST_CONTINUATION, other.as_bytes()))
        .await;
    let (opcode, response) = socket.frame().await.expect("a response");
    let response = String::from_utf8_lossy(&response);
    assert_eq!(opcode, 1, "{response}");
    assert!(response.contains("connectionId"), "{response}");
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

#[tokio::test]
async fn protocol_violations_close_the_connection_with_their_code() {
    let target = Target::start().await;
    let unmasked = [&[TEXT, FRAME.len() as u8], FRAME.as_bytes()].concat();
    let reserved_bit = |bit: u8| client_frame(TEXT | bit, FRAME.as_bytes());
    let opcode = |opcode: u8| client_frame(0x80 | opcode, b"");
    let begun = client_frame(FIRST_TEXT_FRAGMENT, b"{");
    for (violation, frames, code) in [
        (
            "text that is not UTF-8",
            client_frame(TEXT, b"\"\xFF\""),
            1007,
        ),
        ("a surrogate", client_frame(TEXT, b"\"\xED\xA0\x80\""), 1007),
        ("half a character", client_frame(TEXT, b"\"\xE2\x82"), 1007),
        ("an unmasked frame", unmasked, 1002),
        ("reserved bit 1", reserved_bit(0x40), 1002),
        ("reserved bit 2", reserved_bit(0x20), 1002),
        ("reserved bit 3", reserved_bit(0x10), 1002),
        ("opcode 3", opcode(3), 1002),
        ("opcode 7", opcode(7), 1002),
        ("opcode 11", opcode(11), 1002),
        ("opcode 15", opcode(15), 1002),
        (
            "a continuation without a first fragment",
            client_frame(CONTINUATION, b"{"),
            1002,
        ),
        (
            "a text frame within a fragmented text",
            [begun, client_frame(TEXT, b"{}")].concat(),
            1002,
        ),
        ("a fragmented ping", client_frame(PING & 0x7F, b""), 1002),
        ("a long ping", client_frame(PING, &[b'x'; 126]), 1002),
        (
            "a close frame with half a code",
            client_frame(CLOSE, &[3]),
            1002,
        ),
        (
            "a close frame with an invalid code",
            client_frame(CLOSE, &[0, 1]),
            1002,
        ),
        ("a binary frame", client_frame(BINARY, b"x"), 1003),
    ] {
        let mut socket = target.upgrade().await;
        socket.send(frames).await;
        assert_eq!(socket.close_code().await, Some(code), "{violation}");
    }
    target.shutdown().await;
}

#[tokio::test]
async fn frames_that_arrive_faster_than_they_are_processed_do_not_pile_up() {
    let target = Target::start().await;
    let mut socket = target.upgrade().await;
    let padding = "x".repeat(31 * 1_024);
    let frame = json!({"action": "reply", "probe": {"sleep_ms": 100}, "padding": padding});
    let frame = client_frame(TEXT, frame.to_string().as_bytes());
    // 1 GB. If the gateway stops reading, the frames wait in this process.
    let flood = async {
        for _ in 0..32 * 1_024 {
            socket.send(&frame).await;
        }
    };
    let _ = timeout(Duration::from_secs(5), flood).await;
    target.assert_serving().await;
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

#[tokio::test]
async fn pings_of_a_client_that_does_not_read_do_not_pile_up() {
    let target = Target::start().await;
    let mut socket = target.upgrade().await;
    let pings = client_frame(PING, &[b'x'; 125]).repeat(1_000);
    // 130 MB. If the gateway stops reading, the frames wait in this process.
    for _ in 0..1_000 {
        let sent = timeout(Duration::from_secs(2), socket.send(&pings)).await;
        if sent.is_err() {
            break;
        }
    }
    target.assert_serving().await;
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

#[tokio::test]
async fn frames_that_arrive_with_the_handshake_are_not_lost() {
    let target = Target::start().await;
    let mut raw = Raw::open(target.ws()).await.expect("accepted");
    let frame = client_frame(TEXT, FRAME.as_bytes());
    raw.send([handshake(target.ws()).as_bytes(), &frame].concat())
        .await;
    raw.accepted().await.expect("connected");
    let (opcode, response) = raw.frame().await.expect("a response");
    let response = String::from_utf8_lossy(&response);
    assert_eq!(opcode, 1, "{response}");
    assert!(response.contains("connectionId"), "{response}");
    target.shutdown().await;
}
