//! The kinds of floods, and their frames.

use std::fmt::{self, Display, Formatter};

use serde_json::json;

use crate::messages::TEXT;

/// Size limit of a text, in bytes.
const MAX_TEXT_BYTES: usize = 16_384;

/// Size limit of a frame, in bytes: API Gateway closes the connection of a larger one.
const MAX_FRAME_BYTES: usize = 32 * 1_024;

/// A kind of flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Messages, which are more than the user may send.
    Good,
    /// Frames that are no messages.
    Bad,
    /// Messages of an old client, which have no ack.
    Old,
    Ping,
    /// Messages with the longest text that is accepted.
    LongestTexts,
    /// Messages with a text of one byte more.
    TooLongTexts,
    /// The largest frames that API Gateway takes.
    LargestFrames,
    /// Frames of one byte more.
    TooLargeFrames,
    /// Handshakes that succeed; the connection is broken off at once.
    Handshakes,
    /// Handshakes without a token.
    HandshakesWithoutToken,
    /// Pages of the history of 1,000 messages.
    Pages,
    /// Pings of a client that reads no pong.
    DoesNotRead,
}

impl Flood {
    /// All kinds, in the order in which they are measured.
    pub const ALL: [Self; 12] = [
        Self::Good,
        Self::Bad,
        Self::Old,
        Self::Ping,
        Self::LongestTexts,
        Self::TooLongTexts,
        Self::LargestFrames,
        Self::TooLargeFrames,
        Self::Handshakes,
        Self::HandshakesWithoutToken,
        Self::Pages,
        Self::DoesNotRead,
    ];

    /// Returns the frame of a flood that has frames.
    pub fn frame(self) -> Option<String> {
        let message = |text: &str| {
            let to = "nobody";
            json!({"action": "sendMessage", "receiver_id": to, "message": text}).to_string()
        };
        let large = |bytes: usize| message(&"x".repeat(bytes - message("").len()));
        Some(match self {
            Self::Good => message(TEXT),
            Self::Bad => json!({"action": "sendMessage", "receiver_id": 7}).to_string(),
            Self::Old => json!({"receiver_id": "nobody", "message": TEXT}).to_string(),
            Self::Ping | Self::DoesNotRead => PING.to_owned(),
            Self::LongestTexts => message(&"x".repeat(MAX_TEXT_BYTES)),
            Self::TooLongTexts => message(&"x".repeat(MAX_TEXT_BYTES + 1)),
            Self::LargestFrames => large(MAX_FRAME_BYTES),
            Self::TooLargeFrames => large(MAX_FRAME_BYTES + 1),
            Self::Handshakes | Self::HandshakesWithoutToken | Self::Pages => return None,
        })
    }

    /// Returns the name of what the flood consists of, in the plural.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Handshakes | Self::HandshakesWithoutToken => "handshakes",
            Self::Pages => "pages",
            _ => "frames",
        }
    }
}

/// A frame that is always answered.
pub const PING: &str = r#"{"action":"ping"}"#;

impl Display for Flood {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Good => "messages above the rate limit",
            Self::Bad => "bad frames",
            Self::Old => "messages of an old client above the rate limit",
            Self::Ping => "pings",
            Self::LongestTexts => "texts of 16,384 bytes above the rate limit",
            Self::TooLongTexts => "texts of 16,385 bytes",
            Self::LargestFrames => "frames of 32 KB",
            Self::TooLargeFrames => "frames of 32 KB and a byte",
            Self::Handshakes => "handshakes with a token",
            Self::HandshakesWithoutToken => "handshakes without a token",
            Self::Pages => "pages of 1,000 messages, 20 at once",
            Self::DoesNotRead => "pings of a client that does not read",
        })
    }
}
