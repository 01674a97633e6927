//! A device of a user: it keeps a connection open and follows the contract in its conversations. A
//! device without conversations only listens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tests::client::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::copies::Copies;
use crate::outbox::{BACKOFF, Outbox, Task};
use crate::recorder::Recorder;
use crate::session::Session;
use crate::workload::Phase;

/// Time for which a device keeps a connection, before it opens another one, as mobile devices do.
const LIFETIME_MS: std::ops::Range<u64> = 20_000..60_000;

/// A device.
pub struct Device {
    /// Origin of the WebSocket API.
    pub ws: String,
    /// The user.
    pub user_id: String,
    /// Whether it gets every kind of frame, and marks what it has.
    pub modern: bool,
    /// The messages that it sends.
    pub outbox: Outbox,
    /// Its copies of conversations.
    pub copies: Arc<Copies>,
    /// Its random numbers.
    pub rng: fastrand::Rng,
    /// The phase of the run.
    pub phase: watch::Receiver<Phase>,
    /// Dropped when it has nothing more to send.
    pub busy: Option<mpsc::Sender<()>>,
    /// Records everything.
    pub recorder: Arc<Recorder>,
}

impl Device {
    /// Runs until the run ends.
    pub async fn run(mut self) {
        let mut failures = 0;
        while !self.is_over() {
            match Session::open(&self.ws, &self.user_id, self.modern, &self.recorder).await {
                Some(session) => {
                    failures = 0;
                    self.serve(session).await;
                }
                None => {
                    failures += 1;
                    self.pause(failures).await;
                }
            }
        }
        self.outbox.give_up();
    }

    fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::End
    }

    /// Waits before the next handshake, unless the run ends.
    async fn pause(&mut self, failures: u32) {
        let end = Instant::now() + BACKOFF.pause(failures, &mut self.rng);
        self.settle_down();
        tokio::select! {
            () = sleep_until(end) => {}
            _ = self.phase.changed() => {}
        }
    }

    async fn serve(&mut self, mut session: Session) {
        // Messages may have come while there was no connection.
        self.copies.read_on();
        let lifetime = Duration::from_millis(self.rng.u64(LIFETIME_MS));
        let end = Instant::now() + lifetime;
        let why = self.chat(&mut session, end).await;
        self.outbox.connection_ended(&why);
        let properly = self.rng.bool();
        session.end(why, properly).await;
    }

    /// Sends and receives on a connection as long as it lasts; returns the reason of its end.
    async fn chat(&mut self, session: &mut Session, end: Instant) -> String {
        loop {
            if self.is_over() {
                return "the run ends".to_owned();
            }
            let may_write = self.settle_down();
            match self.outbox.task(session.id(), may_write) {
                Task::Wait => {}
                Task::Reconnect => return "no response on it".to_owned(),
                Task::Send(frame) => {
                    if let Err(why) = session.send(frame).await {
                        return why;
                    }
                }
            }
            let wake = self.outbox.wake(may_write);
            tokio::select! {
                frame = session.next() => {
                    let sent = match frame {
                        Ok(frame) => self.on_frame(&frame, session).await,
                        Err(why) => Err(why),
                    };
                    if let Err(why) = sent {
                        return why;
                    }
                }
                () = sleep_until(wake.unwrap_or(end)) => {}
                () = sleep_until(end) => return "the device moves on".to_owned(),
                _ = self.phase.changed() => {}
            }
        }
    }

    /// Takes a frame, and may mark the conversation of an entry.
    async fn on_frame(&mut self, frame: &Frame, session: &mut Session) -> Result<(), String> {
        if let Some(own) = self.outbox.on_frame(frame) {
            self.copies.add_own(&own);
        }
        let (Frame::Message(message) | Frame::Entry(message)) = frame else {
            return Ok(());
        };
        self.copies.add(message);
        let last = self.copies.last(&message.conversation_id);
        if !self.modern || last.is_none() || self.rng.bool() {
            return Ok(());
        }
        // Some claim more than there is.
        let number = if self.rng.u8(..) == 0 {
            1 << 53
        } else {
            last.unwrap_or(0)
        };
        let field = if self.rng.bool() { "read" } else { "delivered" };
        let id = &message.conversation_id;
        let mark = json!({"action": "mark", "conversation_id": id, field: number});
        session.send(mark.to_string()).await
    }

    /// Whether new messages may be written. If not, and none is pending, drops `busy`.
    fn settle_down(&mut self) -> bool {
        let may_write = *self.phase.borrow() == Phase::Chat;
        if !may_write && self.outbox.is_empty() {
            self.busy = None;
        }
        may_write
    }
}
