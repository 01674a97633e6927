//! What can be done to the chat.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use local_gateway::faults::{Disconnects, Faults, Kill, Moment, Pushes};
use strum::{Display, EnumIter};

/// Milliseconds after which a process is killed that has got an event: before its insert, and about it.
const KILL_DELAYS_MS: [u64; 5] = [0, 1, 2, 4, 8];

/// Functions of which a process is stopped: mostly that which has the most to lose.
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
    /// `connect` is killed with a handshake in hand.
    #[strum(to_string = "kill connect")]
    KillConnect,
    /// `disconnect` is killed with an event in hand.
    #[strum(to_string = "kill disconnect")]
    KillDisconnect,
    /// `history` is killed with a request in hand.
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
    /// Posts are answered with 410, also to sockets that are open.
    #[strum(to_string = "answer posts with 410")]
    Refuse410,
    /// Posts are answered with 429.
    #[strum(to_string = "answer posts with 429")]
    Refuse429,
    /// Posts are answered with 500.
    #[strum(to_string = "answer posts with 500")]
    Refuse500,
    /// All sockets break at once.
    #[strum(to_string = "cut all sockets")]
    CutAll,
    /// Sockets break after some of their frames.
    #[strum(to_string = "cut some sockets")]
    CutSome,
}

use Kind::*;

impl Kind {
    /// Whether it needs a database that is ours.
    pub fn is_of_database(self) -> bool {
        matches!(self, KillDatabase | PauseDatabase)
    }

    /// Whether it takes a process away, for a while or for good.
    pub fn is_outage(self) -> bool {
        self <= PauseGateway
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The gateway's switches are set so; with `cut`, all sockets break when that begins, so that
    /// there are handshakes and `$disconnect` events for it to meet.
    Switch {
        /// The switches.
        faults: Faults,
        /// Whether sockets break.
        cut: bool,
    },
    /// The database is killed, and started again at the end.
    KillDatabase,
    /// The gateway is killed and its functions with it, and started again at the end.
    KillGateway,
    /// The database is stopped (SIGSTOP), and goes on at the end.
    PauseDatabase,
    /// The gateway is stopped, and goes on at the end.
    PauseGateway,
    /// A process of a function is stopped, and goes on at the end.
    PauseFunction {
        /// The program of the function.
        program: &'static str,
        /// Which of its processes, counted round.
        number: usize,
    },
    /// All sockets break.
    Cut,
}

/// A fault of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What kind it is.
    pub kind: Kind,
    /// What is done.
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
    /// What is done for a fault of a kind, from mild to rough.
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

/// The switches of a kind, with shares and delays from mild to rough.
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

/// Kills of a function: at invoke after one of several delays, else at once.
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

/// A number from `least` to `most`.
pub fn between(least: f64, most: f64, dice: &mut Rng) -> f64 {
    least + (most - least) * dice.f64()
}
