//! The clients of a run, and its phases.
//!
//! - [`device`](crate::device): keeps a connection open and follows the contract; or only listens
//! - [`author`](crate::author): writes texts, edits and deletions, and changes of groups
//! - [`outbox`](crate::outbox): sends each of them until it is acknowledged
//! - [`copies`](crate::copies): the copies of conversations on a device, and how gaps are filled
//! - [`poller`](crate::poller): reads the history for old clients again and again
//! - [`lister`](crate::lister): reads a user's list of conversations again and again
//! - [`roll`](crate::roll): reads the members of a group again and again

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::author::Author;
use crate::copies::Copies;
use crate::device::Device;
use crate::history::{Form, Held, History};
use crate::lister::Lister;
use crate::outbox::Outbox;
use crate::pages::{Conversation, Pages};
use crate::poller::Poller;
use crate::recorder::Recorder;
use crate::roll::RollReader;

/// Time limit for settling pending messages and gaps at the end of a run.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// One of this number of users has two devices that send.
const USERS_PER_SECOND_DEVICE: usize = 4;

/// One of this number of users has a device that only listens.
const USERS_PER_LISTENER: usize = 5;

/// One of this number of users has a lister.
const USERS_PER_LISTER: usize = 3;

/// One of this number of conversations has a poller.
const CONVERSATIONS_PER_POLLER: usize = 8;

/// One of this number of conversations has a group beside it, of the users of it and of the next two.
const CONVERSATIONS_PER_GROUP: usize = 4;

/// A user who is in no conversation, and listens.
const STRANGER: &str = "stranger@example.com";

/// The settings of the clients of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Origin of the WebSocket API: `ws://127.0.0.1:3001`.
    pub ws: String,
    /// Origin of the HTTP API: `http://127.0.0.1:3000`.
    pub http: String,
    /// Number of conversations of two users; there are groups beside them.
    pub conversations: usize,
    /// Number of messages, spread over the time; after a failure, late messages are sent as fast as
    /// acks come. 0: always so.
    pub messages: u64,
    /// The time over which the messages are spread, in seconds. The run goes on until
    /// [`Workload::finish`].
    pub seconds: u64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Clients send and receive.
    Chat,
    /// Nothing new is sent; pending messages are sent again.
    Drain,
    /// Connections are closed, and copies are completed.
    End,
}

/// Lets a reader go on until the run ends.
pub async fn until_end(mut phase: watch::Receiver<Phase>, reading: impl Future<Output = ()>) {
    tokio::select! {
        () = reading => unreachable!("it goes on"),
        _ = phase.wait_for(|phase| *phase == Phase::End) => {}
    }
}

/// Counts of a run so far.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Messages sent, resends not counted.
    pub sent: u64,
    /// Attempts to send a message.
    pub attempts: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Pages requested.
    pub reads: u64,
    /// Connections opened.
    pub connections: u64,
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
    /// Starts the clients. The database has no messages yet; the addresses must hold for the whole
    /// run, and need not respond yet.
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

    /// Returns the counts so far.
    pub fn progress(&self) -> Progress {
        let counts = &self.recorder.counts;
        Progress {
            sent: counts.sent.load(Relaxed),
            attempts: counts.attempts.load(Relaxed),
            acked: counts.acked.load(Relaxed),
            reads: counts.reads.load(Relaxed),
            connections: self.recorder.connections(),
        }
    }

    /// Returns the time since the start of the run, by the clock of the history.
    pub fn now(&self) -> Duration {
        self.recorder.now()
    }

    /// Ends the run, on a system that is healthy again: pending messages are sent until they are
    /// acknowledged, then all copies are completed. Returns the history.
    pub async fn finish(mut self) -> History {
        self.phase.send_replace(Phase::Drain);
        // Nothing is sent on this channel: it ends when the last device drops its side. Messages
        // that are pending after the time limit stay unknown.
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
        let groups = groups(self.settings.conversations);
        let all = [&conversations[..], &groups[..]].concat();
        let mut senders: Vec<(String, usize, Vec<Conversation>)> = Vec::new();
        for (index, (user_id, theirs)) in by_user(&all).into_iter().enumerate() {
            let devices = if index % USERS_PER_SECOND_DEVICE == 0 {
                2
            } else {
                1
            };
            for device in 0..devices {
                senders.push((user_id.clone(), device, theirs.clone()));
            }
            if index % USERS_PER_LISTER == 0 {
                self.lister(&user_id);
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
        for group in groups {
            self.roll(group);
        }
    }

    /// Returns the time between two messages of a device that has `own` of all `shares` in
    /// conversations.
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
        let pages = self.pages(name.clone(), user_id, Form::Log);
        let copies = Arc::new(Copies::new((name, user_id), &theirs, pages));
        let modern = !theirs.is_empty();
        let device = (user_id.to_owned(), device);
        let author = Author::new(device, theirs, Arc::clone(&copies), self.rng.fork());
        let rng = self.rng.fork();
        let outbox = Outbox::new(author, interval, rng, Arc::clone(&self.recorder));
        let client = Device {
            ws: self.settings.ws.clone(),
            user_id: user_id.to_owned(),
            // Those that only listen are old ones.
            modern,
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
        let name = format!("poller of {}", conversation.id);
        let poller = Poller {
            pages: self.pages(name, &conversation.users[0], Form::Texts),
            conversation,
            rng: self.rng.fork(),
            phase: self.phases.clone(),
        };
        self.readers.push(tokio::spawn(poller.run()));
    }

    fn lister(&mut self, user_id: &str) {
        let rng = self.rng.fork();
        let lister = Lister::new(
            user_id.to_owned(),
            &self.settings.http,
            rng,
            self.phases.clone(),
            Arc::clone(&self.recorder),
        );
        self.readers.push(tokio::spawn(lister.run()));
    }

    fn roll(&mut self, group: Conversation) {
        let pages = self.pages(STRANGER.to_owned(), STRANGER, Form::Log);
        let reader = RollReader::new(
            (group, STRANGER, pages),
            &self.settings.http,
            self.rng.fork(),
            self.phases.clone(),
            Arc::clone(&self.recorder),
        );
        self.readers.push(tokio::spawn(reader.run()));
    }

    fn pages(&self, reader: String, user_id: &str, form: Form) -> Pages {
        Pages::new(
            (reader, user_id),
            form,
            &self.settings.http,
            Arc::clone(&self.recorder),
        )
    }
}

/// Returns conversations of users of their own; every fourth one is between users of the two before
/// it.
fn conversations(count: usize) -> Vec<Conversation> {
    let conversation = |index: usize| match index % 4 {
        3 => Conversation::of(&user(index - 1, 'a'), &user(index - 2, 'b')),
        _ => Conversation::of(&user(index, 'a'), &user(index, 'b')),
    };
    (0..count).map(conversation).collect()
}

/// Returns the groups beside so many conversations, each of users of three of them. Those who join every second one read
/// everything.
fn groups(conversations: usize) -> Vec<Conversation> {
    let group = |number: usize| {
        let first = number * CONVERSATIONS_PER_GROUP;
        let users = (first..first + 3).flat_map(|index| [user(index, 'a'), user(index, 'b')]);
        let history = ["joined", "all"][number % 2];
        Conversation::group(&format!("group-{number}"), users.collect(), history)
    };
    (0..conversations / CONVERSATIONS_PER_GROUP)
        .map(group)
        .collect()
}

fn user(index: usize, side: char) -> String {
    format!("{side}{index}@example.com")
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
