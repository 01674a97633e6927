//! Frames of all kinds, good and bad.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Code;

/// Far less than a level for each of the brackets below would need.
const SMALL_STACK_BYTES: usize = 512 * 1_024;

fn rejection(text: &str) -> Rejection {
    ParsedFrame::parse(text).frame.expect_err(text)
}

#[test]
fn the_old_frame_is_a_send_frame() {
    let parsed = ParsedFrame::parse(r#"{"sender_id":"a","receiver_id":"b","message":"hi"}"#);
    let Ok(ClientFrame::Send(send)) = parsed.frame else {
        panic!("not a send frame");
    };
    assert_eq!(send.sender_id.expect("a sender").as_str(), "a");
    assert!(matches!(send.target, Target::Receiver(id) if id.as_str() == "b"));
    assert_eq!(send.message.as_str(), "hi");
    assert!(parsed.client_message_id.is_none());
}

fn with_after(after: &str) -> String {
    format!(r#"{{"action":"sendMessage","receiver_id":"b","message":"hi","after":{after}}}"#)
}

fn after(frame: &str) -> Option<i64> {
    match ParsedFrame::parse(frame).frame {
        Ok(ClientFrame::Send(send)) => send.after,
        other => panic!("{frame}: {other:?}"),
    }
}

#[test]
fn any_integer_tells_how_far_the_client_has_the_conversation() {
    for (value, expected) in [
        ("null", None),
        ("11", Some(11)),
        ("-3", Some(-3)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", Some(i64::MAX)),
        ("1e30", Some(i64::MAX)),
        ("-1e30", Some(i64::MIN)),
    ] {
        assert_eq!(after(&with_after(value)), expected, "{value}");
    }
    assert_eq!(
        rejection(&with_after("{}")).message,
        "`after` must be an integer."
    );
}

#[test]
fn an_edit_has_a_text_and_a_deletion_needs_none() {
    for (frame, message, id) in [
        (
            r#"{"action":"editMessage","receiver_id":"b","seq":7,"message":"hi","client_message_id":"e"}"#,
            Some("hi"),
            Some("e"),
        ),
        (
            r#"{"action":"deleteMessage","receiver_id":"b","seq":7,"message":9}"#,
            None,
            None,
        ),
    ] {
        let parsed = ParsedFrame::parse(frame);
        let Ok(ClientFrame::Change(change)) = parsed.frame else {
            panic!("{frame}");
        };
        assert_eq!(change.seq, 7);
        assert_eq!(change.message.as_ref().map(Text::as_str), message);
        assert_eq!(
            parsed
                .client_message_id
                .as_ref()
                .map(ClientMessageId::as_str),
            id
        );
    }
}

#[test]
fn the_fields_of_newer_frames_mean_nothing_in_the_old_one() {
    for value in ["11", "\"noon\"", "{}", "\"direct:1:a:c\""] {
        let old = format!(
            r#"{{"receiver_id":"b","message":"hi","after":{value},"conversation_id":{value}}}"#
        );
        let Ok(ClientFrame::Send(send)) = ParsedFrame::parse(&old).frame else {
            panic!("{old}");
        };
        assert!(matches!(send.target, Target::Receiver(id) if id.as_str() == "b"));
        assert_eq!(send.after, None);
    }
}

#[test]
fn a_bad_frame_has_the_code_of_its_first_fault() {
    for (frame, code) in [
        ("", Code::InvalidFrame),
        ("hello", Code::InvalidFrame),
        ("[]", Code::InvalidFrame),
        (r#"{"message":"hi"}"#, Code::InvalidFrame),
        (r#"{"receiver_id":"b"}"#, Code::InvalidFrame),
        (r#"{"receiver_id":7,"message":"hi"}"#, Code::InvalidFrame),
        (
            r#"{"receiver_id":{"$gt":""},"message":"hi"}"#,
            Code::InvalidFrame,
        ),
        (r#"{"receiver_id":"b","message":null}"#, Code::InvalidFrame),
        (r#"{"action":"dance"}"#, Code::InvalidFrame),
        (r#"{"action":1}"#, Code::InvalidFrame),
        (&with_after("1.5"), Code::InvalidFrame),
        (&with_after(r#""7""#), Code::InvalidFrame),
        (&with_after("[7]"), Code::InvalidFrame),
        (r#"{"receiver_id":"","message":"hi"}"#, Code::InvalidUserId),
        (r#"{"receiver_id":"b","message":""}"#, Code::MessageEmpty),
        (
            r#"{"receiver_id":"b","message":"m","client_message_id":""}"#,
            Code::InvalidFrame,
        ),
    ] {
        assert_eq!(rejection(frame).code, code, "{frame}");
    }
    let long = "x".repeat(Text::MAX_BYTES + 1);
    let frame = json!({"receiver_id": "b", "message": long}).to_string();
    assert_eq!(rejection(&frame).code, Code::MessageTooLong);
}

#[test]
fn a_frame_beyond_the_limit_of_the_gateway_is_rejected_before_it_is_read() {
    let ping = r#"{"action":"ping"}"#;
    let padded = |bytes: usize| ping.to_owned() + &" ".repeat(bytes - ping.len());
    let longest = ParsedFrame::parse(&padded(ParsedFrame::MAX_BYTES));
    assert!(longest.frame.is_ok());
    let too_long = rejection(&padded(ParsedFrame::MAX_BYTES + 1));
    assert_eq!(too_long.code, Code::InvalidFrame);
    assert_eq!(too_long.message, "The frame is too long.");
}

#[test]
fn a_deeply_nested_frame_is_rejected_and_costs_no_stack() {
    let nested = |inner: &str| format!(r#"{{"receiver_id":"b","message":{inner}}}"#);
    let parse = move || {
        for text in [
            "[".repeat(100_000),
            nested(&"[".repeat(100_000)),
            nested(&format!("{}{}", "[".repeat(60_000), "]".repeat(60_000))),
            r#"{"a":"#.repeat(20_000),
            nested(&r#"[{"$and":"#.repeat(10_000)),
        ] {
            let parsed = ParsedFrame::parse(&text);
            assert_eq!(
                parsed.frame.expect_err("it is rejected").code,
                Code::InvalidFrame
            );
        }
    };
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK_BYTES);
    let thread = thread.spawn(parse).expect("a thread");
    thread.join().expect("it does not panic");
}

#[test]
fn the_id_of_a_rejected_frame_is_known_and_that_of_a_ping_is_not() {
    let id_of = |frame: &str| {
        let id = ParsedFrame::parse(frame).client_message_id;
        id.map(|id| id.as_str().to_owned())
    };
    let rejected = r#"{"receiver_id":"b","message":7,"client_message_id":"m-1"}"#;
    assert_eq!(id_of(rejected).as_deref(), Some("m-1"));
    let ping = r#"{"action":"ping","client_message_id":"m-1"}"#;
    assert_eq!(id_of(ping), None);
}

#[test]
fn null_in_an_optional_field_is_as_if_it_were_absent() {
    let frame = r#"{"receiver_id":"b","message":"hi","action":null,"sender_id":null,"client_message_id":null}"#;
    let parsed = ParsedFrame::parse(frame);
    assert_eq!(parsed.client_message_id, None);
    match parsed.frame {
        Ok(ClientFrame::Send(frame)) => assert_eq!(frame.sender_id, None),
        other => panic!("{other:?}"),
    }
    let ping = ParsedFrame::parse(r#"{"action":"ping","client_message_id":null}"#);
    assert!(matches!(ping.frame, Ok(ClientFrame::Ping)));
    for required in ["receiver_id", "message"] {
        let mut frame = json!({"receiver_id": "b", "message": "m"});
        frame[required] = Value::Null;
        let missing = format!("`{required}` is missing.");
        assert_eq!(rejection(&frame.to_string()).message, missing);
    }
}

#[test]
fn the_id_is_known_of_a_frame_that_only_other_parsers_can_read() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [
        r#""\ud83d""#,
        r#""\ude80 see you""#,
        r#""\ud83d\ud83d\ude80""#,
        "1e999",
        &deep,
    ] {
        let frame = format!(r#"{{"message":{value},"client_message_id":"m-1"}}"#);
        let parsed = ParsedFrame::parse(&frame);
        assert_eq!(parsed.client_message_id.expect("an id").as_str(), "m-1");
        assert_eq!(parsed.frame.expect_err("rejected").code, Code::InvalidFrame);
    }
    for without_id in [
        r#"{"message":"m","client_message_id":"\ud83d"}"#,
        r#"{"message":"\ud83d","client_message_id":7}"#,
        r#"["m-1"]"#,
        r#" ["m-1","\ud83d"]"#,
    ] {
        let parsed = ParsedFrame::parse(without_id);
        assert_eq!(parsed.client_message_id, None, "{without_id}");
    }
}

/// Returns UTF-16 as a JSON string of escapes, as `JSON.stringify` writes halves of surrogate pairs.
fn escaped(utf16: &[u16]) -> String {
    let escapes: String = utf16.iter().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escapes}\"")
}

proptest! {
    #[test]
    fn any_text_of_json_is_accepted_or_rejected_with_the_id_of_its_frame(
        text in proptest::collection::vec(
            prop_oneof![0xd7f0_u16..0xe010, any::<u16>()], 1..8,
        ),
        field in prop::sample::select(vec!["message", "receiver_id", "sender_id", "action", "x"]),
        id in "\\PC{1,30}",
    ) {
        let mut frame = json!({"receiver_id": "b", "message": "m", "client_message_id": id});
        frame[field] = json!("TEXT");
        let frame = frame.to_string().replacen("\"TEXT\"", &escaped(&text), 1);
        let parsed = ParsedFrame::parse(&frame);
        prop_assert_eq!(parsed.client_message_id.map(|id| id.as_str().to_owned()), Some(id));
        match (String::from_utf16(&text), parsed.frame) {
            (Ok(text), Ok(ClientFrame::Send(send))) if field == "message" => {
                prop_assert_eq!(send.message.as_str(), text);
            }
            (Err(_), Ok(frame)) => prop_assert!(false, "{frame:?}"),
            _ => {}
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        ParsedFrame::parse(&text);
    }
}
