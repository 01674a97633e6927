//! One document per open socket.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::{self, doc};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use super::{OPERATION_TIME, Store, perform};
use crate::{ConnectionId, Identity, Result, UserId};

/// An open socket.
///
/// ```json
/// {"_id": "PJqB0fHsqRcCHlw=", "user_id": "prof@example.com",
///  "endpoint": "https://….execute-api.eu-west-1.amazonaws.com/prod",
///  "connected_at": {"$date": "…"}, "expires_at": {"$date": "…"}}
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    /// The socket.
    #[serde(rename = "_id")]
    pub connection_id: ConnectionId,
    /// Whose socket it is.
    pub user_id: UserId,
    /// The management endpoint of the API that holds it: several APIs may share one database.
    pub endpoint: String,
    connected_at: bson::DateTime,
    expires_at: bson::DateTime,
}

impl Connection {
    /// How long a row is kept: API Gateway ends every socket after 2 hours, and the rest is slack.
    const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60 + 10 * 60);

    /// A socket younger than this may still be on its way up: API Gateway answers 410 until
    /// `$connect` has returned and the client has its 101.
    const SETTLING: Duration = Duration::from_secs(5);

    /// A socket that opens at `connected_at`. It gets messages no longer than its user's token
    /// lasts.
    pub fn new(
        connection_id: ConnectionId,
        identity: Identity,
        endpoint: String,
        connected_at: DateTime<Utc>,
    ) -> Self {
        let closed = connected_at + Self::LIFETIME;
        let expires_at = identity.expires_at.map_or(closed, |end| end.min(closed));
        Self {
            connection_id,
            user_id: identity.user_id,
            endpoint,
            connected_at: date(connected_at),
            expires_at: date(expires_at),
        }
    }

    /// Whether it opened before `other`. Of two that opened in the same millisecond, the id decides.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.opened() < other.opened()
    }

    /// What sockets are ordered by.
    pub fn opened(&self) -> impl Ord {
        (self.connected_at, self.connection_id.as_str())
    }

    /// Whether it may get messages at `now`: it does not outlive its user's token.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > date(now)
    }

    /// Whether it is the same socket, whatever else is known of it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.connection_id == other.connection_id
    }

    /// Whether it may still be on its way up.
    pub fn is_settling(&self, now: DateTime<Utc>) -> bool {
        let age_ms = now.timestamp_millis() - self.connected_at.timestamp_millis();
        age_ms < Self::SETTLING.as_millis() as i64
    }
}

fn date(time: DateTime<Utc>) -> bson::DateTime {
    bson::DateTime::from_millis(time.timestamp_millis())
}

impl Store {
    /// Records an open socket.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may or may not be recorded; refuse the
    /// handshake.
    pub async fn connect(&self, connection: &Connection) -> Result<()> {
        let insert = self.connections.insert_one(connection);
        perform("insert of a connection", insert).await?;
        Ok(())
    }

    /// Forgets a socket that is closed. An unknown id is no error. Its user, if known, lets a sharded
    /// collection find the shard.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it stays until a push finds it gone or it
    /// expires.
    pub async fn disconnect(
        &self,
        connection_id: &ConnectionId,
        user_id: Option<&UserId>,
    ) -> Result<()> {
        let mut socket = doc! {"_id": connection_id.as_str()};
        if let Some(user_id) = user_id {
            socket.insert("user_id", user_id.as_str());
        }
        let delete = self.connections.delete_one(socket);
        perform("delete of a connection", delete).await?;
        Ok(())
    }

    /// Forgets sockets that a push has found closed. Their users are named as well: by them a
    /// sharded collection finds the shards.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they stay until a push finds them gone
    /// again or they expire.
    pub async fn forget(&self, sockets: &[Connection]) -> Result<()> {
        let ids = sockets.iter().map(|socket| socket.connection_id.as_str());
        let users = sockets.iter().map(|socket| socket.user_id.as_str());
        let delete = self.connections.delete_many(doc! {
            "_id": {"$in": ids.collect::<Vec<_>>()},
            "user_id": {"$in": users.collect::<Vec<_>>()},
        });
        perform("delete of connections", delete).await?;
        Ok(())
    }

    /// All live sockets of `users`, found by index.
    ///
    /// TTL deletion lags, so expired rows are left out: here and not in the query, where the time
    /// would make the planner weigh the TTL index against that of the users at each look-up.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn sockets_of(
        &self,
        users: [&UserId; 2],
        now: DateTime<Utc>,
    ) -> Result<Vec<Connection>> {
        let look_up = self.look_ups.serve(users.map(Clone::clone), async |pairs| {
            match self.find_sockets(&pairs).await {
                Ok(sockets) => pairs.iter().map(|pair| Ok(of(pair, &sockets))).collect(),
                Err(error) => pairs.iter().map(|_| Err(error.clone())).collect(),
            }
        });
        let mut sockets = perform("look-up of a user's sockets", look_up).await?;
        sockets.retain(|socket| socket.is_live(now));
        Ok(sockets)
    }

    async fn find_sockets(&self, pairs: &[[UserId; 2]]) -> Result<Vec<Connection>, DriverError> {
        let users: Vec<&str> = pairs.iter().flatten().map(UserId::as_str).collect();
        let find = self.connections.find(doc! {"user_id": {"$in": users}});
        find.max_time(OPERATION_TIME).await?.try_collect().await
    }
}

/// Those of `sockets` that belong to a pair of users.
fn of(pair: &[UserId; 2], sockets: &[Connection]) -> Vec<Connection> {
    let sockets = sockets.iter();
    let of_pair = sockets.filter(|socket| pair.contains(&socket.user_id));
    of_pair.cloned().collect()
}
