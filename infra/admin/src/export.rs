//! All that is stored of a user, as lines of JSON. Nothing is collected in memory, so there is no limit of size.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use chat::store::Member;
use chat::store::inspect::{ConversationRow, Part};
use chat::{
    ConversationId, Deadline, Entry, Group, Role, Store, Title, UserId, Withheld, timestamp,
};
use chrono::Utc;
use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{count, note};
use crate::{progress, user};

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A line.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record<'a> {
    /// The user.
    User {
        user_id: &'a UserId,
        last_seen: Option<String>,
        receipts: bool,
        presence: bool,
        /// The users whom the user blocks.
        blocks: &'a [UserId],
    },
    /// An open connection.
    Connection { connected_at: String },
    /// A conversation of the user.
    Conversation {
        conversation_id: &'a ConversationId,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a Title>,
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        joined_seq: i64,
        left_seq: i64,
        read: i64,
        delivered: i64,
        muted: bool,
        blocked: bool,
        /// The numbers in which the other user's texts are withheld.
        #[serde(skip_serializing_if = "Withheld::is_empty")]
        withheld: &'a Withheld,
    },
    /// An entry of the conversation before it.
    Entry(&'a Entry),
}

/// An export under way.
struct Export<'a> {
    store: &'a Store,
    user: &'a UserId,
    others: bool,
    progress: ProgressBar,
}

/// Prints what is stored of a user; with `others`, also what others have written in the user's conversations, as far
/// as the user may read it.
///
/// # Errors
///
/// The database fails, standard output is closed, or Ctrl-C.
pub async fn run(store: &Store, user: &UserId, others: bool) -> Result<Outcome> {
    let export = Export {
        store,
        user,
        others,
        progress: progress::of_entries(None),
    };
    let interrupt = Interrupt::listen();
    let exported = async {
        let is_known = user::is_known(store, user).await?;
        if is_known {
            export.run().await?;
        }
        anyhow::Ok(is_known)
    };
    let is_known = tokio::select! {
        exported = exported => exported?,
        () = interrupt.pressed() => bail!("interrupted: the export is not complete"),
    };
    if !is_known {
        return Ok(Outcome::Wrong);
    }
    let entries = export.progress.position();
    export.progress.finish_and_clear();
    note(count(entries, "entry"));
    Ok(Outcome::Good)
}

impl Export<'_> {
    async fn run(&self) -> Result<()> {
        let deadline = Deadline::after(TIMEOUT);
        let row = self.store.inspect_user(self.user, deadline).await?;
        print(&Record::User {
            user_id: self.user,
            last_seen: row.last_seen.map(timestamp::format),
            receipts: row.settings.receipts,
            presence: row.settings.presence,
            blocks: &row.blocks,
        })?;
        let users = std::slice::from_ref(self.user);
        let connections = self.store.connections_of(users, Utc::now(), deadline);
        for connection in connections.await? {
            let connected_at = timestamp::format(connection.connected_at());
            print(&Record::Connection { connected_at })?;
        }
        for member in self.store.inspect_memberships_by_log(self.user).await? {
            self.conversation(&member).await?;
        }
        Ok(())
    }

    async fn conversation(&self, member: &Member) -> Result<()> {
        let (id, part) = (
            &member.conversation_id,
            Part::One(member.conversation_id.clone()),
        );
        let mut rows = Box::pin(self.store.inspect_conversations(&part).await?);
        let row = rows.try_next().await?.and_then(|row| row.document);
        let row = row.unwrap_or_default();
        print(&Record::Conversation {
            conversation_id: id,
            title: row.title.as_ref(),
            role: id.is_group().then(|| member.membership.role()),
            joined_seq: member.membership.joined_seq,
            left_seq: member.membership.left_seq,
            read: member.marks.read,
            delivered: member.marks.delivered,
            muted: member.muted,
            blocked: member.withheld.is_blocked(),
            withheld: &member.withheld,
        })?;
        let readable = self.readable(member, &row);
        let hidden = member.hidden_texts();
        let mut entries = Box::pin(self.store.inspect_entries(&part).await?);
        while let Some(entry) = entries.try_next().await? {
            let Some(entry) = entry.document else {
                bail!("{id} has an entry that cannot be read: see chat-admin verify '{id}'");
            };
            let entry = match &hidden {
                Some(hidden) => hidden.apply(entry),
                None => entry,
            };
            let is_own = entry.sender_id == self.user.as_str();
            if is_own || (self.others && readable.contains(&entry.seq)) {
                print(&Record::Entry(&entry))?;
                self.progress.inc(1);
            }
        }
        Ok(())
    }

    /// Returns the numbers that the user may read.
    fn readable(&self, member: &Member, row: &ConversationRow) -> std::ops::RangeInclusive<i64> {
        if !member.conversation_id.is_group() {
            return i64::MIN..=i64::MAX;
        }
        let of_user = [(self.user.clone(), member.membership)];
        let group = Group::new(None, row.history, of_user);
        let (first, last) = group.readable(self.user).unwrap_or((1, 0));
        first..=last
    }
}

fn print(record: &Record<'_>) -> Result<()> {
    let line = serde_json::to_string(record)?;
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}
