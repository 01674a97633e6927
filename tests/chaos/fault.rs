//! The faults.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use local_gateway::faults::{Disconnects, Faults, Kill, Moment, Pushes};
use strum::{Display, EnumIter};

/// Delays in milliseconds from an event to the kill of its process: before its insert, and around
/// it.
const KILL_DELAYS_MS: [u64; 5] = [0, 1, 2, 4, 8];

/// Functions of which a process is stopped: mostly the one with the most to lose.
const PAUSED: [&str; 5] = [
    "send-message",
    "send-message",
    "send-message",
    "connect",
    "history",
];

/// A kind of fault, in the order of reports, with its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, EnumIter)]
pub enum Kind {
    /// `send-message` is killed 0 to 8 ms after it has got an event.
    #[strum(to_string = "kill send-message at invoke")]
    KillAtInvoke,
    /// `send-message` is killed between insert and push.
    #[strum(to_string = "kill send-message before push")]
    KillBeforePush,
    /// `send-message` is killed between push and ack.
    #[strum(to_string = "kill send-message after push")]
    KillAfterPush,
    /// `connect` is killed during a handshake.
    #[strum(to_string = "kill connect")]
    KillConnect,
    /// `disconnect` is killed during an event.
    #[strum(to_string = "kill disconnect")]
    KillDisconnect,
    /// `history` is killed during a request.
    #[strum(to_string = "kill history")]
    KillHistory,
    /// The database is killed, and started again.
    #[strum(to_string = "kill database")]
    KillDatabase,
    /// The gateway is killed with all functions, and started again.
    #[strum(to_string = "kill gateway")]
    KillGateway,
    /// A process of a function is stopped for a while.
    #[strum(to_string = "pause function")]
    PauseFunction,
    /// The database is stopped for a while.
    #[strum(to_string = "pause database")]
    PauseDatabase,
    /// The gateway is stopped for a while.
    #[strum(to_string = "pause gateway")]
    PauseGateway,
    /// Pushes never arrive.
    #[strum(to_string = "drop pushes")]
    DropPushes,
    /// Pushes arrive late, and overtake each other.
    #[strum(to_string = "delay pushes")]
    DelayPushes,
    /// Pushes arrive twice.
    #[strum(to_string = "duplicate pushes")]
    DuplicatePushes,
    /// `$disconnect` is never invoked.
    #[strum(to_string = "drop $disconnect")]
    DropDisconnects,
    /// `$disconnect` is invoked late.
    #[strum(to_string = "delay $disconnect")]
    DelayDisconnects,
    /// Posts get the status 410, also to connections that are open.
    #[strum(to_string = "respond to posts with 410")]
    Refuse410,
    /// Posts get the status 429.
    #[strum(to_string = "respond to posts with 429")]
    Refuse429,
    /// Posts get the status 500.
    #[strum(to_string = "respond to posts with 500")]
    Refuse500,
    /// All connections are cut at once.
    #[strum(to_string = "cut all sockets")]
    CutAll,
    /// Connections are cut after some of their frames.
    #[strum(to_string = "cut some sockets")]
    CutSome,
}

use Kind::*;

impl Kind {
    /// Whether it needs a database of this run.
    pub fn is_of_database(self) -> bool {
        matches!(self, KillDatabase | PauseDatabase)
    }

    /// Whether it takes a process away, for a while or for good.
    pub fn is_outage(self) -> bool {
        self <= PauseGateway
    }
}

/// The operation of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sets the gateway's switches. With `cut`, all connections are cut at the beginning, so that
    /// there are handshakes and `$disconnect` events during the fault.
    Switch {
        /// The switches.
        faults: Faults,
        /// Whether connections are cut.
        cut: bool,
    },
    /// Kills the database, and starts it again at the end.
    KillDatabase,
    /// Kills the gateway with its functions, and starts it again at the end.
    KillGateway,
    /// Stops the database (SIGSTOP), and continues it at the end.
    PauseDatabase,
    /// Stops the gateway, and continues it at the end.
    PauseGateway,
    /// Stops a process of a function, and continues it at the end.
    PauseFunction {
        /// The program of the function.
        program: &'static str,
        /// Picks one of its processes, modulo their number.
        number: usize,
    },
    /// Cuts all connections.
    Cut,
}

