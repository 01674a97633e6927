//! Faults on demand, for tests of what should survive them. All are off by default.
//!
//! ```json
//! {
//!   "seed": 7,
//!   "disconnect": {"drop": 0.1, "delay_ms": 500},
//!   "posts": {"410": 0.01, "429": 0.05, "500": 0.05},
//!   "pushes": {"drop": 0.1, "duplicate": 0.1, "delay_ms": 50},
//!   "queues": {"duplicate": 0.1, "delay_ms": 500},
//!   "kill": [{"function": "SendMessageFunction", "at": "before_push", "share": 0.01, "delay_ms": 0}],
//!   "cut": 0.001
//! }
//! ```
//!
//! Numbers from 0 to 1 are shares of the cases; delays are at most that long, at random, but for
//! those of `disconnect` and `kill`, which are exact.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use hyper::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The faults to inject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Seed of the random numbers, for a run that can be repeated.
    pub seed: Option<u64>,
    /// Faults of `$disconnect`.
    pub disconnect: Disconnects,
    /// Shares of posts to `@connections` that get an error, by its status.
    pub posts: BTreeMap<u16, f64>,
    /// Faults of accepted posts.
    pub pushes: Pushes,
    /// Faults of messages that are sent to queues.
    pub queues: Messages,
    /// Kills of processes.
    pub kill: Vec<Kill>,
    /// Share of frames of clients after which the connection is cut, without a close frame.
    pub cut: f64,
}

/// Faults of `$disconnect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disconnects {
    /// Share that is never invoked.
    pub drop: f64,
    /// Delay, in milliseconds.
    pub delay_ms: u64,
}

/// Faults of accepted posts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pushes {
    /// Share that never arrives.
    pub drop: f64,
    /// Share that arrives twice.
    pub duplicate: f64,
    /// Longest delay in milliseconds; posts may overtake each other.
    pub delay_ms: u64,
}

/// Faults of messages that are sent to queues. SQS has them too: its standard queues deliver a message at
/// least once, and in any order.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html>
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Messages {
    /// Share that is in the queue twice.
    pub duplicate: f64,
    /// Longest delay in milliseconds; messages may overtake each other.
    pub delay_ms: u64,
}

/// A function whose processes are killed while they have an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Its logical id.
    pub function: String,
    /// The moment.
    pub at: Moment,
    /// Share of the cases.
    pub share: f64,
    /// Delay after that moment, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

/// A moment of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A process gets the event.
    Invoke,
    /// It posts to a connection; the post is not delivered.
    BeforePush,
    /// It has posted to a connection; the post is delivered.
    AfterPush,
}

impl FromStr for Faults {
    type Err = anyhow::Error;

    fn from_str(json: &str) -> Result<Self> {
        let malformed = |why: serde_json::Error| anyhow!("the faults are malformed: {why}");
        // A struct would be read from a list as well.
        let map: Map<String, Value> = serde_json::from_str(json).map_err(malformed)?;
        let faults: Self = serde_json::from_value(map.into()).map_err(malformed)?;
        faults.check()?;
        Ok(faults)
    }
}

impl Faults {
    fn check(&self) -> Result<()> {
        let kills = self.kill.iter().map(|kill| kill.share);
        let shares = self.posts.values().copied().chain(kills).chain([
            self.disconnect.drop,
            self.pushes.drop,
            self.pushes.duplicate,
            self.queues.duplicate,
            self.cut,
        ]);
        for share in shares {
            ensure!(
                (0.0..=1.0).contains(&share),
                "{share} is not a share from 0 to 1"
            );
        }
        for status in self.posts.keys() {
            ensure!(
                StatusCode::from_u16(*status).is_ok(),
                "{status} is not a status"
            );
        }
        Ok(())
    }
}

/// The faults in force, and a random number generator.
pub struct Switches(Mutex<State>);

struct State {
    faults: Faults,
    dice: fastrand::Rng,
}

impl Switches {
    /// Switches set to `faults`.
    pub fn new(faults: Faults) -> Self {
        Self(Mutex::new(State::new(faults)))
    }

    /// Returns the faults in force.
    pub fn get(&self) -> Faults {
        self.0.lock().faults.clone()
    }

    /// Replaces all faults.
    pub fn set(&self, faults: Faults) {
        *self.0.lock() = State::new(faults);
    }

