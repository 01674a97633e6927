//! The clients of a run: who they are, and when they stop.
//!
//! - [`device`](crate::device): keeps a socket open and follows the contract; or only listens
//! - [`outbox`](crate::outbox): sends, and sends again
//! - [`copies`](crate::copies): what a device holds, and how it gets what it lacks
//! - [`poller`](crate::poller): reads the history again and again

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::copies::Copies;
use crate::device::Device;
use crate::history::{Held, History};
use crate::outbox::Outbox;
use crate::pages::{Conversation, Pages};
use crate::poller::Poller;
use crate::recorder::Recorder;

/// How long clients try to settle what is open at the end of a run.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Of so many users one has two devices that send.
const USERS_PER_SECOND_DEVICE: usize = 8;

/// Of so many users one has a device that only listens.
const USERS_PER_LISTENER: usize = 5;

/// Of so many conversations one has a poller.
const CONVERSATIONS_PER_POLLER: usize = 8;

/// Who is in no conversation, and listens all the same.
const STRANGER: &str = "stranger@example.com";

/// What the clients of a run do, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base address of the WebSocket API: `ws://127.0.0.1:3001`.
    pub ws: String,
    /// Base address of the HTTP API: `http://127.0.0.1:3000`.
    pub http: String,
    /// How many conversations there are.
    pub conversations: usize,
    /// How many messages are sent in all, spread over the time; after a failure, what is late is sent
    /// as fast as acknowledgements come. 0: always so.
    pub messages: u64,
    /// The time over which the messages are spread, in seconds. The run goes on until
    /// [`Workload::finish`].
    pub seconds: u64,
    /// Decides all that is left to chance.
    pub seed: u64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Clients send and receive.
    Chat,
    /// Nothing new is sent, only again what is not acknowledged.
    Drain,
    /// Sockets are closed, and who holds copies gets the rest.
    End,
}

/// How far the clients of a run are.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Messages that were sent.
    pub sent: u64,
    /// Times that they were.
    pub attempts: u64,
    /// Messages that were acknowledged.
    pub acked: u64,
    /// Pages that were read, or asked for in vain.
    pub reads: u64,
    /// Sockets that were opened.
    pub sockets: u64,
}

/// The clients of a run.
pub struct Workload {
    phase: watch::Sender<Phase>,
    /// Ends when no device has anything more to send.
    busy: mpsc::Receiver<()>,
    readers: Vec<JoinHandle<()>>,
    holders: Vec<JoinHandle<Vec<Held>>>,
    recorder: Arc<Recorder>,
}

impl Workload {
    /// Starts them. The database has no messages yet; the addresses must hold for the whole run, and
    /// nobody needs to answer there already.
    pub fn start(settings: Settings) -> Self {
        let (phase, phases) = watch::channel(Phase::Chat);
        let (busy, idle) = mpsc::channel(1);
        let mut start = Start {
            rng: Rng::with_seed(settings.seed),
            settings,
            phases,
            busy,
            readers: Vec::new(),
            holders: Vec::new(),
            recorder: Arc::new(Recorder::new()),
        };
        start.all();
        Self {
            phase,
            busy: idle,
            readers: start.readers,
            holders: start.holders,
            recorder: start.recorder,
        }
    }

    /// How far they are.
    pub fn progress(&self) -> Progress {
        let counts = &self.recorder.counts;
        Progress {
            sent: counts.sent.load(Relaxed),
            attempts: counts.attempts.load(Relaxed),
            acked: counts.acked.load(Relaxed),
            reads: counts.reads.load(Relaxed),
            sockets: self.recorder.sockets(),
        }
    }

    /// The time since the start of the run, as the history has it.
    pub fn now(&self) -> Duration {
        self.recorder.now()
    }

    /// Ends the run, on a system that is healthy again: what is not acknowledged is sent until it is,
    /// then all who hold copies get what they lack. Gives all that was done and seen.
    pub async fn finish(mut self) -> History {
        self.phase.send_replace(Phase::Drain);
        // Nothing is ever sent on it: it ends when the last device drops its side. What is open
        // after that time stays unknown.
        let _ = timeout(SETTLE_TIMEOUT, self.busy.recv()).await;
        self.phase.send_replace(Phase::End);
        for reader in self.readers {
            reader.await.expect("it does not panic");
        }
        for holder in self.holders {
            let held = holder.await.expect("it does not panic");
            self.recorder.record(|history| history.held.extend(held));
        }
        self.recorder.take()
    }
}

