//! Texts of all lengths, with characters that JSON, BSON and UTF-8 treat differently; and frames
//! that the chat must refuse.

use chat::Text;
use serde_json::{Value, json};

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

/// Returns a text that the chat accepts, also with [`ROOM`] bytes more.
pub fn text(rng: &mut fastrand::Rng) -> String {
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

/// Changes a frame so that the chat must refuse it; returns the code.
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
    "x".repeat(Text::MAX_BYTES + 1)
}
