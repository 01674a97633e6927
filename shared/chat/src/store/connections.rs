//! One document per open connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::{self, doc};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use super::{MANY, OPERATION_TIMEOUT, Store, date, perform, time};
use crate::{ConnectionId, Deadline, Identity, Result, UserId};

/// An open connection.
///
/// ```json
/// {"_id": "PJqB0fHsqRcCHlw=", "user_id": "prof@example.com",
///  "endpoint": "https://….execute-api.eu-west-1.amazonaws.com/prod",
///  "connected_at": {"$date": "…"}, "expires_at": {"$date": "…"},
///  "token_expires_at": {"$date": "…"}, "modern": true, "blocks": ["student@example.com"]}
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    /// The id.
    #[serde(rename = "_id")]
    pub connection_id: ConnectionId,
    /// The user.
    pub user_id: UserId,
    /// The management endpoint of the API that holds it: several APIs may share one database.
    pub endpoint: String,
    connected_at: bson::DateTime,
    /// The time at which an index deletes the row.
    expires_at: bson::DateTime,
    /// The end of the user's token. Until it is closed, the connection counts for the user's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_expires_at: Option<bson::DateTime>,
    /// Whether the client gets every kind of frame. Others, also those that connected before this field came,
    /// get messages only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub modern: bool,
    /// The users whom its user blocks: whoever sends learns of them by the look-up of the connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<UserId>,
}

impl Connection {
    /// The time for which a row is kept: API Gateway closes every connection after 2 hours, and the rest
    /// is slack.
    const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60 + 10 * 60);

    /// The age below which a connection may still be opening: API Gateway responds with 410 until
    /// `$connect` has returned and the client has its 101.
    const OPENING: Duration = Duration::from_secs(5);

    /// The age below which nobody may have seen the connection open: that of a handshake that its client
    /// has given up has a row, and API Gateway may never report its end.
    const UNSEEN: Duration = Duration::from_secs(60);

    /// Returns a connection that opens at `connected_at`. It gets messages no longer than its user's
    /// token lasts.
    pub fn new(
        connection_id: ConnectionId,
        identity: Identity,
        endpoint: String,
        connected_at: DateTime<Utc>,
    ) -> Self {
        Self {
            connection_id,
            user_id: identity.user_id,
            endpoint,
            connected_at: date(connected_at),
            expires_at: date(connected_at + Self::LIFETIME),
            token_expires_at: identity.expires_at.map(date),
            modern: false,
            blocks: Vec::new(),
        }
    }

    /// Returns when it opened.
    pub fn connected_at(&self) -> DateTime<Utc> {
        time(self.connected_at)
    }

    /// Returns whether it opened before `other`.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.age_key() < other.age_key()
    }

    /// Returns the key that orders connections by age. Of two that opened in the same millisecond, the
    /// id decides.
    pub fn age_key(&self) -> impl Ord {
        (self.connected_at, self.connection_id.as_str())
    }

    /// Returns when its row is deleted by the database.
    pub fn expires_at(&self) -> DateTime<Utc> {
        time(self.expires_at)
    }

    /// Returns whether it may get messages at `now`: it does not outlive its user's token.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        let now = date(now);
        self.expires_at > now && self.token_expires_at.is_none_or(|end| end > now)
    }

    /// Returns whether it may still be opening.
    pub fn is_opening(&self, now: DateTime<Utc>) -> bool {
        self.is_younger_than(Self::OPENING, now)
    }

    /// Returns whether it may be one that never opened.
    pub fn is_unseen(&self, now: DateTime<Utc>) -> bool {
        self.is_younger_than(Self::UNSEEN, now)
    }

    fn is_younger_than(&self, age: Duration, now: DateTime<Utc>) -> bool {
        let age_ms = now.timestamp_millis() - self.connected_at.timestamp_millis();
        age_ms < age.as_millis() as i64
    }
}

