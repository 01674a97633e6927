//! Open connections: who is online, and the end of a user's connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, bail};
use chat::{Connection, Deadline, Push, Store, UserId, timestamp};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, count};

/// Time between two looks of a watch.
const INTERVAL: Duration = Duration::from_secs(1);

/// Pause before connections are closed again that may be opening or closing.
const RETRY: Duration = Duration::from_millis(200);

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A user who is online.
#[derive(Serialize)]
struct Online {
    user_id: String,
    connections: usize,
    /// Those of clients that know every kind of frame.
    modern: usize,
    /// When the first of them opened.
    since: String,
    endpoint: String,
}

/// The live connections, by user and endpoint.
type ByUser = BTreeMap<(UserId, String), Vec<Connection>>;

async fn by_user(store: &Store, now: DateTime<Utc>) -> Result<ByUser> {
    let mut rows = Box::pin(store.inspect_connections().await?);
    let mut users = ByUser::new();
    while let Some(row) = rows.try_next().await? {
        if row.is_live(now) {
            let key = (row.user_id.clone(), row.endpoint.clone());
            users.entry(key).or_default().push(row);
        }
    }
    Ok(users)
}

/// A user who has come or left.
#[derive(Serialize)]
struct Change {
    user_id: String,
    /// `came` or `left`.
    event: &'static str,
    at: String,
}

/// Prints who is online, then who comes and who leaves, until Ctrl-C.
///
/// # Errors
///
/// The database fails, or standard output is closed.
pub async fn watch(store: &Store, output: Output) -> Result<Outcome> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interrupt = Interrupt::listen();
    let mut known = BTreeSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = interrupt.pressed() => return Ok(Outcome::Good),
        }
        let now = Utc::now();
        let users = by_user(store, now).await?.into_keys();
        let online: BTreeSet<UserId> = users.map(|(user, _)| user).collect();
        let came = online.difference(&known).map(|user| (user, "came"));
        let left = known.difference(&online).map(|user| (user, "left"));
        for (user, event) in came.chain(left) {
            let change = Change {
                user_id: user.to_string(),
                event,
                at: timestamp::format(now),
            };
            output.line(&change, || format!("{} {user} {event}", change.at))?;
        }
        known = online;
    }
}

/// Lists the users who have a connection, those who came last first.
///
/// # Errors
///
/// The database fails.
pub async fn online(store: &Store, since: Option<TimeDelta>, output: Output) -> Result<Outcome> {
    let now = Utc::now();
    let users = by_user(store, now).await?;
    let mut online: Vec<Online> = users
        .into_iter()
        .map(|((user, endpoint), connections)| summary(user, endpoint, &connections))
        .collect();
    let from = since.map(|since| timestamp::format(now - since));
    online.retain(|user| from.as_ref().is_none_or(|from| user.since >= *from));
    online.sort_by(|a, b| b.since.cmp(&a.since));
    let heading = ["user", "connections", "modern", "since", "endpoint"];
    output.rows(heading, &online, |row| {
        [
            row.user_id.clone(),
            row.connections.to_string(),
            row.modern.to_string(),
            row.since.clone(),
            row.endpoint.clone(),
        ]
    })?;
    Ok(Outcome::Good)
}

fn summary(user: UserId, endpoint: String, connections: &[Connection]) -> Online {
    let opened = connections.iter().map(Connection::connected_at).min();
    Online {
        user_id: user.to_string(),
        connections: connections.len(),
        modern: connections.iter().filter(|it| it.modern).count(),
        since: timestamp::format(opened.unwrap_or_default()),
        endpoint,
    }
}

/// A connection of a user.
#[derive(Serialize)]
pub struct Listed {
    connection_id: String,
    /// `open`, `gone`, or `unknown` where the gateway was not asked.
    state: &'static str,
    modern: bool,
    connected_at: String,
    endpoint: String,
}

/// Lists the connections of a user, with their state at the gateway if that is known.
///
/// # Errors
///
/// The database fails.
pub async fn of_user(
    store: &Store,
    push: Option<&Push>,
    user: &UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Listed>> {
    let deadline = Deadline::after(TIMEOUT);
    let rows = store
        .open_connections_of(std::slice::from_ref(user), deadline)
        .await?;
    let (open, gone) = match push {
        Some(push) => push.look_up_all(rows.clone(), now, deadline).await,
        None => (Vec::new(), Vec::new()),
    };
    let is_in = |list: &[Connection], row: &Connection| {
        let mut list = list.iter();
        list.any(|it| it.connection_id == row.connection_id)
    };
    let listed = rows.iter().map(|row| Listed {
        connection_id: row.connection_id.as_str().to_owned(),
        state: match (is_in(&open, row), is_in(&gone, row)) {
            (true, _) => "open",
            (_, true) => "gone",
            _ => "unknown",
        },
        modern: row.modern,
        connected_at: timestamp::format(row.connected_at()),
        endpoint: row.endpoint.clone(),
    });
    Ok(listed.collect())
}

/// Prints connections.
///
/// # Errors
///
/// Standard output is closed.
pub fn print(connections: &[Listed], output: Output) -> Result<()> {
    let heading = ["connection", "state", "modern", "connected at", "endpoint"];
    output.rows(heading, connections, |row| {
        [
            row.connection_id.clone(),
            row.state.to_owned(),
            row.modern.to_string(),
            row.connected_at.clone(),
            row.endpoint.clone(),
        ]
    })
}

/// What a kick has closed, or would.
#[derive(Serialize)]
struct Kicked<'a> {
    user_id: &'a UserId,
    open: usize,
    closed: usize,
}

/// Closes all connections of a user and deletes their rows; without `confirm`, says which.
///
/// # Errors
///
/// The database or the gateway fails.
pub async fn kick(
    store: &Store,
    push: &Push,
    user: &UserId,
    confirm: bool,
    output: Output,
) -> Result<Outcome> {
    let open = of_user(store, Some(push), user, Utc::now()).await?;
    print(&open, output)?;
    let closed = if confirm {
        close_all(store, push, user).await?
    } else {
        0
    };
    if closed > 0 {
        let seen = vec![(user.clone(), Utc::now())];
        let deadline = Deadline::after(TIMEOUT);
        store.record_seen(seen, deadline).await?;
    }
    let kicked = Kicked {
        user_id: user,
        open: open.len(),
        closed,
    };
    output.line(&kicked, || {
        if confirm {
            return format!("{} closed", count(closed, "connection"));
        }
        let open = count(kicked.open, "connection");
        format!("{open} would be closed; --confirm does it")
    })?;
    Ok(Outcome::Good)
}

/// Closes all connections of a user and deletes their rows; returns how many.
///
/// Of one that has just opened or closed, the gateway says the same. Such a one is tried again for some seconds, until
/// it has opened, or its row is gone, or is old enough.
///
/// # Errors
///
/// The database or the gateway fails.
pub async fn close_all(store: &Store, push: &Push, user: &UserId) -> Result<usize> {
    let mut closed = 0;
    loop {
        let (now, deadline) = (Utc::now(), Deadline::after(TIMEOUT));
        let users = std::slice::from_ref(user);
        let rows = store.open_connections_of(users, deadline).await?;
        let done = push.close_all(rows.clone(), now, deadline).await;
        store.delete_connections(&done, deadline).await?;
        closed += done.len();
        let left = rows.len() - done.len();
        if left == 0 {
            return Ok(closed);
        }
        if !rows.iter().any(|row| row.is_opening(now)) {
            let closed = count(closed, "connection");
            bail!("{closed} closed, and {left} not: run it again");
        }
        sleep(RETRY).await;
    }
}