/// The start of a run.
struct Start {
    settings: Settings,
    rng: Rng,
    phases: watch::Receiver<Phase>,
    busy: mpsc::Sender<()>,
    readers: Vec<JoinHandle<()>>,
    holders: Vec<JoinHandle<Vec<Held>>>,
    recorder: Arc<Recorder>,
}

impl Start {
    fn all(&mut self) {
        let conversations = conversations(self.settings.conversations);
        let mut senders: Vec<(String, usize, Vec<Conversation>)> = Vec::new();
        for (index, (user_id, theirs)) in by_user(&conversations).into_iter().enumerate() {
            let devices = if index % USERS_PER_SECOND_DEVICE == 0 {
                2
            } else {
                1
            };
            for device in 0..devices {
                senders.push((user_id.clone(), device, theirs.clone()));
            }
            if index % USERS_PER_LISTENER == 0 {
                self.device(&user_id, devices, Vec::new(), Duration::ZERO);
            }
        }
        let shares = senders.iter().map(|(_, _, theirs)| theirs.len()).sum();
        for (user_id, device, theirs) in senders {
            let interval = self.interval(shares, theirs.len());
            self.device(&user_id, device, theirs, interval);
        }
        self.device(STRANGER, 0, Vec::new(), Duration::ZERO);
        for conversation in conversations.into_iter().step_by(CONVERSATIONS_PER_POLLER) {
            self.poller(conversation);
        }
    }

    /// Between two messages of a device that has some of all `shares` in conversations.
    fn interval(&self, shares: usize, own: usize) -> Duration {
        match self.settings.messages {
            0 => Duration::ZERO,
            messages => {
                let share = messages as f64 * own as f64 / shares as f64;
                Duration::from_secs(self.settings.seconds).div_f64(share)
            }
        }
    }

    fn device(
        &mut self,
        user_id: &str,
        device: usize,
        theirs: Vec<Conversation>,
        interval: Duration,
    ) {
        let name = format!("{user_id} {device}");
        let copies = Arc::new(Copies::new(name.clone(), &theirs, self.pages(name)));
        let author = (user_id.to_owned(), device);
        let rng = self.rng.fork();
        let outbox = Outbox::new(author, theirs, interval, rng, Arc::clone(&self.recorder));
        let client = Device {
            ws: self.settings.ws.clone(),
            user_id: user_id.to_owned(),
            outbox,
            copies: Arc::clone(&copies),
            rng: self.rng.fork(),
            phase: self.phases.clone(),
            busy: Some(self.busy.clone()),
            recorder: Arc::clone(&self.recorder),
        };
        self.readers.push(tokio::spawn(client.run()));
        let follow = copies.follow(self.phases.clone(), self.rng.fork());
        self.holders.push(tokio::spawn(follow));
    }

    fn poller(&mut self, conversation: Conversation) {
        let poller = Poller {
            pages: self.pages(format!("poller of {}", conversation.id)),
            conversation,
            rng: self.rng.fork(),
            phase: self.phases.clone(),
        };
        self.readers.push(tokio::spawn(poller.run()));
    }

    fn pages(&self, reader: String) -> Pages {
        Pages::new(reader, &self.settings.http, Arc::clone(&self.recorder))
    }
}

/// Pairs of users of their own, but every fourth conversation is one of users of the two before it.
fn conversations(count: usize) -> Vec<Conversation> {
    let user = |index: usize, side: char| format!("{side}{index}@example.com");
    let conversation = |index: usize| match index % 4 {
        3 => Conversation::of(&user(index - 1, 'a'), &user(index - 2, 'b')),
        _ => Conversation::of(&user(index, 'a'), &user(index, 'b')),
    };
    (0..count).map(conversation).collect()
}

fn by_user(conversations: &[Conversation]) -> BTreeMap<String, Vec<Conversation>> {
    let mut by_user: BTreeMap<String, Vec<Conversation>> = BTreeMap::new();
    for conversation in conversations {
        for user_id in &conversation.users {
            let theirs = by_user.entry(user_id.clone()).or_default();
            theirs.push(conversation.clone());
        }
    }
    by_user
}
