//! Several updates in one operation. The driver has that only for servers from 8.0 on, so this is the command
//! itself.

use mongodb::Database;
use mongodb::bson::{self, Document, doc};
use mongodb::error::Error as DriverError;
use serde::Deserialize;

/// The reply to updates.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply {
    /// Documents that were found, or made.
    pub(crate) n: i32,
    /// Updates that failed.
    #[serde(default)]
    pub(crate) write_errors: Vec<WriteError>,
    write_concern_error: Option<WriteError>,
}

impl Reply {
    /// Returns the reply if none failed.
    ///
    /// # Errors
    ///
    /// The driver's, of the last that failed.
    pub(crate) fn into_done(mut self) -> Result<Self, DriverError> {
        match self.write_errors.pop() {
            Some(error) => Err(DriverError::custom(error.errmsg)),
            None => Ok(self),
        }
    }

    /// Returns the number of documents that were found, or made.
    pub(crate) fn n(&self) -> u64 {
        self.n.unsigned_abs().into()
    }
}

/// The failure of an update.
#[derive(Debug, Deserialize)]
pub(crate) struct WriteError {
    /// The server's code.
    pub(crate) code: i32,
    /// The server's text.
    pub(crate) errmsg: String,
}

/// Runs updates, each `{q, u}` or with more fields of the [command]. Those that are `ordered` end at the first that
/// fails. Returns after a majority write.
///
/// # Errors
///
/// The driver's: any of them may be done. That one update fails is no error.
///
/// [command]: https://www.mongodb.com/docs/manual/reference/command/update/
pub(crate) async fn update_all(
    database: &Database,
    collection: &str,
    updates: Vec<Document>,
    ordered: bool,
) -> Result<Reply, DriverError> {
    let command = doc! {
        "update": collection,
        "updates": updates,
        "ordered": ordered,
        "writeConcern": {"w": "majority"},
    };
    let reply = database.run_command(command).await?;
    let reply: Reply = bson::deserialize_from_document(reply)?;
    match reply.write_concern_error {
        Some(error) => Err(DriverError::custom(error.errmsg)),
        None => Ok(reply),
    }
}

/// Runs updates that may be repeated, and that make the documents that are missing. Those that fail are tried
/// once more: another writer has made the same document, or a new primary was elected.
///
/// # Errors
///
/// The driver's, or the first of a failed update.
pub(crate) async fn upsert_all(
    database: &Database,
    collection: &str,
    updates: Vec<Document>,
) -> Result<(), DriverError> {
    let first = update_all(database, collection, updates.clone(), false).await;
    if first.is_ok_and(|reply| reply.write_errors.is_empty()) {
        return Ok(());
    }
    let again = update_all(database, collection, updates, false).await?;
    again.into_done()?;
    Ok(())
}
