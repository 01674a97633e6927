//! The entries that a device sends: one after another, each until its fate is known.
//!
//! Such a message is acknowledged, or refused for good. After anything else (a timeout, an error that is
//! worth a retry, a broken connection) it is sent again under the same `client_message_id`, after a
//! pause.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ::tests::client::backoff::Backoff;
use ::tests::client::{Ack, Frame, Message, Pending, Rejection, Reply};
use chat::Kind;
use tokio::time::Instant;

use crate::author::Author;
use crate::history::{Attempt, Outcome, Sent};
use crate::recorder::Recorder;

/// Time limit of an ack. Functions have longer, so that some messages are sent again while an attempt is
/// still under way. It is twice as long for the second attempt, and so on: otherwise the attempts of many
/// waiting devices would keep the chat busy with acks that come too late.
const ACK_TIMEOUT_MS: std::ops::Range<u64> = 2_000..6_000;

/// Number of failed attempts after which the time limit grows no further.
const MAX_TIMEOUT_STEPS: u32 = 4;

/// Pauses before the next attempt to send or to connect.
pub const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};

/// The next step of a device.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Do nothing before [`Outbox::wake`].
    Wait,
    /// Send a frame.
    Send(String),
    /// Close this connection and open another one.
    Reconnect,
}

/// The messages of a device.
pub struct Outbox {
    author: Author,
    /// Time between two messages.
    interval: Duration,
    due: Instant,
    current: Option<Current>,
    rng: fastrand::Rng,
    recorder: Arc<Recorder>,
}

/// The message whose fate is not known yet, and its record.
struct Current {
    sent: Sent,
    pending: Pending,
}

impl Current {
    fn end_attempt(&mut self, outcome: Outcome, now: Duration) {
        let attempt = self.sent.attempts.last_mut().expect("there was one");
        attempt.outcome = outcome;
        attempt.end = now;
    }
}

impl Outbox {
    /// The outbox of a device whose author writes every `interval`, or as soon as it can when it is late;
    /// never if there is no conversation.
    pub fn new(
        author: Author,
        interval: Duration,
        mut rng: fastrand::Rng,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            author,
            interval,
            due: Instant::now() + interval.mul_f64(rng.f64()),
            current: None,
            rng,
            recorder,
        }
    }

    /// Whether there is no message whose fate is not known.
    pub fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    /// Returns when the next step is due, if the device `may_write` more messages. `None`: not
    /// before a frame comes in.
    pub fn wake(&self, may_write: bool) -> Option<Instant> {
        match &self.current {
            Some(current) => Some(current.pending.due()),
            None => (may_write && self.author.writes()).then_some(self.due),
        }
    }

    /// Returns the next step, on the connection of this number.
    pub fn task(&mut self, connection: u64, may_write: bool) -> Task {
        if self
            .wake(may_write)
            .is_none_or(|wake| wake > Instant::now())
        {
            return Task::Wait;
        }
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.pending.is_under_way())
        {
            self.fail(Outcome::Unknown("no response in time".to_owned()), None);
            // The frame, its ack or the whole connection may be lost: both ways to go on are safe.
            return if self.rng.bool() {
                Task::Reconnect
            } else {
                Task::Wait
            };
        }
        Task::Send(self.attempt(connection))
    }

    /// Begins an attempt; returns its frame.
    fn attempt(&mut self, connection: u64) -> String {
        let now = self.recorder.now();
        let ack_timeout = Duration::from_millis(self.rng.u64(ACK_TIMEOUT_MS));
        let mut current = self.current.take().unwrap_or_else(|| self.write());
        current.sent.attempts.push(Attempt {
            connection,
            start: now,
            end: now,
            outcome: Outcome::Unknown("the run ended".to_owned()),
        });
        let steps = current.pending.failures().min(MAX_TIMEOUT_STEPS);
        let frame = current
            .pending
            .attempt(ack_timeout * (1 + steps))
            .to_owned();
        self.current = Some(current);
        self.recorder.counts.attempts.fetch_add(1, Relaxed);
        frame
    }

    /// Writes a new entry.
    fn write(&mut self) -> Current {
        self.recorder.counts.sent.fetch_add(1, Relaxed);
        let (sent, frame) = self.author.write();
        Current {
            pending: Pending::new(sent.key.client_message_id.clone(), frame),
            sent,
        }
    }

    /// Takes note of a frame that came in; returns the device's own message if it is acknowledged.
    pub fn on_frame(&mut self, frame: &Frame) -> Option<Arc<Message>> {
        let current = self.current.as_ref()?;
        match current.pending.reply(frame)? {
            Reply::Acked(_) if is_to_be_sent_again(&current.sent) => self.fail(Outcome::Ok, None),
            Reply::Acked(ack) => {
                let message = own_message(&current.sent, &ack);
                self.settle(Outcome::Ok);
                self.recorder.counts.acked.fetch_add(1, Relaxed);
                return Some(self.recorder.share(message));
            }
            Reply::Rejected(error) => self.settle(Outcome::Failed(error.code)),
            Reply::Retry(error) => self.retry(error),
            Reply::GatewayError(text) => self.fail(Outcome::Unknown(text), None),
        }
        None
    }

    fn retry(&mut self, error: Rejection) {
        let pause = error.retry_after_ms.map(Duration::from_millis);
        let outcome = if error.may_be_stored() {
            Outcome::Unknown(error.code)
        } else {
            Outcome::Failed(error.code)
        };
        self.fail(outcome, pause);
    }

    /// Ends the attempt that is under way, because the connection has ended.
    pub fn connection_ended(&mut self, why: &str) {
        self.fail(Outcome::Unknown(why.to_owned()), None);
    }

    /// Ends the attempt that is under way, if one is, and plans another one.
    fn fail(&mut self, outcome: Outcome, pause: Option<Duration>) {
        let now = self.recorder.now();
        let current = self.current.as_mut();
        let Some(current) = current.filter(|current| current.pending.is_under_way()) else {
            return;
        };
        current.end_attempt(outcome, now);
        let failures = current.pending.failures() + 1;
        let pause = pause.unwrap_or_else(|| BACKOFF.pause(failures, &mut self.rng));
        current.pending.fail(pause);
    }

    /// Records a message whose fate is known, and plans the next one.
    fn settle(&mut self, outcome: Outcome) {
        let mut current = self.current.take().expect("there is one");
        current.end_attempt(outcome, self.recorder.now());
        self.recorder
            .record(|history| history.sends.push(current.sent));
        self.due += self.interval.mul_f64(0.5 + self.rng.f64());
        // Else a member would hardly ever write while being removed.
        if self.rng.bool() && !self.interval.is_zero() {
            let beat = self.recorder.nearest_beat(self.due.into_std());
            self.due = beat.into();
        }
    }

    /// Records the message that is left at the end of the run.
    pub fn give_up(&mut self) {
        if let Some(current) = self.current.take() {
            self.recorder
                .record(|history| history.sends.push(current.sent));
        }
    }
}

