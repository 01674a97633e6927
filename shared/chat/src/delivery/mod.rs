//! Delivery of frames to the connections of users. Every frame to a client leaves by it, except the
//! response of a two-way route.
//!
//! - [`push`]: the `@connections` management API
//! - [`cache`]: connections as last read from the store
//! - [`slice`](mod@slice): parts of the recipients of an entry of a large group, each a message of a queue
//! - [`offline`]: announcements of texts that nobody of their recipients has got
//! - [`settings`]: users' settings as last read from the store

pub mod cache;
pub mod offline;
pub mod push;
pub mod settings;
pub mod slice;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::protocol::{Receipt, ServerFrame};
use crate::{Connection, ConnectionId, Deadline, Entry, Result, Store, UserId};

use cache::ConnectionCache;
use push::{Deliveries, Push};
use settings::SettingsCache;

/// Delivers frames. Made once at start and shared by all requests of a process.
pub struct Delivery {
    store: Store,
    push: Push,
    cache: ConnectionCache,
    settings: SettingsCache,
}

/// The clients that a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All.
    All,
    /// Modern ones.
    Modern,
}

impl Audience {
    /// Returns the clients that an entry is for. Old ones get texts of direct conversations only.
    pub fn of(entry: &Entry) -> Self {
        if entry.is_visible_text() && entry.receiver_id.is_some() {
            Self::All
        } else {
            Self::Modern
        }
    }
}

/// The connections that a frame is for.
#[derive(Debug, Clone, Copy)]
pub struct Recipients<'a> {
    /// The users, each of them named once.
    pub users: &'a [UserId],
    /// Their clients.
    pub audience: Audience,
    /// The connection that gets nothing: the one that the frame came on.
    pub except: Option<&'a ConnectionId>,
    /// The user whom the others may block: the sender, in a direct conversation.
    pub sender: Option<&'a UserId>,
}

impl Recipients<'_> {
    fn include(&self, connection: &Connection) -> bool {
        let is_of_audience = self.audience == Audience::All || connection.modern;
        is_of_audience
            && Some(&connection.connection_id) != self.except
            && !self
                .sender
                .is_some_and(|sender| connection.blocks.contains(sender))
    }

    /// Returns whether the user of a connection may have blocked the sender since the connection was read.
    fn may_block(&self, connection: &Connection) -> bool {
        self.sender
            .is_some_and(|sender| connection.user_id != *sender)
    }
}

impl<'a> Recipients<'a> {
    /// Returns the modern clients of users.
    pub fn modern(users: &'a [UserId]) -> Self {
        Self {
            users,
            audience: Audience::Modern,
            except: None,
            sender: None,
        }
    }

    fn with_sender(&self) -> Vec<UserId> {
        let sender = self.sender.filter(|sender| !self.users.contains(sender));
        self.users.iter().chain(sender).cloned().collect()
    }

    /// Returns the users whom the sender blocks, if the sender's connections are among these.
    fn blocks_of_sender(&self, connections: &[Connection]) -> Vec<UserId> {
        let is_own = |it: &&Connection| Some(&it.user_id) == self.sender;
        let own = connections.iter().find(is_own);
        own.map(|own| own.blocks.clone()).unwrap_or_default()
    }
}

impl Delivery {
    /// Returns a delivery that finds connections in `store`.
    pub fn new(store: Store, push: Push) -> Self {
        Self {
            store,
            push,
            cache: ConnectionCache::default(),
            settings: SettingsCache::default(),
        }
    }

