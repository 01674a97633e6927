//! Whether a deployment is whole, part by part.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use authorizer::JwtConfig;
use authorizer::keys::{Keys, Timing};
use chat::store::inspect::written_since;
use chat::store::{CONNECTIONS, CONVERSATIONS, MEMBERS, MESSAGES};
use chat::{Connection, ConnectionId, Deadline, Identity, Push, Store, UserId};
use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt;
use jsonwebtoken::Algorithm;
use mongodb::bson::{Document, doc};
use serde::Serialize;

use crate::failure;
use crate::indexes::{self, Fault};
use crate::outcome::Outcome;
use crate::output::Output;

/// Time limit of the call to the gateway.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A part of the deployment.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    /// `good`, `wrong`, or `unknown`.
    state: &'static str,
    detail: String,
}

impl Part {
    fn new(part: &'static str, is_good: bool, detail: impl Into<String>) -> Self {
        Self {
            part,
            state: if is_good { "good" } else { "wrong" },
            detail: detail.into(),
        }
    }

    fn unknown(part: &'static str, detail: impl Into<String>) -> Self {
        Self {
            part,
            state: "unknown",
            detail: detail.into(),
        }
    }
}

/// Checks each part, and prints what it found with how much there is. If the database was not opened, the parts in it are
/// unknown.
///
/// # Errors
///
/// Standard output is closed.
pub async fn run(store: Result<Store>, push: Option<&Push>, output: Output) -> Result<Outcome> {
    let (gateway, issuer) = (gateway(push).await, issuer().await);
    let parts = match &store {
        Ok(store) => [
            found("database", database(store).await),
            places(store).await,
            indexes(store).await,
            found("migration", migration(store).await),
            gateway,
            issuer,
            found(CONNECTIONS, connections(store).await),
            found("messages", messages(store).await),
        ],
        Err(error) => [
            Part::new("database", false, failure::in_words(error)),
            unasked("places"),
            unasked("indexes"),
            unasked("migration"),
            gateway,
            issuer,
            unasked(CONNECTIONS),
            unasked("messages"),
        ],
    };
    output.rows(["part", "state", "detail"], &parts, |part| {
        [
            part.part.to_owned(),
            part.state.to_owned(),
            part.detail.clone(),
        ]
    })?;
    let is_good = parts.iter().all(|part| part.state != "wrong");
    Ok(Outcome::good_if(is_good))
}

/// Returns a part, which is wrong if the database failed.
fn found(part: &'static str, found: Result<Part>) -> Part {
    found.unwrap_or_else(|error| Part::new(part, false, failure::in_words(&error)))
}

fn unasked(part: &'static str) -> Part {
    Part::unknown(part, "the database cannot be asked")
}

async fn database(store: &Store) -> Result<Part> {
    let start = Instant::now();
    store.ping().await?;
    let detail = format!("it answers in {} ms", start.elapsed().as_millis());
    Ok(Part::new("database", true, detail))
}

/// Looks how many connections the database has, and takes. Not every user of it may ask for that.
async fn places(store: &Store) -> Part {
    const PART: &str = "places";
    let status = store.database().run_command(doc! {"serverStatus": 1}).await;
    let count = |status: &Document, name: &str| {
        let connections = status.get_document("connections").ok()?;
        let count = connections.get(name)?;
        count.as_i64().or_else(|| count.as_i32().map(i64::from))
    };
    let counts = status
        .ok()
        .and_then(|status| Some((count(&status, "current")?, count(&status, "available")?)));
    // The embedded database says that it takes none.
    let Some((current, available)) = counts.filter(|(_, available)| *available > 0) else {
        return Part::unknown(
            PART,
            "the database does not tell how many connections it takes",
        );
    };
    let detail = format!("the database has {current} connections, and takes {available} more");
    // A burst of functions needs some hundred.
    Part::new(PART, available > current / 4, detail)
}