/// Whether a device sends an entry once more although it was acknowledged: a group is created twice, as if the device
/// had forgotten the first time.
fn is_to_be_sent_again(sent: &Sent) -> bool {
    sent.kind == Kind::Create && sent.attempts.len() == 1
}

/// Returns the entry as its sender knows it after the ack.
fn own_message(sent: &Sent, ack: &Ack) -> Message {
    Message {
        message_id: ack.message_id.clone(),
        conversation_id: ack.conversation_id.clone(),
        seq: ack.seq,
        sender_id: sent.key.sender_id.clone(),
        receiver_id: sent.receiver_id.clone(),
        kind: sent.kind,
        target_seq: sent.target_seq,
        message: sent.message.clone(),
        timestamp: ack.timestamp.clone(),
        client_message_id: ack.client_message_id.clone(),
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::Copies;
    use crate::history::{Form, History};
    use crate::pages::{Conversation, Pages};

    /// Returns the outbox of `a`, who writes to `b` without a pause, and its recorder.
    fn outbox() -> (Outbox, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::new());
        let conversations = vec![Conversation::of("a", "b")];
        let rng = fastrand::Rng::with_seed(7);
        let shared = || Arc::clone(&recorder);
        let name = || ("a".to_owned(), "a");
        let pages = Pages::new(name(), Form::Log, "http://127.0.0.1:9", shared());
        let copies = Copies::new(name(), &conversations, pages);
        let device = ("a".to_owned(), 0);
        let author = Author::new(device, conversations, Arc::new(copies), rng.clone());
        let outbox = Outbox::new(author, Duration::ZERO, rng, shared());
        (outbox, recorder)
    }

    fn sent(outbox: &mut Outbox) -> String {
        match outbox.task(1, true) {
            Task::Send(frame) => frame,
            other => panic!("it has a frame to send, not {other:?}"),
        }
    }

    /// Makes the next step due now.
    fn time_passes(outbox: &mut Outbox) {
        let current = outbox.current.as_mut().expect("a message");
        current.pending.skip_wait();
    }

    fn frame(text: &str) -> Frame {
        Frame::parse(text)
    }

    fn ack() -> Frame {
        frame(
            r#"{"type":"ack","client_message_id":"0-0","message_id":"m","conversation_id":"c","seq":5,
                "timestamp":"t","status":"stored","duplicate":false}"#,
        )
    }

    fn outcomes(history: &History) -> Vec<Vec<Outcome>> {
        let sends = history.sends.iter();
        let outcomes = sends.map(|sent| sent.attempts.iter().map(|one| one.outcome.clone()));
        outcomes.map(Iterator::collect).collect()
    }

    #[test]
    fn a_message_is_sent_again_as_it_was_until_it_is_acknowledged_and_then_the_next_one() {
        let (mut outbox, recorder) = outbox();
        let first = sent(&mut outbox);
        let failures: [fn(&mut Outbox); 4] = [
            |outbox| outbox.connection_ended("it ends"),
            |outbox| drop(outbox.on_frame(&frame(r#"{"message":"Internal server error"}"#))),
            |outbox| {
                let error = r#"{"type":"error","code":"unavailable","client_message_id":"0-0","retryable":true}"#;
                outbox.on_frame(&frame(error));
            },
            |outbox| {
                time_passes(outbox);
                assert!(matches!(outbox.task(1, true), Task::Wait | Task::Reconnect));
            },
        ];
        for fail in failures {
            fail(&mut outbox);
            time_passes(&mut outbox);
            assert_eq!(sent(&mut outbox), first);
        }
        let own = outbox.on_frame(&ack()).expect("it is acknowledged");
        assert_eq!((own.seq, own.sender_id.as_str()), (5, "a"));
        assert_ne!(sent(&mut outbox), first);

        let outcomes = &outcomes(&recorder.take())[0];
        let (last, others) = outcomes.split_last().expect("there were attempts");
        assert_eq!(*last, Outcome::Ok);
        assert_eq!(others.len(), 4);
        let is_unknown = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(_));
        assert!(others.iter().all(is_unknown), "{others:?}");
    }

    #[test]
    fn an_ack_that_comes_late_counts() {
        let (mut outbox, recorder) = outbox();
        sent(&mut outbox);
        outbox.connection_ended("it ends");
        assert!(outbox.on_frame(&ack()).is_some());
        assert!(outbox.is_empty());
        assert_eq!(outcomes(&recorder.take()), [[Outcome::Ok]]);
        assert!(
            outbox.on_frame(&ack()).is_none(),
            "the second one is of nothing"
        );
    }

    #[test]
    fn a_group_that_was_created_is_created_once_more() {
        let (mut outbox, recorder) = outbox();
        let first = sent(&mut outbox);
        outbox.current.as_mut().expect("a message").sent.kind = Kind::Create;
        assert!(outbox.on_frame(&ack()).is_none());
        time_passes(&mut outbox);
        assert_eq!(sent(&mut outbox), first);
        assert!(outbox.on_frame(&ack()).is_some());
        assert_eq!(outcomes(&recorder.take()), [[Outcome::Ok, Outcome::Ok]]);
    }

    #[test]
    fn a_message_refused_for_good_is_not_sent_again() {
        let (mut outbox, recorder) = outbox();
        sent(&mut outbox);
        let other = r#"{"type":"error","code":"message_empty","client_message_id":"0-9","retryable":false}"#;
        outbox.on_frame(&frame(other));
        assert!(!outbox.is_empty(), "it was about another message");
        outbox.on_frame(&frame(&other.replace("0-9", "0-0")));
        assert!(outbox.is_empty());
        let refused = Outcome::Failed("message_empty".to_owned());
        assert_eq!(outcomes(&recorder.take()), [[refused]]);
    }

    #[test]
    fn a_device_waits_as_long_as_asked_before_it_sends_again() {
        let (mut outbox, recorder) = outbox();
        sent(&mut outbox);
        let error = r#"{"type":"error","code":"rate_limited","client_message_id":"0-0","retryable":true,
                        "retry_after_ms":60000}"#;
        outbox.on_frame(&frame(error));
        let wake = outbox.wake(true).expect("it will try again");
        assert!(wake > Instant::now() + Duration::from_secs(50));
        outbox.give_up();
        let refused = Outcome::Failed("rate_limited".to_owned());
        assert_eq!(outcomes(&recorder.take()), [[refused]]);
    }

    #[test]
    fn at_the_end_only_the_pending_message_is_sent_again() {
        let (mut outbox, _) = outbox();
        assert_eq!(outbox.task(1, false), Task::Wait);
        assert_eq!(outbox.wake(false), None);
        let first = sent(&mut outbox);
        outbox.connection_ended("it ends");
        time_passes(&mut outbox);
        assert_eq!(outbox.task(2, false), Task::Send(first));
    }
}
