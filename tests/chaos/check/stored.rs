//! Rules of the stored messages.

use chat::Kind;

use super::Violation;
use super::facts::{Facts, is_changed};
use crate::contents::Stored;
use crate::history::{Key, Sent, conversation_id, is_group};

/// The numbers of a conversation are 1, 2, 3, … without holes.
pub fn numbers(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (conversation_id, log) in &facts.logs {
        let conversation_id = || (*conversation_id).to_owned();
        let mut next = 1;
        for seq in log.iter().map(|message| message.seq) {
            if seq > next {
                let conversation_id = conversation_id();
                found.push(Violation::Hole {
                    conversation_id,
                    seq: next,
                });
            } else if seq < next {
                let conversation_id = conversation_id();
                found.push(Violation::BadNumber {
                    conversation_id,
                    seq,
                });
            }
            next = next.max(seq + 1);
        }
    }
    found
}

/// Timestamps never decrease with the number, and have the one form in which text sorts as time.
pub fn times(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for log in facts.logs.values() {
        let mut latest = "";
        for message in log {
            let time = chat::timestamp::parse(&message.timestamp).map(chat::timestamp::format);
            let is_good =
                time.as_ref() == Some(&message.timestamp) && *latest <= *message.timestamp;
            if !is_good {
                found.push(Violation::BadTime {
                    conversation_id: message.conversation_id.clone(),
                    seq: message.seq,
                });
            }
            latest = latest.max(&message.timestamp);
        }
    }
    found
}

/// Messages with the same `client_message_id`, sender and conversation are one message.
pub fn stored_once(facts: &Facts) -> Vec<Violation> {
    let twice = facts.stored.iter().filter(|(_, stored)| stored.len() > 1);
    let violations = twice.map(|(key, stored)| Violation::StoredTwice {
        key: key.clone(),
        seqs: stored.iter().map(|message| message.seq).collect(),
    });
    violations.collect()
}

/// A stored message was sent, to that receiver, as that kind, and with that text unless it was changed later. A change of
/// a group is of no other users.
pub fn stored_as_sent(facts: &Facts) -> Vec<Violation> {
    let stored = facts.logs.values().flatten();
    let violations = stored.filter_map(|message| {
        let seq = message.seq;
        let invented = || Violation::Invented {
            conversation_id: message.conversation_id.clone(),
            seq,
        };
        let Some(key) = Key::of(message) else {
            return Some(invented());
        };
        let Some(sent) = facts.sent.get(&key) else {
            return Some(invented());
        };
        (!is_same(message, sent)).then_some(Violation::Altered { key, seq })
    });
    violations.collect()
}

fn is_same(message: &Stored, sent: &Sent) -> bool {
    let is_its_place = match &sent.receiver_id {
        Some(receiver) => message.conversation_id == conversation_id(&message.sender_id, receiver),
        None => is_group(&message.conversation_id),
    };
    let is_its_users = if sent.kind == Kind::Join {
        !message.users.is_empty() && message.users.iter().all(|user| sent.users.contains(user))
    } else {
        message.users == sent.users
    };
    is_its_place
        && is_its_users
        && message.receiver_id == sent.receiver_id
        && (message.kind, message.target_seq) == (sent.kind, sent.target_seq)
        && (is_changed(message) || message.message == sent.message)
        && (&message.title, &message.role, &message.history)
            == (&sent.title, &sent.role, &sent.history)
}
