//! Texts of all lengths, with characters that JSON, BSON and UTF-8 treat differently; and frames that
//! are no good.

use chat::Draft;
use serde_json::{Value, json};

const CHARACTERS: [char; 24] = [
    'a', 'e', 'i', 'n', 's', 't', ' ', '.', '0', '"', '\\', '/', '{', '$', '\n', '\u{1}', '\u{7f}',
    'é', 'ß', 'א', '學', '\u{2028}', '\u{fffd}', '🎓',
];

/// Bytes left free for what is put before a text.
const ROOM: usize = 64;

/// The share of texts that are as long as a text may be.
const LONGEST: f64 = 0.002;

/// The most bytes of the others.
const USUAL_BYTES: usize = 200;

/// A text that the chat takes, also with [`ROOM`] bytes more.
pub fn text(rng: &mut fastrand::Rng) -> String {
    let bytes = if rng.f64() < LONGEST {
        Draft::MAX_MESSAGE_BYTES - ROOM
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

/// Makes a frame one that the chat must refuse; gives the code.
pub fn spoil(frame: &mut Value, rng: &mut fastrand::Rng) -> &'static str {
    let (field, value, code) = match rng.u8(..4) {
        0 => ("message", json!(""), "message_empty"),
        1 => ("message", json!(too_long()), "message_too_long"),
        2 => ("sender_id", frame["receiver_id"].clone(), "sender_mismatch"),
        _ => ("receiver_id", json!(null), "invalid_frame"),
    };
    frame[field] = value;
    code
}

fn too_long() -> String {
    "x".repeat(Draft::MAX_MESSAGE_BYTES + 1)
}
