//! Reads the log and the documents beside it, conversation by conversation. All three have the same order, so each is
//! read once, and only what belongs to one conversation is in memory.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use chat::store::inspect::{ConversationRow, Inspected, Part};
use chat::store::{CONVERSATIONS, MEMBERS, Member};
use chat::{ConversationId, Deadline, Entry, Result, Store};
use futures_util::{Stream, TryStreamExt};

use super::changes::Changed;
use super::check::{Check, Projection};
use super::damage::Damage;

/// Changed texts and changes that are remembered before what belongs to them is read.
const PENDING: usize = 256;

/// Time limit of a look-up.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// The documents of a collection, of which the next one is known.
struct Head<T> {
    stream: Pin<Box<dyn Stream<Item = Result<Inspected<T>>> + Send>>,
    next: Option<Inspected<T>>,
}

impl<T> Head<T> {
    async fn new(
        stream: impl Stream<Item = Result<Inspected<T>>> + Send + 'static,
    ) -> Result<Self> {
        let mut stream = Box::pin(stream);
        let next = stream.try_next().await?;
        Ok(Self { stream, next })
    }

    fn id(&self) -> Option<&ConversationId> {
        self.next.as_ref().map(|next| &next.conversation_id)
    }

    /// Returns the next document of this conversation, which is not taken, if it can be read.
    fn peek(&self, id: &ConversationId) -> Option<&T> {
        let next = self.next.as_ref()?;
        next.document
            .as_ref()
            .filter(|_| next.conversation_id == *id)
    }

    /// Returns the next document of this conversation: `None` if there is none, and its id as the error if it cannot be
    /// read.
    async fn take(
        &mut self,
        id: &ConversationId,
    ) -> Result<Option<std::result::Result<T, String>>> {
        if self.id() != Some(id) {
            return Ok(None);
        }
        let following = self.stream.try_next().await?;
        let taken = std::mem::replace(&mut self.next, following);
        Ok(taken.map(|taken| taken.document.ok_or(taken.document_id)))
    }
}

/// A walk through conversations.
pub struct Scan {
    store: Store,
    entries: Head<Entry>,
    members: Head<Member>,
    conversations: Head<ConversationRow>,
}

/// A conversation that was read.
pub struct Found {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number of its entries.
    pub entries: u64,
    /// Whether one of its users blocks the other one.
    pub has_block: bool,
    /// What is wrong with it.
    pub damages: Vec<Damage>,
}

impl Scan {
    /// Begins a walk.
    ///
    /// # Errors
    ///
    /// [`chat::Error::Unavailable`].
    pub async fn start(store: &Store, part: &Part) -> Result<Self> {
        Ok(Self {
            store: store.clone(),
            entries: Head::new(store.inspect_entries(part).await?).await?,
            members: Head::new(store.inspect_members(part).await?).await?,
            conversations: Head::new(store.inspect_conversations(part).await?).await?,
        })
    }

    /// Returns the conversation that is read next.
    pub fn next_id(&self) -> Option<&ConversationId> {
        let heads = [
            self.entries.id(),
            self.members.id(),
            self.conversations.id(),
        ];
        heads.into_iter().flatten().min()
    }

    /// Reads the next conversation.
    ///
    /// # Errors
    ///
    /// [`chat::Error::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<Found>> {
        let Some(id) = self.next_id().cloned() else {
            return Ok(None);
        };
        let row = self.conversations.peek(&id);
        let mut check = Check::new(id.clone(), row.and_then(|row| row.first_seq));
        let entries = self.read_log(&id, &mut check).await?;
        // After the log: what the log had then is in them, unless somebody is still about to write it.
        let projection = self.read_projection(&id, &mut check).await?;
        Ok(Some(Found {
            conversation_id: id,
            entries,
            has_block: projection.members.iter().any(|it| it.withheld.is_blocked()),
            damages: check.finish(&projection),
        }))
    }

    async fn read_projection(
        &mut self,
        id: &ConversationId,
        check: &mut Check,
    ) -> Result<Projection> {
        let mut projection = Projection::default();
        while let Some(member) = self.members.take(id).await? {
            match member {
                Ok(member) => projection.members.push(member),
                Err(document_id) => check.unreadable(MEMBERS, document_id),
            }
        }
        match self.conversations.take(id).await? {
            Some(Ok(conversation)) => projection.conversation = Some(conversation),
            Some(Err(document_id)) => check.unreadable(CONVERSATIONS, document_id),
            None => {}
        }
        Ok(projection)
    }

    /// Shows the log to the check; returns the number of entries.
    async fn read_log(&mut self, id: &ConversationId, check: &mut Check) -> Result<u64> {
        let (mut count, mut pending) = (0, Vec::new());
        while let Some(entry) = self.entries.take(id).await? {
            count += 1;
            let entry = match entry {
                Ok(entry) => entry,
                Err(document_id) => {
                    check.skip(document_id);
                    continue;
                }
            };
            let by_owner = check.is_by_owner(&entry);
            check.entry(&entry);
            let changed = Changed {
                entry,
                by_owner,
                first_seq: check.first_seq(),
            };
            if changed.is_to_compare() {
                pending.push(changed);
            }
            if pending.len() == PENDING {
                self.compare(id, std::mem::take(&mut pending), check)
                    .await?;
            }
        }
        self.compare(id, pending, check).await?;
        Ok(count)
    }

    /// Compares changed texts and changes with what belongs to them.
    async fn compare(
        &self,
        id: &ConversationId,
        pending: Vec<Changed>,
        check: &mut Check,
    ) -> Result<()> {
        let numbers: BTreeSet<i64> = pending.iter().flat_map(Changed::others).collect();
        let numbers: Vec<i64> = numbers.into_iter().collect();
        let deadline = Deadline::after(LOOK_UP_TIMEOUT);
        let others = self.store.entries_under(id, &numbers, deadline).await?;
        for changed in pending {
            if let Some(damage) = changed.compare(&others) {
                check.report(damage);
            }
        }
        Ok(())
    }
}
