//! Compares the indexes of the database with those that the migration makes.

use std::fmt::{self, Display, Formatter};

use chat::store::indexes;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Database, IndexModel};

/// The server's error code for a collection that does not exist.
const NAMESPACE_NOT_FOUND: i32 = 26;

/// An index that is not as the migration makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The collection.
    pub collection: &'static str,
    /// The name.
    pub name: String,
    /// Whether the chat relies on its being unique.
    pub is_unique: bool,
    /// Whether there is another one of this name.
    pub differs: bool,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            collection, name, ..
        } = self;
        match self.differs {
            true => write!(
                f,
                "the index {name} of {collection} has other keys or options: drop it and run the migration"
            ),
            false => write!(
                f,
                "the index {name} of {collection} is missing: run the migration"
            ),
        }
    }
}

/// Returns the indexes that are missing, or not as the migration makes them.
///
/// # Errors
///
/// The driver's: they cannot be listed, for which not every user of a database has the right.
pub async fn faults(database: &Database) -> Result<Vec<Fault>, Error> {
    let mut faults = Vec::new();
    for (collection, planned) in indexes::all() {
        let found = list(database, collection).await?;
        let fault = |planned: &IndexModel| {
            let of_name = found.iter().find(|it| name(it) == name(planned));
            let differs = of_name.is_some_and(|it| !is_as_planned(it, planned));
            (of_name.is_none() || differs).then(|| Fault {
                collection,
                name: name(planned).unwrap_or_default().to_owned(),
                is_unique: is_unique(planned),
                differs,
            })
        };
        faults.extend(planned.iter().filter_map(fault));
    }
    Ok(faults)
}

async fn list(database: &Database, collection: &str) -> Result<Vec<IndexModel>, Error> {
    let collection = database.collection::<Document>(collection);
    let listing = async { collection.list_indexes().await?.try_collect().await };
    match listing.await {
        // A collection that does not exist has none.
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        listed => listed,
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(failure) if failure.code == NAMESPACE_NOT_FOUND)
}

fn name(index: &IndexModel) -> Option<&str> {
    index.options.as_ref()?.name.as_deref()
}

fn is_unique(index: &IndexModel) -> bool {
    let unique = index.options.as_ref().and_then(|options| options.unique);
    unique.unwrap_or(false)
}

fn is_as_planned(found: &IndexModel, planned: &IndexModel) -> bool {
    let expires = |index: &IndexModel| index.options.as_ref().and_then(|it| it.expire_after);
    keys(found) == keys(planned)
        && is_unique(found) == is_unique(planned)
        && expires(found) == expires(planned)
}

/// Returns the fields of an index with their directions, which servers write as numbers of any type.
fn keys(index: &IndexModel) -> Vec<(&str, Option<i64>)> {
    let direction = |value: &Bson| match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    };
    let keys = index.keys.iter();
    keys.map(|(field, value)| (field.as_str(), direction(value)))
        .collect()
}
