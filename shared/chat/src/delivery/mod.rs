//! Delivery of frames to the connections of users. Every frame to a client leaves by it, except the
//! response of a two-way route.
//!
//! - [`push`]: the `@connections` management API
//! - [`cache`]: connections as last read from the store

pub mod cache;
pub mod push;

use std::slice;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::{Connection, ConnectionId, Deadline, Result, Store, UserId};

use cache::ConnectionCache;
use push::{Deliveries, Push};

/// Delivers frames. Made once at start and shared by all requests of a process.
pub struct Delivery {
    store: Store,
    push: Push,
    cache: ConnectionCache,
}

impl Delivery {
    /// Returns a delivery that finds connections in `store`.
    pub fn new(store: Store, push: Push) -> Self {
        Self {
            store,
            push,
            cache: ConnectionCache::default(),
        }
    }

    /// Delivers a frame to all connections of `members`, each of them named once, except to `except`,
    /// within the deadline. Deletes the connections that are gone.
    ///
    /// Pushes to the connections that this process remembers at once, and to the others when the store
    /// has named them. No failure is an error: the log is the truth, and a push only saves the client
    /// from asking.
    pub async fn deliver(
        &self,
        members: &[UserId],
        frame: Bytes,
        except: Option<&ConnectionId>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Deliveries {
        let is_addressed = |connection: &Connection| Some(&connection.connection_id) != except;
        let mut known = self.cache.get(members, now);
        known.retain(is_addressed);
        let to_known = self
            .push
            .post_all(known.clone(), frame.clone(), now, deadline);
        let to_others = async {
            // Read after the insert of a message: a member who connects later finds it in the
            // history, one who has connected before is found here.
            let mut others = self.read_connections(members, now, deadline).await?;
            others.retain(is_addressed);
            others.retain(|other| !contains(&known, other));
            Ok(self.push.post_all(others, frame, now, deadline).await)
        };
        let (mut deliveries, others): (_, Result<_>) = tokio::join!(to_known, to_others);
        match others {
            Ok(others) => deliveries.extend(others),
            Err(error) => tracing::error!(
                cause = error.chain(),
                monotonic_counter.PushesFailed = 1,
                "frame not delivered to all members"
            ),
        }
        self.delete_gone(&deliveries.gone, deadline).await;
        deliveries
    }

    /// Sends a frame that may get lost to the modern connections of a user, as this process has read them a
    /// short while ago, or reads them now. Leaves no trace in logs and metrics.
    pub async fn hint(&self, user: &UserId, frame: Bytes, now: DateTime<Utc>, deadline: Deadline) {
        let sending = async {
            let mut connections = match self.cache.get_recent(user, now) {
                Some(connections) => connections,
                None => {
                    let read = self.read_connections(slice::from_ref(user), now, deadline);
                    read.await.unwrap_or_default()
                }
            };
            connections.retain(|connection| connection.modern && connection.is_live(now));
            let deliveries = self.push.post_all(connections, frame, now, deadline).await;
            self.delete_gone(&deliveries.gone, deadline).await;
        };
        sending.with_subscriber(NoSubscriber::new()).await;
    }

    async fn read_connections(
        &self,
        members: &[UserId],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<Connection>> {
        let connections = self.store.connections_of(members, now, deadline).await?;
        self.cache.put(members, &connections, now);
        Ok(connections)
    }

    async fn delete_gone(&self, gone: &[Connection], deadline: Deadline) {
        if gone.is_empty() {
            return;
        }
        self.cache.remove(gone);
        if let Err(error) = self.store.delete_connections(gone, deadline).await {
            tracing::warn!(
                cause = error.chain(),
                "rows of gone connections stay for now"
            );
        }
    }

    /// Sends a frame to the connection that a request came from.
    ///
    /// # Errors
    ///
    /// As [`Push::post`].
    pub async fn reply(
        &self,
        connection_id: &ConnectionId,
        frame: Bytes,
        deadline: Deadline,
    ) -> Result<()> {
        self.push.post(connection_id, frame, deadline).await
    }

    /// Closes the connection that a request came from.
    ///
    /// # Errors
    ///
    /// As [`Push::close`].
    pub async fn close(&self, connection_id: &ConnectionId, deadline: Deadline) -> Result<()> {
        self.push.close(connection_id, deadline).await
    }
}

fn contains(connections: &[Connection], other: &Connection) -> bool {
    connections
        .iter()
        .any(|connection| connection.connection_id == other.connection_id)
}
