//! The exit status.

/// What a command has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: 0.
    Good,
    /// Something is wrong: 1.
    Wrong,
}

impl Outcome {
    /// The status of a command that could not tell.
    pub const UNKNOWN: i32 = 2;

    /// The status of a command whose output nobody reads any more: that of a program which ends by SIGPIPE.
    pub const UNREAD: i32 = 141;

    /// Returns what it means that something `is_good`.
    pub fn good_if(is_good: bool) -> Self {
        if is_good { Self::Good } else { Self::Wrong }
    }
}

impl From<Outcome> for i32 {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => 0,
            Outcome::Wrong => 1,
        }
    }
}