/// Fetches the keys with which tokens are verified, by the authorizer's settings.
async fn issuer() -> Part {
    const PART: &str = "issuer";
    if std::env::var_os("JWT_ISSUER").is_none_or(|value| value.is_empty()) {
        return Part::unknown(
            PART,
            "set the authorizer's JWT_ settings to ask for its keys",
        );
    }
    let config = match JwtConfig::from_env() {
        Ok(config) => config,
        Err(error) => return Part::new(PART, false, error.chain()),
    };
    let keys = Keys::new(config.source, Timing::default());
    match keys.find(None, Algorithm::RS256).await {
        Ok(_) => Part::new(PART, true, "its keys are there"),
        Err(_) => {
            let detail =
                "its keys cannot be fetched: JWT_KEYS_URL or JWT_SECRET_ARN says from where";
            Part::new(PART, false, detail)
        }
    }
}

async fn indexes(store: &Store) -> Part {
    const PART: &str = "indexes";
    match indexes::faults(store.database()).await {
        Ok(faults) if faults.is_empty() => Part::new(PART, true, "all are there"),
        Ok(faults) => {
            let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
            Part::new(PART, false, faults.join("; "))
        }
        Err(error) => Part::unknown(
            PART,
            format!(
                "they cannot be listed: {}",
                failure::in_words(&error.into())
            ),
        ),
    }
}

async fn migration(store: &Store) -> Result<Part> {
    let messages = store.database().collection::<Document>(MESSAGES);
    let unnumbered = messages.find_one(doc! {"conversation_id": {"$exists": false}});
    Ok(if unnumbered.await?.is_none() {
        Part::new("migration", true, "every message has its number")
    } else {
        let detail = "there are messages without a number: run the migration; it skips documents that are no messages";
        Part::new("migration", false, detail)
    })
}

/// Asks the gateway for a connection that nobody has.
async fn gateway(push: Option<&Push>) -> Part {
    let Some(push) = push else {
        let detail = "set MANAGEMENT_ENDPOINT, AWS_REGION and credentials to ask it";
        return Part::unknown("gateway", detail);
    };
    let now = Utc::now();
    let identity = Identity {
        user_id: UserId::try_from("nobody".to_owned()).expect("a valid id"),
        expires_at: None,
    };
    let nobody = Connection::new(
        ConnectionId::from("AAAAAAAAAAAAAAA=".to_owned()),
        identity,
        push.endpoint().to_owned(),
        now - TimeDelta::hours(1),
    );
    let asked = push.look_up_all(vec![nobody], now, Deadline::after(TIMEOUT));
    let (_, gone) = asked.await;
    let endpoint = push.endpoint();
    if gone.is_empty() {
        Part::new(
            "gateway",
            false,
            format!("{endpoint} does not answer, or refuses the credentials"),
        )
    } else {
        Part::new("gateway", true, format!("{endpoint} answers"))
    }
}

async fn connections(store: &Store) -> Result<Part> {
    let now = Utc::now();
    let mut rows = Box::pin(store.inspect_connections().await?);
    let (mut live, mut ended, mut users) = (0_u64, 0_u64, BTreeSet::new());
    while let Some(row) = rows.try_next().await? {
        if row.is_live(now) {
            live += 1;
            users.insert(row.user_id);
        } else {
            ended += 1;
        }
    }
    let users = users.len();
    let detail =
        format!("{live} open, of {users} users; {ended} have ended and are still recorded");
    Ok(Part::new(CONNECTIONS, true, detail))
}

async fn messages(store: &Store) -> Result<Part> {
    let count = async |name: &str| {
        let collection = store.database().collection::<Document>(name);
        collection.estimated_document_count().await
    };
    let (entries, conversations) = (count(MESSAGES).await?, count(CONVERSATIONS).await?);
    let members = count(MEMBERS).await?;
    let minute_ago = Utc::now() - TimeDelta::minutes(1);
    let recent = store.database().collection::<Document>(MESSAGES);
    let recent = recent.count_documents(written_since(minute_ago));
    let detail = format!(
        "about {entries} entries, {recent} in the last minute, {conversations} conversations, {members} memberships",
        recent = recent.await?
    );
    Ok(Part::new("messages", true, detail))
}
