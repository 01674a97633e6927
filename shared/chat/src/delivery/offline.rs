//! Announcements of texts that nobody of their recipients has got: for whoever notifies users by other ways.

use serde::Serialize;

use super::push::Deliveries;
use crate::{ConversationId, Deadline, Entry, Result, Store, UserId};

/// The announcement of a text.
///
/// ```json
/// {"conversation_id": "direct:1:a:b", "seq": 7, "sender_id": "a", "recipients": ["b"], "message": "…"}
/// ```
#[derive(Debug, Serialize)]
pub struct Announcement<'a> {
    conversation_id: &'a ConversationId,
    seq: i64,
    sender_id: &'a str,
    /// The users of whom no connection has got it.
    recipients: Vec<UserId>,
    /// The text, if announcements have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Announcement<'_> {
    /// Returns it as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("its fields are texts and a number")
    }
}

/// Returns the announcement of an entry that was delivered to some connections of `users`. `None` if all of them have
/// got it, or are not to be told: the entry is no text, or one of their own, they have muted the conversation, or
/// blocked its sender.
///
/// Reads nothing where everybody has got it.
///
/// # Errors
///
/// [`Error::Unavailable`](crate::Error::Unavailable): it is not known who is to be told.
pub async fn announcement<'a>(
    store: &Store,
    entry: &'a Entry,
    users: &[UserId],
    deliveries: &Deliveries,
    with_text: bool,
    deadline: Deadline,
) -> Result<Option<Announcement<'a>>> {
    if !entry.is_visible_text() {
        return Ok(None);
    }
    let has_it = |user: &UserId| {
        let mut delivered = deliveries.delivered.iter();
        delivered.any(|connection| connection.user_id == *user)
    };
    let others = users
        .iter()
        .filter(|user| user.as_str() != entry.sender_id && !has_it(user));
    let without: Vec<UserId> = others.cloned().collect();
    if without.is_empty() {
        return Ok(None);
    }
    let recipients = store.without_muting(entry, without, deadline).await?;
    Ok((!recipients.is_empty()).then(|| Announcement {
        conversation_id: &entry.conversation_id,
        seq: entry.seq,
        sender_id: &entry.sender_id,
        recipients,
        message: with_text.then_some(&entry.message),
    }))
}
