//! The migration: creates the indexes, and numbers the documents of the old system.
//!
//! - `legacy`: the documents of the old system
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
mod plan;

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde::Serialize;

use crate::store::{CONVERSATIONS, MESSAGES, indexes};
use crate::{Error, Result};

/// The result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Old documents that got a number.
    pub numbered: u64,
    /// Documents that were skipped because they lack one of the four strings, or a user id is invalid.
    #[serde(rename = "left_alone")]
    pub skipped: u64,
}

/// Creates the indexes and numbers old documents. Calls `progress` after each batch with the numbered
/// documents and their total; an error of its own ends the run.
///
/// # Errors
///
/// Numbered documents stay numbered: run it again.
///
/// - [`Error::Unavailable`]: the database failed.
/// - That of `progress`.
pub async fn run(
    database: &Database,
    mut progress: impl FnMut(u64, u64) -> Result<()>,
) -> Result<Summary> {
    indexes::create(database).await?;
    check_conversations(database).await?;
    let messages = database.collection(MESSAGES);
    let total = legacy::count(&messages, legacy::filter()).await?;
    let mut numbered = 0;
    if total > 0 {
        legacy::create_pair_index(&messages).await?;
        for pair in legacy::pairs(&messages).await? {
            legacy::migrate_pair(&messages, &pair, |more| {
                numbered += more;
                progress(numbered, total)
            })
            .await?;
        }
        legacy::drop_pair_index(&messages).await;
    }
    let without_number = doc! {"conversation_id": {"$exists": false}};
    Ok(Summary {
        numbered,
        skipped: legacy::count(&messages, without_number).await?,
    })
}

/// Reads the collection of conversations, which has no index to create. A database user who may not read it
/// fails the deployment, and not the pages of the history after it.
async fn check_conversations(database: &Database) -> Result<()> {
    let conversations = database.collection::<Document>(CONVERSATIONS);
    let found = conversations.find_one(doc! {"_id": ""}).await;
    found.map_err(Error::unavailable("check of the conversations"))?;
    Ok(())
}
