//! What is known of a user.

use std::time::Duration;

use anyhow::Result;
use chat::store::{ListedConversation, ListedWith};
use chat::{Deadline, Push, Store, UserId, timestamp};
use chrono::Utc;
use serde::Serialize;

use crate::connections;
use crate::outcome::Outcome;
use crate::output::{Output, note};

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Direct conversations that are listed.
const CONVERSATIONS: usize = 50;

/// A user.
#[derive(Serialize)]
struct User<'a> {
    user_id: &'a UserId,
    last_seen: Option<String>,
    receipts: bool,
    presence: bool,
    /// The users whom the user blocks: their messages do not reach the user.
    blocks: Vec<UserId>,
}

impl User<'_> {
    fn blocks_in_words(&self) -> String {
        if self.blocks.is_empty() {
            return "nobody".to_owned();
        }
        let ids: Vec<&str> = self.blocks.iter().map(UserId::as_str).collect();
        ids.join(", ")
    }
}

/// A conversation of a user.
#[derive(Serialize)]
struct Conversation {
    conversation_id: String,
    with: String,
    newest_seq: i64,
    read: i64,
    delivered: i64,
    unread: i64,
    muted: bool,
    blocked: bool,
    newest_at: String,
}

impl Conversation {
    fn new(listed: &ListedConversation) -> Self {
        Self {
            conversation_id: listed.preview.conversation_id.to_string(),
            with: match &listed.with {
                ListedWith::Peer(peer) => peer.to_string(),
                ListedWith::Group { title, .. } => title.as_str().to_owned(),
            },
            newest_seq: listed.newest_entry_seq,
            read: listed.marks.read,
            delivered: listed.marks.delivered,
            unread: listed.unread,
            muted: listed.muted,
            blocked: listed.blocked,
            newest_at: listed.preview.timestamp.clone(),
        }
    }
}

/// Prints when a user was last seen, the user's settings, connections, and newest conversations with their marks. No
/// text is printed.
///
/// # Errors
///
/// The database fails.
pub async fn run(
    store: &Store,
    push: Option<&Push>,
    user: &UserId,
    output: Output,
) -> Result<Outcome> {
    let deadline = Deadline::after(TIMEOUT);
    if !is_known(store, user).await? {
        return Ok(Outcome::Wrong);
    }
    let row = store.inspect_user(user, deadline).await?;
    let page = store
        .list(user, None, CONVERSATIONS, true, deadline)
        .await?;
    let about = User {
        user_id: user,
        last_seen: row.last_seen.map(timestamp::format),
        receipts: row.settings.receipts,
        presence: row.settings.presence,
        blocks: row.blocks,
    };
    output.line(&about, || {
        let last_seen = about.last_seen.as_deref().unwrap_or("unknown");
        let on = |is_on| if is_on { "on" } else { "off" };
        let (receipts, presence) = (on(about.receipts), on(about.presence));
        let blocks = about.blocks_in_words();
        format!("{user}: last seen {last_seen}; receipts {receipts}, presence {presence}; blocks {blocks}")
    })?;
    output.text("")?;
    let connections = connections::of_user(store, push, user, Utc::now()).await?;
    connections::print(&connections, output)?;
    let conversations: Vec<Conversation> =
        page.conversations.iter().map(Conversation::new).collect();
    print(&conversations, output)?;
    if page.next.is_some() {
        note(format_args!(
            "the newest {CONVERSATIONS} direct conversations are listed; there are more"
        ));
    }
    Ok(Outcome::Good)
}

/// Returns whether anything is stored of a user; if not, says so.
///
/// # Errors
///
/// The database fails.
pub async fn is_known(store: &Store, user: &UserId) -> Result<bool> {
    let is_known = store.knows(user, Deadline::after(TIMEOUT)).await?;
    if !is_known {
        let database = store.database().name();
        note(format_args!(
            "nothing is known of {user} in the database {database}: is the id right, and MONGODB_DATABASE?"
        ));
    }
    Ok(is_known)
}

fn print(conversations: &[Conversation], output: Output) -> Result<()> {
    let heading = [
        "conversation",
        "with",
        "newest",
        "read",
        "delivered",
        "unread",
        "muted",
        "blocked",
        "at",
    ];
    output.rows(heading, conversations, |row| {
        [
            row.conversation_id.clone(),
            row.with.clone(),
            row.newest_seq.to_string(),
            row.read.to_string(),
            row.delivered.to_string(),
            row.unread.to_string(),
            row.muted.to_string(),
            row.blocked.to_string(),
            row.newest_at.clone(),
        ]
    })
}