impl Store {
    /// Inserts an open connection, with the blocks of its user.
    ///
    /// Whoever changes the blocks writes them down first, and then corrects the connections that there are. So the
    /// blocks are read once more after the insert: a change that has missed this connection is found now, before it
    /// opens.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may or may not be inserted; reject the
    /// handshake.
    pub async fn insert_connection(
        &self,
        mut connection: Connection,
        deadline: Deadline,
    ) -> Result<()> {
        let (id, user_id) = (connection.connection_id.clone(), connection.user_id.clone());
        let mut blocks = self.blocks_of(&user_id, deadline).await?;
        connection.blocks = blocks.clone();
        let connections = self.connections.clone();
        let insert = async move { connections.insert_one(connection).await };
        perform("insert of a connection", deadline, insert).await?;
        loop {
            let newer = self.blocks_of(&user_id, deadline).await?;
            if newer == blocks {
                return Ok(());
            }
            self.correct_blocks((&id, &user_id), &blocks, &newer, deadline)
                .await?;
            blocks = newer;
        }
    }

    /// Deletes a connection that is closed. An unknown id is no error. Its user, if known, lets a
    /// sharded collection find the shard.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it stays until a push finds it gone or it
    /// expires.
    pub async fn delete_connection(
        &self,
        connection_id: &ConnectionId,
        user_id: Option<&UserId>,
        deadline: Deadline,
    ) -> Result<()> {
        let mut filter = doc! {"_id": connection_id.as_str()};
        if let Some(user_id) = user_id {
            filter.insert("user_id", user_id.as_str());
        }
        let connections = self.connections.clone();
        let delete = async move { connections.delete_one(filter).await };
        perform("delete of a connection", deadline, delete).await?;
        Ok(())
    }

    /// Deletes connections that are closed. Their users are in the filter too: by them a sharded
    /// collection finds the shards.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they stay until a push finds them gone
    /// again or they expire.
    pub async fn delete_connections(
        &self,
        closed: &[Connection],
        deadline: Deadline,
    ) -> Result<()> {
        let ids = closed.iter().map(|closed| closed.connection_id.as_str());
        let users = closed.iter().map(|closed| closed.user_id.as_str());
        let filter = doc! {
            "_id": {"$in": ids.collect::<Vec<_>>()},
            "user_id": {"$in": users.collect::<Vec<_>>()},
        };
        let connections = self.connections.clone();
        let delete = async move { connections.delete_many(filter).await };
        perform("delete of connections", deadline, delete).await?;
        Ok(())
    }

    /// Returns all live connections of `users`, found by index.
    ///
    /// TTL deletion lags, so expired rows are left out: here and not in the query, where the time
    /// would make the planner weigh the TTL index against that of the users at each look-up.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn connections_of(
        &self,
        users: &[UserId],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<Connection>> {
        let mut connections = self.open_connections_of(users, deadline).await?;
        connections.retain(|connection| connection.is_live(now));
        Ok(connections)
    }

    /// Returns all connections of `users` that may be open, also those whose token has expired.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn open_connections_of(
        &self,
        users: &[UserId],
        deadline: Deadline,
    ) -> Result<Vec<Connection>> {
        let (store, users) = (self.clone(), users.to_vec());
        let look_up = async move {
            store
                .look_ups
                .run(users, async |groups| {
                    match store.find_connections(&groups).await {
                        Ok(found) => groups.iter().map(|users| Ok(of(users, &found))).collect(),
                        Err(error) => groups.iter().map(|_| Err(error.clone())).collect(),
                    }
                })
                .await
        };
        perform("look-up of a user's sockets", deadline, look_up).await
    }

    async fn find_connections(
        &self,
        groups: &[Vec<UserId>],
    ) -> Result<Vec<Connection>, DriverError> {
        let users: Vec<&str> = groups.iter().flatten().map(UserId::as_str).collect();
        let find = self.connections.find(doc! {"user_id": {"$in": users}});
        let find = find.batch_size(MANY);
        find.max_time(OPERATION_TIMEOUT).await?.try_collect().await
    }
}

/// Returns those of `connections` that belong to `users`.
fn of(users: &[UserId], connections: &[Connection]) -> Vec<Connection> {
    connections
        .iter()
        .filter(|connection| users.contains(&connection.user_id))
        .cloned()
        .collect()
}
