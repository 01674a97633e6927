//! Texts of all lengths, with characters that JSON, BSON and UTF-8 treat differently; and frames
//! that the chat must refuse.

use chat::{Kind, Text};
use serde_json::{Value, json};

use crate::history::Key;

const CHARACTERS: [char; 24] = [
    'a', 'e', 'i', 'n', 's', 't', ' ', '.', '0', '"', '\\', '/', '{', '$', '\n', '\u{1}', '\u{7f}',
    'é', 'ß', 'א', '學', '\u{2028}', '\u{fffd}', '🎓',
];

/// Bytes left free for the prefix of a text.
const ROOM: usize = 64;

/// Share of texts of the largest length.
const LONGEST: f64 = 0.002;

/// Largest length of the others, in bytes.
const USUAL_BYTES: usize = 200;

/// The first and the last character of a marker, which no text has otherwise.
const MARKER: [char; 2] = ['«', '»'];

/// Returns a text that the chat accepts, with a marker that no other text has.
pub fn marked(key: &Key, rng: &mut fastrand::Rng) -> String {
    let [first, last] = MARKER;
    let (sender_id, id) = (&key.sender_id, &key.client_message_id);
    format!("{first}{sender_id} {id}{last} {}", text(rng))
}

/// Returns the markers in the text of a document, or of anything else.
pub fn markers(text: &str) -> impl Iterator<Item = &str> {
    let [first, last] = MARKER;
    let parts = text.split(first).skip(1);
    parts.filter_map(move |part| Some(part.split_once(last)?.0))
}

/// Returns a text that the chat accepts, also with [`ROOM`] bytes more.
fn text(rng: &mut fastrand::Rng) -> String {
    let bytes = if rng.f64() < LONGEST {
        Text::MAX_BYTES - ROOM
    } else {
        rng.usize(4..=USUAL_BYTES)
    };
    let mut text = String::with_capacity(bytes);
    loop {
        let character = CHARACTERS[rng.usize(..CHARACTERS.len())];
        if text.len() + character.len_utf8() > bytes {
            return text;
        }
        text.push(character);
    }
}

/// Changes the frame of an entry so that the chat must refuse it; returns the code.
pub fn spoil(frame: &mut Value, kind: Kind, rng: &mut fastrand::Rng) -> &'static str {
    let empty = ("message", json!(""), "message_empty");
    let long = ("message", json!(too_long()), "message_too_long");
    let place = if frame.get("receiver_id").is_some() {
        "receiver_id"
    } else {
        "conversation_id"
    };
    let mut ways = vec![(place, json!(null), "invalid_frame")];
    match kind {
        Kind::Text => ways.push(("sender_id", json!("nobody"), "sender_mismatch")),
        Kind::Edit | Kind::Delete => ways.extend([
            ("seq", json!("1"), "invalid_frame"),
            ("seq", json!(i64::MAX), "message_not_found"),
        ]),
        Kind::Join => ways.push(("users", json!([]), "invalid_frame")),
        Kind::Rename => ways.push(("title", json!(""), "invalid_frame")),
        Kind::Role => ways.push(("role", json!("king"), "invalid_frame")),
        Kind::Create | Kind::Leave => {}
    }
    if matches!(kind, Kind::Text | Kind::Edit) {
        ways.extend([empty, long]);
    }
    let (field, value, code) = ways.swap_remove(rng.usize(..ways.len()));
    frame[field] = value;
    code
}

fn too_long() -> String {
    "x".repeat(Text::MAX_BYTES + 1)
}
