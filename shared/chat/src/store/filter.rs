//! Filters of the log that are short ranges of an index on any database.

use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc};

use crate::{ConversationId, HiddenTexts, Withheld, timestamp};

/// Returns the filter of those documents of a `range` of an index that meet `conditions` on other fields.
///
/// The range stands in an alternative. The embedded database then reads the range and tests the conditions, and
/// reads the whole conversation if they stand side by side. To MongoDB both forms are the same.
pub(crate) fn within(range: Document, conditions: Document) -> Document {
    let mut filter = doc! {"$or": [range]};
    filter.extend(conditions);
    filter
}

/// Returns the range of one number of a conversation. The embedded database reads the whole conversation for an
/// equality of both fields.
pub(crate) fn numbered(conversation_id: &ConversationId, seq: i64) -> Document {
    doc! {"conversation_id": conversation_id.as_str(), "seq": {"$gte": seq, "$lte": seq}}
}

/// Returns the range of the numbers of a conversation from one on.
pub(crate) fn numbers_from(conversation_id: &ConversationId, seq: i64) -> Document {
    doc! {"conversation_id": conversation_id.as_str(), "seq": {"$gte": seq}}
}

/// Returns the conditions of a text that is not deleted, nor hidden since it is older than a time.
pub(crate) fn visible_text(hidden_before: Option<DateTime<Utc>>) -> Document {
    let mut conditions = doc! {"kind": {"$exists": false}, "deleted_seq": {"$exists": false}};
    if let Some(time) = hidden_before {
        conditions.insert("timestamp", doc! {"$gte": timestamp::format(time)});
    }
    conditions
}

/// Returns the condition that an entry is none of the hidden texts.
pub(super) fn not_hidden(hidden: &HiddenTexts) -> Document {
    let mut texts = Vec::new();
    for (first, end) in hidden.withheld.ranges() {
        for field in ["seq", "edited_seq"] {
            texts.push(doc! {field: {"$gte": first, "$lt": end}});
        }
    }
    doc! {"$nor": [{"sender_id": hidden.peer_id.as_str(), "$or": texts}]}
}

/// Returns the condition that a text has not got its wording while its sender was blocked.
pub(super) fn not_reworded(withheld: &Withheld) -> Document {
    let reworded = |(first, end)| doc! {"edited_seq": {"$gte": first, "$lt": end}};
    let ranges: Vec<Document> = withheld.ranges().map(reworded).collect();
    if ranges.is_empty() {
        return Document::new();
    }
    doc! {"$nor": ranges}
}
