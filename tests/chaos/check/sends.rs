//! Rules of the messages that clients send, and of their acks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::tests::client::Ack;

use super::Violation;
use super::facts::Facts;
use crate::history::{Key, Outcome, Sent, Stored};

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
/// text was deleted before, and may be refused if that happens meanwhile.
pub fn answered(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for sent in &facts.history.sends {
        let wrong = sent.attempts.iter();
        let wrong = wrong.filter(|attempt| match &attempt.outcome {
            Outcome::Ok => sent.refusal.is_some() || is_too_late(facts, sent),
            // It only says to wait.
            Outcome::Failed(code) if code == "rate_limited" => false,
            Outcome::Failed(code) if code == "message_not_found" => {
                sent.refusal.as_ref() != Some(code) && !may_be_gone(facts, sent, attempt.end)
            }
            Outcome::Failed(code) => sent.refusal.as_ref() != Some(code),
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

/// Whether a change was first sent after a client knew that its text is deleted.
fn is_too_late(facts: &Facts, sent: &Sent) -> bool {
    let id = &sent.key.conversation_id;
    sent.target_seq
        .is_some_and(|seq| facts.is_deleted(id, seq, sent.start()))
}

/// Whether the text of a change may have been deleted before a time.
fn may_be_gone(facts: &Facts, sent: &Sent, time: Duration) -> bool {
    let id = &sent.key.conversation_id;
    sent.target_seq
        .is_some_and(|seq| facts.may_be_deleted(id, seq, time))
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
