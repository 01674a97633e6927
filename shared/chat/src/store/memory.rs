//! Memory of conversations: the newest number that this process has seen in each, and whether it is
//! worth an insert without a look.

use chrono::{DateTime, Utc};
use mongodb::bson::oid::ObjectId;

use super::groups::KnownGroup;
use super::stored_entry::StoredEntry;
use crate::{Content, Draft, timestamp};

/// Reads in a row that must find exactly the remembered number before the next message is inserted
/// without a read.
///
/// A conflict then takes that many right guesses and a wrong one. If a guess is right with probability
/// `p`, each send conflicts with probability `p³²·(1-p)`: at most 0.0114, at `p = 32/33`.
const READS_TO_TRUST: u32 = 32;

/// The end of a conversation, after which the next entry comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    /// The newest number; 0 if there is none above.
    pub(super) seq: i64,
    timestamp: Option<DateTime<Utc>>,
}

impl Tail {
    pub(super) fn of(entry: &StoredEntry) -> Self {
        Self {
            // Messages of the old system end at 0 at most, so a new one is never below 1.
            seq: entry.seq.max(0),
            timestamp: timestamp::parse(&entry.timestamp),
        }
    }

    /// Returns the document of `draft`, which says `content`: next number, timestamp not before this one's.
    pub(super) fn followed_by(
        &self,
        draft: &Draft,
        content: &Content,
        id: ObjectId,
        now: DateTime<Utc>,
    ) -> StoredEntry {
        let timestamp = self.timestamp.map_or(now, |newest| newest.max(now));
        StoredEntry {
            _id: id,
            conversation_id: draft.conversation_id.clone(),
            seq: self.seq + 1,
            sender_id: draft.sender_id.as_str().to_owned(),
            receiver_id: draft.receiver_id.as_ref().map(ToString::to_string),
            kind: content.kind(),
            target_seq: content.target_seq(),
            users: content.users().to_vec(),
            title: content.title().cloned(),
            role: content.role(),
            new_owner: content.new_owner().cloned(),
            history: content.history(),
            message: content.message().to_owned(),
            timestamp: timestamp::format(timestamp),
            client_message_id: draft.client_message_id.clone(),
            edited_seq: None,
            deleted_seq: None,
        }
    }
}

/// Memory of one conversation.
///
/// A majority has the remembered message, so the newest number is never smaller. It is larger if another
/// process has written since.
#[derive(Debug)]
pub(super) struct Memory {
    /// The end of the conversation as it was last seen; number 0 before that.
    pub(super) tail: Tail,
    /// The group as of that end, if the conversation is one and was seen.
    pub(super) group: Option<KnownGroup>,
    /// Reads in a row that found exactly the remembered number, up to [`READS_TO_TRUST`].
    confirmed: u32,
}

impl Memory {
    /// Returns the memory of a conversation that was not seen yet, trusted from the start or not.
    pub(super) fn new(is_trusted: bool) -> Self {
        Self {
            tail: Tail::default(),
            group: None,
            confirmed: if is_trusted { READS_TO_TRUST } else { 0 },
        }
    }

    /// Returns whether the next message may be inserted after the remembered one without a read. The
    /// sender has the messages up to `after`.
    pub(super) fn is_trusted(&self, after: Option<i64>) -> bool {
        let newest_known = after.unwrap_or_default().max(1);
        self.confirmed == READS_TO_TRUST && self.tail.seq >= newest_known
    }

    /// Takes over the end of the conversation as a read has found it. Another number than the remembered
    /// one means that another process writes too.
    pub(super) fn learn(&mut self, newest: Tail) {
        if self.tail.seq > 0 {
            let is_right = newest.seq == self.tail.seq;
            let confirmed = (self.confirmed + 1).min(READS_TO_TRUST);
            self.confirmed = if is_right { confirmed } else { 0 };
        }
        self.tail = newest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(seq: i64) -> Tail {
        Tail {
            seq,
            timestamp: None,
        }
    }

    /// A conversation to which one process sends, and other processes in between.
    struct Conversation {
        memory: Memory,
        newest: i64,
        reads: u32,
        conflicts: u32,
    }

    impl Conversation {
        fn new(is_trusted: bool) -> Self {
            Self {
                memory: Memory::new(is_trusted),
                newest: 10,
                reads: 0,
                conflicts: 0,
            }
        }

        fn read(&mut self) {
            self.reads += 1;
            self.memory.learn(tail(self.newest));
        }

        /// Sends a message as the store does, perhaps after one of another process.
        fn send(&mut self, another_writes: bool) {
            self.newest += i64::from(another_writes);
            if !self.memory.is_trusted(None) {
                self.read();
            } else if another_writes {
                self.conflicts += 1;
                self.read();
            }
            self.newest += 1;
            self.memory.tail = tail(self.newest);
        }
    }

    #[test]
    fn a_process_alone_trusts_its_memory_after_its_reads_were_right() {
        let mut conversation = Conversation::new(false);
        for _ in 0..100 {
            conversation.send(false);
        }
        assert_eq!(conversation.reads, READS_TO_TRUST + 1, "and the first one");
        conversation.send(true);
        assert_eq!(conversation.conflicts, 1);
        conversation.send(false);
        assert_eq!(conversation.reads, READS_TO_TRUST + 3, "it reads again");
    }

    #[test]
    fn a_memory_that_is_trusted_from_the_start_needs_one_read() {
        let mut conversation = Conversation::new(true);
        for _ in 0..100 {
            conversation.send(false);
        }
        assert_eq!(conversation.reads, 1);
    }

    #[test]
    fn a_memory_is_not_trusted_by_a_sender_who_has_a_newer_message() {
        let mut memory = Memory::new(true);
        assert!(!memory.is_trusted(None), "nothing is known yet");
        memory.learn(tail(7));
        for (after, is_trusted) in [(None, true), (Some(i64::MIN), true), (Some(7), true)] {
            assert_eq!(memory.is_trusted(after), is_trusted);
        }
        assert!(!memory.is_trusted(Some(8)));
        memory.learn(tail(7));
        assert!(memory.is_trusted(None), "the sender was wrong");
    }

    #[test]
    fn conflicts_are_rare_however_often_the_memory_is_right() {
        const SENDS: u32 = 200_000;
        let mut random = fastrand::Rng::with_seed(15);
        for percent_right in 90..=100 {
            let mut conversation = Conversation::new(false);
            for _ in 0..SENDS {
                conversation.send(random.u32(0..100) >= percent_right);
            }
            let p = f64::from(percent_right) / 100.0;
            let expected = p.powi(READS_TO_TRUST as i32) * (1.0 - p);
            let observed = f64::from(conversation.conflicts) / f64::from(SENDS);
            assert!(expected < 0.0114, "{p}: {expected}");
            assert!((observed - expected).abs() < 0.002, "{p}: {observed}");
        }
    }

    proptest! {
        #[test]
        fn between_two_conflicts_there_are_reads(writes in prop::collection::vec(0..40_u8, 0..2_000)) {
            let mut conversation = Conversation::new(false);
            for write in &writes {
                conversation.send(*write == 0);
            }
            prop_assert!(conversation.conflicts <= writes.len() as u32 / (READS_TO_TRUST + 1));
        }
    }
}