/// A fault of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Start, from the start of the run.
    pub at: Duration,
    /// Duration.
    pub lasts: Duration,
    /// Kind.
    pub kind: Kind,
    /// Operation.
    pub action: Action,
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(formatter, "{at:8.2} s  {lasts:5.2} s  {:30}", self.kind)?;
        match &self.action {
            Action::Switch { faults, .. } => write!(formatter, "{}", serde_json::json!(faults)),
            Action::PauseFunction { program, .. } => formatter.write_str(program),
            _ => Ok(()),
        }
    }
}

impl Action {
    /// Chooses the operation for a fault of a kind, from mild to rough.
    pub fn of(kind: Kind, dice: &mut Rng) -> Self {
        let cut = matches!(
            kind,
            KillConnect | KillDisconnect | DropDisconnects | DelayDisconnects
        );
        match kind {
            KillDatabase => Self::KillDatabase,
            KillGateway => Self::KillGateway,
            PauseDatabase => Self::PauseDatabase,
            PauseGateway => Self::PauseGateway,
            PauseFunction => Self::PauseFunction {
                program: PAUSED[dice.usize(..PAUSED.len())],
                number: dice.usize(..16),
            },
            CutAll => Self::Cut,
            _ => Self::Switch {
                faults: switches(kind, dice),
                cut,
            },
        }
    }
}

/// Chooses the switches of a kind, with shares and delays from mild to rough.
fn switches(kind: Kind, dice: &mut Rng) -> Faults {
    let mut faults = Faults {
        seed: Some(dice.u64(..)),
        ..Faults::default()
    };
    match kind {
        KillAtInvoke => faults.kill = kills("SendMessageFunction", Moment::Invoke, dice),
        KillBeforePush => faults.kill = kills("SendMessageFunction", Moment::BeforePush, dice),
        KillAfterPush => faults.kill = kills("SendMessageFunction", Moment::AfterPush, dice),
        KillConnect => faults.kill = kills("ConnectFunction", Moment::Invoke, dice),
        KillDisconnect => faults.kill = kills("DisconnectFunction", Moment::Invoke, dice),
        KillHistory => faults.kill = kills("HistoryFunction", Moment::Invoke, dice),
        DropPushes => {
            faults.pushes = Pushes {
                drop: between(0.1, 0.9, dice),
                ..Pushes::default()
            }
        }
        DelayPushes => faults.pushes.delay_ms = dice.u64(50..=2_000),
        DuplicatePushes => faults.pushes.duplicate = between(0.1, 0.9, dice),
        DropDisconnects => faults.disconnect.drop = between(0.5, 1.0, dice),
        DelayDisconnects => {
            faults.disconnect = Disconnects {
                drop: 0.0,
                delay_ms: dice.u64(200..=3_000),
            };
        }
        Refuse410 => faults.posts = [(410, between(0.05, 0.5, dice))].into(),
        Refuse429 => faults.posts = [(429, between(0.1, 0.8, dice))].into(),
        Refuse500 => faults.posts = [(500, between(0.1, 0.8, dice))].into(),
        CutSome => faults.cut = between(0.02, 0.15, dice),
        _ => unreachable!("{kind} is none of the gateway's switches"),
    }
    faults
}

/// Returns the kills of a function: at invoke after one of several delays, else at once.
fn kills(function: &str, at: Moment, dice: &mut Rng) -> Vec<Kill> {
    let delays: &[u64] = match at {
        Moment::Invoke => &KILL_DELAYS_MS,
        Moment::BeforePush | Moment::AfterPush => &[0],
    };
    let share = between(0.05, 0.3, dice) / delays.len() as f64;
    let kill = |delay_ms: &u64| Kill {
        function: function.to_owned(),
        at,
        share,
        delay_ms: *delay_ms,
    };
    delays.iter().map(kill).collect()
}

/// Returns a random number from `least` to `most`.
pub fn between(least: f64, most: f64, dice: &mut Rng) -> f64 {
    least + (most - least) * dice.f64()
}