    /// Delivers a frame within the deadline, unless it is for more connections than `limit`: then returns `None`.
    /// Deletes the connections that are gone.
    ///
    /// Pushes to the connections that this process remembers at once, and to the others when the store
    /// has named them. With a limit it does so only if it remembers those of all users, and else waits for the
    /// store, which counts them: so it seldom has pushed to some when the limit turns out to be exceeded. Those of
    /// a user who may block the sender wait for the store too: it is read after the insert, so it names every block that
    /// was in force when the message came.
    ///
    /// No failure is an error: the log is the truth, and a push only saves the client from asking.
    pub async fn deliver(
        &self,
        to: Recipients<'_>,
        frame: Bytes,
        limit: Option<usize>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Option<Deliveries> {
        let mut known = self.cache.get(to.users, now);
        known.retain(|connection| to.include(connection));
        if limit.is_some_and(|limit| known.len() > limit || !self.cache.has_all(to.users)) {
            known.clear();
        }
        // Their 410 does not tell whether they are closed, so the store has to confirm them.
        known.retain(|connection| !connection.is_opening(now) && !to.may_block(connection));
        let to_known = self
            .push
            .post_all(known.clone(), frame.clone(), now, deadline);
        let to_others = async {
            // Read after the insert of a message: a member who connects later finds it in the
            // history, one who has connected before is found here.
            let mut others = self.read_connections(to.users, now, deadline).await?;
            others.retain(|connection| to.include(connection));
            if limit.is_some_and(|limit| others.len() > limit) {
                return Ok(None);
            }
            others.retain(|other| !contains(&known, other));
            Ok(Some(self.push.post_all(others, frame, now, deadline).await))
        };
        let (mut deliveries, others): (_, Result<_>) = tokio::join!(to_known, to_others);
        let others = others.unwrap_or_else(|error| {
            tracing::error!(
                cause = error.chain(),
                monotonic_counter.PushesFailed = 1,
                "frame not delivered to all members"
            );
            Some(Deliveries::incomplete())
        });
        let is_within_limit = others.is_some();
        deliveries.extend(others.unwrap_or_default());
        self.delete_gone(&deliveries.gone, deadline).await;
        is_within_limit.then_some(deliveries)
    }

    /// Sends a frame that may get lost to the modern connections of `users`, except to `except`, as this process
    /// has read them a short while ago, or reads them now. Nothing is told between two users of whom one blocks the
    /// other. Leaves no trace in logs and metrics.
    pub async fn hint(
        &self,
        to: Recipients<'_>,
        frame: Bytes,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) {
        let sending = async {
            let (users, except) = (to.with_sender(), to.except);
            let mut connections = self.recent_connections(&users, except, now, deadline).await;
            let blocks = to.blocks_of_sender(&connections);
            let is_addressed = |connection: &Connection| {
                to.users.contains(&connection.user_id)
                    && to.include(connection)
                    && connection.is_live(now)
                    && !blocks.contains(&connection.user_id)
            };
            connections.retain(is_addressed);
            let posts = self
                .push
                .post_all(connections.clone(), frame.clone(), now, deadline);
            let gone = posts.await.gone;
            if gone.is_empty() {
                return;
            }
            self.delete_gone(&gone, deadline).await;
            // Their users may have connected again.
            let others = self.read_connections(to.users, now, deadline).await;
            let mut others = others.unwrap_or_default();
            others.retain(|other| is_addressed(other) && !contains(&connections, other));
            self.push.post_all(others, frame, now, deadline).await;
        };
        sending.with_subscriber(NoSubscriber::new()).await;
    }

    /// Returns the connections of users, as read a short while ago; read now, as far as they were not, or all if
    /// `origin` is none of them: then it is newer than what is known.
    async fn recent_connections(
        &self,
        users: &[UserId],
        origin: Option<&ConnectionId>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Vec<Connection> {
        let (mut known, mut unknown) = self.cache.get_recent(users, now);
        let is_known = |id: &ConnectionId| known.iter().any(|known| known.connection_id == *id);
        if !origin.is_none_or(is_known) {
            known.clear();
            unknown = users.to_vec();
        }
        if !unknown.is_empty() {
            let read = self.read_connections(&unknown, now, deadline).await;
            known.extend(read.unwrap_or_default());
        }
        known
    }

    /// Tells the devices of a user and of `others` how far the user has a conversation: those others who show it as
    /// the user does. Nobody is told on the connection `origin`.
    pub async fn send_receipt(
        &self,
        receipt: Receipt,
        others: &[UserId],
        origin: &ConnectionId,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) {
        let (user_id, is_direct) = (receipt.user_id.clone(), !receipt.conversation_id.is_group());
        let mut users = vec![user_id.clone()];
        users.extend_from_slice(others);
        let settings = self.settings.of(&self.store, &users, now, deadline);
        // If the settings cannot be read, the others find the marks in their lists.
        let settings = settings.await.unwrap_or_default();
        let shows = |index: usize| settings.get(index).is_some_and(|it| it.receipts);
        let told = |index: usize| index == 0 || (shows(0) && shows(index));
        let users = users.into_iter().enumerate();
        let users: Vec<UserId> = users
            .filter(|(index, _)| told(*index))
            .map(|(_, user)| user)
            .collect();
        let frame = ServerFrame::Receipt(receipt).to_json().into();
        let to = Recipients {
            users: &users,
            audience: Audience::Modern,
            except: Some(origin),
            sender: is_direct.then_some(&user_id),
        };
        self.hint(to, frame, now, deadline).await;
    }

    /// Looks up the connections of a user at the gateway and deletes those that are gone. Returns whether there
    /// were any.
    pub async fn remove_gone(
        &self,
        user: &UserId,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<bool> {
        let connections = self.read_connections(std::slice::from_ref(user), now, deadline);
        let connections = connections.await?;
        let (_, gone) = self.push.look_up_all(connections, now, deadline).await;
        self.delete_gone(&gone, deadline).await;
        Ok(!gone.is_empty())
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
        let seen = gone
            .iter()
            .map(|gone| (gone.user_id.clone(), gone.connected_at()));
        let (deleted, recorded) = tokio::join!(
            self.store.delete_connections(gone, deadline),
            self.store.record_seen(seen.collect(), deadline),
        );
        for error in [deleted.err(), recorded.err()].into_iter().flatten() {
            tracing::warn!(
                cause = error.chain(),
                "rows of gone connections stay for now, or when their users were seen is not recorded"
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
