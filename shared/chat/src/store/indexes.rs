//! The indexes of all collections. The migration creates them at each deployment; they are never
//! created by a request.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};

use super::{CONNECTIONS, MEMBERS, MESSAGES, RATE_LIMITS};
use crate::{Error, Result};

/// Returns the indexes of each collection.
pub fn all() -> [(&'static str, Vec<IndexModel>); 4] {
    [
        (MESSAGES, messages().into()),
        (CONNECTIONS, connections().into()),
        (MEMBERS, members().into()),
        (RATE_LIMITS, rate_limits().into()),
    ]
}

/// Creates the indexes that are missing.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub async fn create(database: &Database) -> Result<()> {
    for (collection, indexes) in all() {
        database
            .collection::<Document>(collection)
            .create_indexes(indexes)
            .await
            .map_err(Error::unavailable(making(collection)))?;
    }
    Ok(())
}

/// Returns the operation for a collection, in errors.
fn making(collection: &str) -> &'static str {
    match collection {
        MESSAGES => "making of the indexes of messages",
        CONNECTIONS => "making of the indexes of connections",
        MEMBERS => "making of the indexes of members",
        _ => "making of the index of rate limits",
    }
}

/// The first two are unique, and the delivery contract rests on that. They leave out documents of the old
/// system, several of which would collide: these lack the fields until they are numbered.
fn messages() -> [IndexModel; 4] {
    let having = |field: &str| doc! {field: {"$exists": true}};
    let unique_with = |field: &str| {
        IndexOptions::builder()
            .unique(true)
            .partial_filter_expression(having(field))
            .build()
    };
    let only_with = |field: &str| {
        IndexOptions::builder()
            .partial_filter_expression(having(field))
            .build()
    };
    [
        // Lets one of several writers have a number, and serves a page of a conversation as a range.
        index(
            "conversation_id_1_seq_1",
            doc! {"conversation_id": 1, "seq": 1},
            unique_with("conversation_id"),
        ),
        // Lets a resend make no second message, and finds the first one.
        index(
            "conversation_id_1_sender_id_1_client_message_id_1",
            doc! {"conversation_id": 1, "sender_id": 1, "client_message_id": 1},
            unique_with("client_message_id"),
        ),
        // Finds the edits of a text that is deleted.
        index(
            "conversation_id_1_target_seq_1",
            doc! {"conversation_id": 1, "target_seq": 1},
            only_with("target_seq"),
        ),
        // Finds the entries that have changed a group since its projection was written.
        index(
            "conversation_id_1_kind_1_seq_1",
            doc! {"conversation_id": 1, "kind": 1, "seq": 1},
            only_with("kind"),
        ),
    ]
}

fn connections() -> [IndexModel; 2] {
    [
        // Finds the connections of a user.
        index("user_id_1", doc! {"user_id": 1}, IndexOptions::default()),
        // Deletes the rows of connections whose `$disconnect` was lost.
        index("expires_at_1", doc! {"expires_at": 1}, expire_at_once()),
    ]
}

fn members() -> [IndexModel; 2] {
    let unique = IndexOptions::builder().unique(true).build();
    [
        // Keeps one document per user and conversation, and finds the members of a conversation.
        index(
            "conversation_id_1_user_id_1",
            doc! {"conversation_id": 1, "user_id": 1},
            unique,
        ),
        // Finds the conversations of a user, newest first, page by page.
        index(
            "user_id_1_last_at_-1__id_-1",
            doc! {"user_id": 1, "last_at": -1, "_id": -1},
            IndexOptions::default(),
        ),
    ]
}

fn rate_limits() -> [IndexModel; 1] {
    // Deletes buckets that are full: a full bucket is the same as no document.
    [index("full_at_1", doc! {"full_at": 1}, expire_at_once())]
}

/// Returns the options of a TTL index on the time at which a document ends.
fn expire_at_once() -> IndexOptions {
    IndexOptions::builder().expire_after(Duration::ZERO).build()
}

fn index(name: &str, keys: Document, mut options: IndexOptions) -> IndexModel {
    options.name = Some(name.to_owned());
    IndexModel::builder().keys(keys).options(options).build()
}
