//! What a user shows to others.

use serde::{Deserialize, Serialize};

/// What a user shows to others. All of it is on until the user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether others see how far the user has read, and the user how far others have.
    #[serde(default = "on")]
    pub receipts: bool,
    /// Whether others see if the user is online, and the user if others are.
    #[serde(default = "on")]
    pub presence: bool,
}

fn on() -> bool {
    true
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            receipts: on(),
            presence: on(),
        }
    }
}

/// A change of some of a user's [`Settings`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    /// The new value, if it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<bool>,
}
