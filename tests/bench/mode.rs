//! The two ways in which Lambda runs a function.

use tests::chat::Settings;
use tests::launch::Host;
use tests::{Chat, programs};

use crate::figures::Report;

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

    /// Returns the report of figures of this mode.
    pub fn report(self) -> Report {
        Report::of(match self {
            Self::OneEvent => "default mode",
            Self::ManyEvents => "many events",
        })
    }

    /// Returns the settings of the chat in this mode, with the functions as they are deployed.
    pub fn chat(self) -> Settings {
        let host = match self {
            Self::OneEvent => Host::Processes,
            Self::ManyEvents => Host::InFlight,
        };
        Chat::with().host(host).binaries(programs::deployed())
    }

    /// Returns the flags of the gateway for this mode.
    pub fn flags(self) -> [&'static str; 2] {
        match self {
            Self::OneEvent => ["--concurrency", "10"],
            Self::ManyEvents => ["--in-flight", "32"],
        }
    }
}
