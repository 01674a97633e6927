//! The two ways in which Lambda runs a function.

use tests::launch::Host;

/// How many events a process of a function serves at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One. The template deploys this by default.
    OneEvent,
    /// Up to 32. Only Lambda Managed Instances do this, with the template's `CapacityProviderArn`.
    ManyEvents,
}

impl Mode {
    /// Both modes, in the order in which they are measured.
    pub const ALL: [Self; 2] = [Self::OneEvent, Self::ManyEvents];

    /// Returns the heading of the figures of this mode.
    pub fn heading(self) -> &'static str {
        match self {
            Self::OneEvent => "a process per event (the default)",
            Self::ManyEvents => "many events in one process (Managed Instances only)",
        }
    }

    /// Returns the host that runs the chat in this mode.
    pub fn host(self) -> Host {
        match self {
            Self::OneEvent => Host::Processes,
            Self::ManyEvents => Host::InFlight,
        }
    }

    /// Returns the flags of the gateway for this mode.
    pub fn flags(self) -> [&'static str; 2] {
        match self {
            Self::OneEvent => ["--concurrency", "10"],
            Self::ManyEvents => ["--in-flight", "32"],
        }
    }
}
