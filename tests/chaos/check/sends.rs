//! Rules of the messages that clients send, and of their acks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::tests::client::Ack;

use super::Violation;
use super::facts::Facts;
use crate::contents::Stored;
use crate::history::{Key, Outcome, Sent, is_group};
use crate::roster::Change;

/// A message that every attempt refused is not stored.
pub fn refused(facts: &Facts) -> Vec<Violation> {
    let sends = facts.history.sends.iter();
    let violations = sends.filter_map(|sent| {
        let Outcome::Failed(code) = sent.outcome() else {
            return None;
        };
        let stored = facts.stored_as(&sent.key).first()?;
        Some(Violation::RefusedButStored {
            key: sent.key.clone(),
            seq: stored.seq,
            code,
        })
    });
    violations.collect()
}

/// An invalid message is refused with its code, and no other message is refused for good. A change is refused if its
/// text was deleted before, and may be refused if that happens meanwhile. What a group does not permit is refused only if
/// that is so at some moment between the request and the response.
pub fn answered(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for sent in &facts.history.sends {
        let wrong = sent
            .attempts
            .iter()
            .filter(|attempt| match &attempt.outcome {
                Outcome::Ok => sent.refusal.is_some() || is_too_late(facts, sent),
                // It only says to wait.
                Outcome::Failed(code) if code == "rate_limited" => false,
                Outcome::Failed(code) => {
                    sent.refusal.as_ref() != Some(code)
                        && (is_acked_before(sent, attempt.start)
                            || !may_be_refused(facts, sent, code, attempt.end))
                }
                Outcome::Unknown(_) | Outcome::Malformed(_) => false,
            });
        found.extend(wrong.map(|attempt| Violation::WrongAnswer {
            key: sent.key.clone(),
            expected: sent.refusal.clone(),
            outcome: attempt.outcome.clone(),
        }));
    }
    found
}

/// Whether an earlier attempt was acknowledged: the device has sent it once more.
fn is_acked_before(sent: &Sent, time: Duration) -> bool {
    let mut attempts = sent.attempts.iter();
    attempts.any(|earlier| earlier.outcome == Outcome::Ok && earlier.start < time)
}

/// Whether a change was first sent after a client knew that its text is deleted.
fn is_too_late(facts: &Facts, sent: &Sent) -> bool {
    let id = &sent.key.conversation_id;
    sent.target_seq
        .is_some_and(|seq| facts.is_deleted(id, seq, sent.start()))
}

/// Whether a valid entry may be refused before a time: its text may be deleted by then, or it is not permitted in its
/// group at some moment.
fn may_be_refused(facts: &Facts, sent: &Sent, code: &str, time: Duration) -> bool {
    let id = &sent.key.conversation_id;
    let is_gone = |seq| facts.may_be_deleted(id, seq, time);
    if code == "message_not_found" && sent.target_seq.is_some_and(is_gone) {
        return true;
    }
    let change = Change::asked(sent, facts.writer(id, sent.target_seq));
    let rosters = facts.moments(id, sent.start(), time);
    is_group(id) && rosters.iter().any(|it| it.refusal(&change) == Some(code))
}

/// An acknowledged message is stored, as every ack says.
pub fn acknowledged(facts: &Facts) -> Vec<Violation> {
    let violations = facts.acks().filter_map(|(key, ack)| {
        let stored = facts.stored_as(&key);
        match stored.first() {
            None => Some(Violation::Lost { key, seq: ack.seq }),
            Some(_) if stored.iter().any(|stored| says(ack, stored)) => None,
            Some(first) => Some(Violation::AckDiffers {
                ack: ack.clone(),
                stored: Arc::new((*first).clone()),
            }),
        }
    });
    violations.collect()
}

fn says(ack: &Ack, stored: &Stored) -> bool {
    (ack.seq, &ack.message_id, &ack.timestamp)
        == (stored.seq, &stored.message_id, &stored.timestamp)
}

/// At most one ack of a message says that it was not stored before.
pub fn new_once(facts: &Facts) -> Vec<Violation> {
    let mut new: HashMap<Key, Vec<i64>> = HashMap::new();
    for (key, ack) in facts.acks().filter(|(_, ack)| !ack.duplicate) {
        new.entry(key).or_default().push(ack.seq);
    }
    let twice = new.into_iter().filter(|(_, seqs)| seqs.len() > 1);
    let violations = twice.map(|(key, seqs)| Violation::NewTwice { key, seq: seqs[0] });
    violations.collect()
}

/// A message gets a larger number than any that was seen before it was sent.
pub fn in_order(facts: &Facts) -> Vec<Violation> {
    let sends = facts.history.sends.iter();
    let violations = sends.flat_map(|sent| {
        let seen = facts.seen_before(&sent.key.conversation_id, sent.start());
        let stored = facts.stored_as(&sent.key).iter();
        let early = stored.filter(move |stored| stored.seq <= seen);
        early.map(move |stored| Violation::OutOfOrder {
            key: sent.key.clone(),
            seq: stored.seq,
            seen,
        })
    });
    violations.collect()
}
