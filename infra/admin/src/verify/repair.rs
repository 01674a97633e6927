//! Restores what follows from the log. Each step may be repeated, and none takes anything back that a function writes
//! meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use chat::store::inspect::Part;
use chat::{ConversationId, Deadline, Entry, Result, Store};
use chrono::Utc;
use futures_util::TryStreamExt;

use super::damage::Damage;

/// Time limit of each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Repairs a conversation as far as that is possible.
///
/// # Errors
///
/// [`chat::Error::Unavailable`]: it may be half done.
pub async fn repair(store: &Store, id: &ConversationId, damages: &[Damage]) -> Result<()> {
    let deadline = || Deadline::after(TIMEOUT);
    let (texts, newest_seq) = newest_texts(store, id).await?;
    for damage in damages {
        match damage {
            Damage::NotApplied { seq } => {
                if let Some(mut change) = store.entry(id, *seq, deadline()).await? {
                    store.apply(&mut change, deadline()).await?;
                }
            }
            Damage::TextLeft { seq } => store.blank(id, *seq, deadline()).await?,
            Damage::BlockDiffers { user_id } => {
                if let Some([a, b]) = id.users() {
                    let peer_id = if a == *user_id { b } else { a };
                    store
                        .copy_block_again(user_id, &peer_id, deadline())
                        .await?;
                }
            }
            Damage::MarkTooLarge { user_id } => {
                store
                    .clamp_marks(id, user_id, newest_seq, deadline())
                    .await?;
            }
            Damage::MarkNegative { user_id } | Damage::ReadNotDelivered { user_id } => {
                store.raise_marks(id, user_id, deadline()).await?;
            }
            Damage::ReachedTooLarge => store.clamp_reached(id, newest_seq, deadline()).await?,
            Damage::MemberDiffers { .. } | Damage::GroupDiffers if id.is_group() => {
                store.rebuild_group(id, deadline()).await?;
            }
            Damage::MemberDiffers { user_id } => {
                let of_user = |entry: &&Entry| {
                    let is_receiver = entry.receiver_id.as_deref() == Some(user_id.as_str());
                    entry.sender_id == user_id.as_str() || is_receiver
                };
                for text in texts.iter().filter(of_user) {
                    store.record_members(text, Utc::now(), deadline()).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the newest text of each user, and the newest number.
async fn newest_texts(store: &Store, id: &ConversationId) -> Result<(Vec<Entry>, i64)> {
    let mut entries = Box::pin(store.inspect_entries(&Part::One(id.clone())).await?);
    let (mut texts, mut newest_seq) = (BTreeMap::new(), 0);
    while let Some(found) = entries.try_next().await? {
        let Some(entry) = found.document else {
            continue;
        };
        newest_seq = newest_seq.max(entry.seq);
        if entry.kind.is_text() {
            texts.insert(entry.sender_id.clone(), entry);
        }
    }
    Ok((texts.into_values().collect(), newest_seq))
}
