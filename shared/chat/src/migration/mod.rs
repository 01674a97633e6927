//! The migration: creates the indexes, numbers the documents of the old system, and makes the documents of members
//! for all conversations that have none.
//!
//! - `legacy`: the documents of the old system
//! - `members`: the documents of members
//! - `plan`: the numbers that they get
//!
//! The function `migrate` runs it at deploy time, and `cargo local` at its start; no other function
//! does. It may run again at any time, several times at once, and while messages are sent. It only ever
//! adds, so code from before it works after it.
//!
//! A document of the old system has `sender_id`, `receiver_id`, `message` and `timestamp`, all
//! strings. Those of one conversation get the numbers …, -2, -1, 0 in the order of their time, so
//! that new messages begin at 1 whether or not the migration has run. They are numbered oldest
//! first and 0 is given last: a conversation that has a 0 is done, and an old document found in it
//! later is appended like a new message. That makes an interrupted run resumable without a record
//! of its own.

mod legacy;
mod members;
mod plan;

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde::Serialize;

use crate::store::{CONVERSATIONS, MESSAGES, USERS, indexes};
use crate::{Error, Result};

/// The result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Old documents that got a number.
    pub numbered: u64,
    /// Documents that were skipped because they lack one of the four strings, or a user id is invalid.
    #[serde(rename = "left_alone")]
    pub skipped: u64,
    /// Conversations whose members were recorded.
    pub conversations: u64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub step: Step,
    /// How many of them are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// A step of a run that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Old messages get their numbers.
    Numbering,
    /// The members of conversations are recorded.
    Members,
}

/// Creates the indexes, numbers old documents and records the members of conversations. Calls `progress` after
/// each batch; an error of its own ends the run.
///
/// # Errors
///
/// What is done stays done: run it again.
///
/// - [`Error::Unavailable`]: the database failed.
/// - That of `progress`.
pub async fn run(
    database: &Database,
    mut progress: impl FnMut(Progress) -> Result<()>,
) -> Result<Summary> {
    indexes::create(database).await?;
    check_access(database).await?;
    let messages = database.collection(MESSAGES);
    let total = legacy::count(&messages, legacy::filter()).await?;
    let mut numbered = 0;
    let mut progress = |step, done, total| progress(Progress { step, done, total });
    if total > 0 {
        members::restart(database).await?;
        legacy::create_pair_index(&messages).await?;
        for pair in legacy::pairs(&messages).await? {
            legacy::migrate_pair(&messages, &pair, |more| {
                numbered += more;
                progress(Step::Numbering, numbered, total)
            })
            .await?;
        }
        legacy::drop_pair_index(&messages).await;
    }
    // Another run may have recorded the end of its pass while this one was numbering.
    let from_start = total > 0;
    let recorded = members::record(database, from_start, |done, total| {
        progress(Step::Members, done, total)
    });
    let conversations = recorded.await?;
    let without_number = doc! {"conversation_id": {"$exists": false}};
    Ok(Summary {
        numbered,
        skipped: legacy::count(&messages, without_number).await?,
        conversations,
    })
}

/// Reads the collections that have no index to create. A database user who may not read them fails the deployment,
/// and not the requests after it.
async fn check_access(database: &Database) -> Result<()> {
    for name in [CONVERSATIONS, USERS] {
        let collection = database.collection::<Document>(name);
        let found = collection.find_one(doc! {"_id": ""}).await;
        found.map_err(Error::unavailable("check of the collections"))?;
    }
    Ok(())
}
