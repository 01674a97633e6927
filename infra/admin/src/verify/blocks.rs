//! Compares the copies of blocks with the documents of members from which they are made. A copy may be in the document of
//! a user or in a connection, and neither is ordered by conversations, so the walk through them only collects what is to
//! be compared.

use std::collections::BTreeSet;

use chat::{ConversationId, Result, Store, UserId};

use super::damage::Damage;

/// Conversations that are compared together.
const TOGETHER: usize = 256;

/// Direct conversations in which some document says that a user blocks the other one.
#[derive(Default)]
pub struct Blocking(BTreeSet<ConversationId>);

impl Blocking {
    /// Adds a conversation. Returns those of which a copy differs, once there are enough to compare.
    ///
    /// # Errors
    ///
    /// [`chat::Error::Unavailable`].
    pub async fn add(&mut self, store: &Store, id: ConversationId) -> Result<Vec<ConversationId>> {
        self.0.insert(id);
        if self.0.len() < TOGETHER {
            return Ok(Vec::new());
        }
        self.compare(store).await
    }

    /// Returns the first of the added conversations that are still to be compared.
    pub fn first(&self) -> Option<&ConversationId> {
        self.0.first()
    }

    /// Returns those of the added conversations of which a copy differs.
    ///
    /// # Errors
    ///
    /// [`chat::Error::Unavailable`].
    pub async fn compare(&mut self, store: &Store) -> Result<Vec<ConversationId>> {
        let pairs: Vec<_> = self.0.iter().flat_map(pairs).collect();
        let differing = store.differing_blocks(&pairs).await?;
        self.0.clear();
        let ids = differing.iter().map(|(a, b)| ConversationId::direct(a, b));
        Ok(ids.collect())
    }
}

/// Returns what is wrong with the copies of the blocks of one conversation.
///
/// # Errors
///
/// [`chat::Error::Unavailable`].
pub async fn damages(store: &Store, id: &ConversationId) -> Result<Vec<Damage>> {
    let differing = store.differing_blocks(&pairs(id)).await?;
    let damage = |(user_id, _)| Damage::BlockDiffers { user_id };
    Ok(differing.into_iter().map(damage).collect())
}

/// Returns each user of a direct conversation with the other one.
fn pairs(id: &ConversationId) -> Vec<(UserId, UserId)> {
    let Some([a, b]) = id.users() else {
        return Vec::new();
    };
    let mut pairs = vec![(a.clone(), b.clone()), (b, a)];
    pairs.dedup();
    pairs
}
