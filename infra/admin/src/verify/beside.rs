//! Reads what is not ordered by conversations: users, connections, documents that belong to no conversation, indexes.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use chat::store::{CONNECTIONS, CONVERSATIONS, MEMBERS, MESSAGES, USERS};
use chat::{Connection, ConversationId, Deadline, UserId};
use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt;

use super::Verification;
use crate::indexes;

/// The time after which the row of a connection that has ended is left behind.
const LEFT_BEHIND: TimeDelta = TimeDelta::minutes(10);

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Verification<'_> {
    /// Reads all of it, and reports it and what was found in the conversations.
    pub(super) async fn read_beside(&mut self) -> Result<()> {
        self.read_users().await?;
        let ended = self.read_connections().await?;
        self.settle().await?;
        self.end_connections(ended).await?;
        self.find_strays().await?;
        self.check_indexes().await
    }

    /// Compares the blocks that the documents of users list: a document of the conversation may know nothing of them.
    async fn read_users(&mut self) -> Result<()> {
        let mut users = pin!(self.store.inspect_block_lists().await?);
        while let Some(user) = users.try_next().await? {
            self.check_interrupt()?;
            match user.document {
                Some(list) => self.compare_listed(&list.user_id, &list.blocks).await?,
                None => self.report.unreadable(USERS, user.id)?,
            }
        }
        Ok(())
    }

    /// Compares the blocks that connections list. Returns the connections that have ended long ago: the database
    /// deletes their rows within a minute or two.
    async fn read_connections(&mut self) -> Result<Vec<Connection>> {
        let past = Utc::now() - LEFT_BEHIND;
        let mut ended = Vec::new();
        let mut rows = pin!(self.store.inspect_connection_rows().await?);
        while let Some(row) = rows.try_next().await? {
            self.check_interrupt()?;
            let Some(connection) = row.document else {
                self.report.unreadable(CONNECTIONS, row.id)?;
                continue;
            };
            self.compare_listed(&connection.user_id, &connection.blocks)
                .await?;
            if connection.expires_at() < past {
                ended.push(connection);
            }
        }
        Ok(ended)
    }

    async fn compare_listed(&mut self, user_id: &UserId, blocks: &[UserId]) -> Result<()> {
        for peer_id in blocks {
            let id = ConversationId::direct(user_id, peer_id);
            self.compare_blocks_of(id).await?;
        }
        Ok(())
    }

    /// Reports the rows of connections that have ended, and deletes them if that is confirmed.
    async fn end_connections(&mut self, ended: Vec<Connection>) -> Result<()> {
        if self.flags.confirm {
            let deadline = Deadline::after(TIMEOUT);
            self.store.delete_connections(&ended, deadline).await?;
        }
        for row in &ended {
            self.report.connection_ended(row.connection_id.as_str())?;
        }
        Ok(())
    }

    /// Reports documents that belong to no conversation.
    async fn find_strays(&mut self) -> Result<()> {
        for collection in [MESSAGES, MEMBERS, CONVERSATIONS] {
            let mut strays = pin!(self.store.inspect_strays(collection).await?);
            while let Some(id) = strays.try_next().await? {
                self.check_interrupt()?;
                match id {
                    Some(id) => self.report.unreadable(collection, id)?,
                    None => self.report.summary.unnumbered += 1,
                }
            }
        }
        Ok(())
    }

    /// Reports unique indexes that are missing: without them, two messages may get the same number, and the same
    /// message may be stored twice.
    async fn check_indexes(&mut self) -> Result<()> {
        let faults = indexes::faults(self.store.database()).await;
        let faults = faults.context("the indexes cannot be listed")?;
        for fault in faults.iter().filter(|fault| fault.is_unique) {
            self.report.index(fault)?;
        }
        Ok(())
    }
}