    /// Returns the delay of `$disconnect`; `None` if it is dropped.
    pub fn disconnect(&self) -> Option<Duration> {
        let mut state = self.0.lock();
        let Disconnects { drop, delay_ms } = state.faults.disconnect;
        (!state.falls(drop)).then_some(Duration::from_millis(delay_ms))
    }

    /// Returns the status of the error that a post gets.
    pub fn post_error(&self) -> Option<StatusCode> {
        let mut state = self.0.lock();
        let posts = state.faults.posts.clone();
        let mut errors = posts.iter().filter(|(_, share)| state.falls(**share));
        let (status, _) = errors.next()?;
        StatusCode::from_u16(*status).ok()
    }

    /// Returns the delays of the deliveries of an accepted post: one, two or none.
    pub fn deliveries(&self) -> Vec<Duration> {
        let mut state = self.0.lock();
        let pushes = state.faults.pushes.clone();
        if state.falls(pushes.drop) {
            return Vec::new();
        }
        state.delays(pushes.duplicate, pushes.delay_ms)
    }

    /// Returns the delays of a message that is sent to a queue: one, or two if it is there twice.
    pub fn arrivals(&self) -> Vec<Duration> {
        let mut state = self.0.lock();
        let Messages {
            duplicate,
            delay_ms,
        } = state.faults.queues;
        state.delays(duplicate, delay_ms)
    }

    /// Returns the functions to kill at a moment, each with its delay. An invocation is of one
    /// function, a push may come from any.
    pub fn kills(&self, moment: Moment, function: Option<&str>) -> Vec<(String, Duration)> {
        let mut state = self.0.lock();
        let kills = state.faults.kill.clone();
        kills
            .into_iter()
            .filter(|kill| kill.at == moment && function.is_none_or(|name| name == kill.function))
            .filter(|kill| state.falls(kill.share))
            .map(|kill| (kill.function, Duration::from_millis(kill.delay_ms)))
            .collect()
    }

    /// Whether the connection of a frame is cut.
    pub fn cut(&self) -> bool {
        let mut state = self.0.lock();
        let share = state.faults.cut;
        state.falls(share)
    }
}

impl State {
    fn new(faults: Faults) -> Self {
        let dice = match faults.seed {
            Some(seed) => fastrand::Rng::with_seed(seed),
            None => fastrand::Rng::new(),
        };
        Self { faults, dice }
    }

    /// Returns a delay of up to `delay_ms`, or two of them in a share of the cases.
    fn delays(&mut self, duplicate: f64, delay_ms: u64) -> Vec<Duration> {
        let count = 1 + usize::from(self.falls(duplicate));
        let delay = |_| Duration::from_millis(self.dice.u64(0..=delay_ms));
        (0..count).map(delay).collect()
    }

    /// Whether a case falls into a share. A share of 0 takes no random number.
    fn falls(&mut self, share: f64) -> bool {
        share > 0.0 && self.dice.f64() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_wrong_by_default() {
        let switches = Switches::new(Faults::default());
        assert_eq!(switches.disconnect(), Some(Duration::ZERO));
        assert_eq!(switches.post_error(), None);
        assert_eq!(switches.deliveries(), [Duration::ZERO]);
        assert_eq!(switches.arrivals(), [Duration::ZERO]);
        assert_eq!(switches.kills(Moment::Invoke, Some("F")), []);
        assert!(!switches.cut());
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults: Faults = r#"{"seed":7,"posts":{"429":0.3,"500":0.3},"cut":0.5}"#
            .parse()
            .expect("well-formed");
        let run = || {
            let switches = Switches::new(faults.clone());
            let rolls = (0..100).map(|_| (switches.post_error(), switches.cut()));
            rolls.collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        let statuses = run().into_iter().filter(|(status, _)| status.is_some());
        assert!((20..80).contains(&statuses.count()));
    }

    #[test]
    fn malformed_faults_are_rejected() {
        for malformed in [
            "{",
            r#"{"cut":2}"#,
            r#"{"posts":{"7":0.5}}"#,
            r#"{"queues":{"duplicate":-1}}"#,
            r#"{"unknown":1}"#,
            r#"{"kill":[{"function":"F","at":"later","share":1}]}"#,
        ] {
            assert!(malformed.parse::<Faults>().is_err(), "{malformed}");
        }
    }
}
