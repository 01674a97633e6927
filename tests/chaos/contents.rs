//! What the database holds at the end of a run.

use std::collections::BTreeMap;

use ::tests::client::Message;
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;

use crate::texts;

/// An entry as the database holds it.
pub type Stored = Message;

/// What the database holds.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The log, by conversation and number.
    pub stored: Vec<Stored>,
    /// The marked texts in all collections.
    pub traces: Vec<Trace>,
    /// What is stored of groups beside the log.
    pub groups: BTreeMap<String, Projection>,
}

/// A marked text in a document of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The collection.
    pub collection: String,
    /// The [marker](texts::markers) of the text.
    pub marker: String,
}

/// What is stored of a group beside the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// The name.
    pub title: Option<String>,
    /// The number up to which it is complete.
    pub members_seq: i64,
    /// All users who were ever in it.
    pub rows: BTreeMap<String, Row>,
}

/// The membership of a user, by the entries that have changed it last; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Row {
    /// The user joined.
    pub joined_seq: i64,
    /// The user left.
    pub left_seq: i64,
    /// The user became an owner.
    pub owner_seq: i64,
    /// The user is none any more.
    pub demoted_seq: i64,
}

impl Contents {
    /// Reads the database.
    ///
    /// # Errors
    ///
    /// It does not respond, or holds a document that has not the form of the new system.
    pub async fn read(database: &Database) -> Result<Self> {
        let mut contents = Self::default();
        for collection in database.list_collection_names().await? {
            for document in all(database, &collection).await? {
                let text = document.to_string();
                contents
                    .traces
                    .extend(texts::markers(&text).map(|marker| Trace {
                        collection: collection.clone(),
                        marker: marker.to_owned(),
                    }));
                contents.add(&collection, document)?;
            }
        }
        let place = |entry: &Stored| (entry.conversation_id.clone(), entry.seq);
        contents.stored.sort_by_cached_key(place);
        Ok(contents)
    }

    fn add(&mut self, collection: &str, document: Document) -> Result<()> {
        let group = |field| {
            let id = document.get_str(field).ok();
            id.filter(|id| crate::history::is_group(id))
                .map(str::to_owned)
        };
        match collection {
            "chat_messages" => self.stored.push(stored(document)?),
            "members" => {
                if let Some(id) = group("conversation_id") {
                    let user_id = document.get_str("user_id")?.to_owned();
                    let row = mongodb::bson::deserialize_from_document(document)?;
                    self.groups.entry(id).or_default().rows.insert(user_id, row);
                }
            }
            "conversations" => {
                if let Some(id) = group("_id") {
                    let group = self.groups.entry(id).or_default();
                    group.title = document.get_str("title").ok().map(str::to_owned);
                    group.members_seq = document.get_i64("members_seq").unwrap_or(0);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

async fn all(database: &Database, collection: &str) -> Result<Vec<Document>> {
    let documents = database.collection::<Document>(collection);
    let find = documents.find(doc! {});
    let cursor = find.read_concern(ReadConcern::majority()).await?;
    Ok(cursor.try_collect().await?)
}

/// Reads the document of an entry, whose id has another name on the wire.
fn stored(mut document: Document) -> Result<Stored> {
    let id = document.get_object_id("_id")?.to_hex();
    document.insert("message_id", &id);
    let stored = mongodb::bson::deserialize_from_bson(Bson::Document(document));
    stored.with_context(|| format!("entry {id}"))
}
