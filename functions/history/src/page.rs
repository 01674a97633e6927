//! The body of a page and its `Link` header.

use chat::store::{Page, Range};
use chat::{ClientMessageId, Entry, History, Kind, Result, Role, Title, UserId};
use serde::Serialize;
use tokio::task::coop::consume_budget;

use crate::query::Query;

/// Size limit of a body as Lambda transports it, as a string inside of JSON.
///
/// Lambda takes 6 MB with everything around it ([quotas]); the escapes of that second layer can
/// double a body, so they are counted.
///
/// [quotas]: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MAX_TRANSPORTED_BYTES: usize = 5_000_000;

/// An entry as the history shows it: the old system's four fields, and ours.
#[derive(Serialize)]
struct Item<'a> {
    sender_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_id: Option<&'a str>,
    message: &'a str,
    timestamp: &'a str,
    message_id: &'a str,
    seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<&'a ClientMessageId>,
    #[serde(skip_serializing_if = "Kind::is_text")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_seq: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    users: &'a [UserId],
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a Title>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_owner: Option<&'a UserId>,
    #[serde(skip_serializing_if = "History::is_default")]
    history: History,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_seq: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            sender_id: &entry.sender_id,
            receiver_id: entry.receiver_id.as_deref(),
            message: &entry.message,
            timestamp: &entry.timestamp,
            message_id: &entry.message_id,
            seq: entry.seq,
            client_message_id: entry.client_message_id.as_ref(),
            kind: entry.kind,
            target_seq: entry.target_seq,
            users: &entry.users,
            title: entry.title.as_ref(),
            role: entry.role,
            new_owner: entry.new_owner.as_ref(),
            history: entry.history,
            edited_seq: entry.edited_seq,
            deleted_seq: entry.deleted_seq,
            withheld: entry.withheld,
        }
    }
}

impl Item<'_> {
    fn json(&self) -> String {
        serde_json::to_string(self).expect("an item has string keys and no fallible field")
    }
}

/// Returns the entries as a JSON array. Yields now and then: a page can have megabytes, and its deadline may
/// pass.
pub async fn json(entries: Vec<Entry>) -> Result<String> {
    let mut json = String::from("[");
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(&Item::from(entry).json());
        consume_budget().await;
    }
    json.push(']');
    Ok(json)
}

/// The size of a body that is being built.
#[derive(Debug, Default)]
pub struct Body {
    transported_bytes: usize,
}

impl Body {
    /// Returns whether the body stays within its limit with `entry`, which is counted if it does.
    pub fn has_room_for(&mut self, entry: &Entry) -> bool {
        let item = Item::from(entry).json();
        let escapes = item.bytes().filter(|byte| matches!(byte, b'"' | b'\\'));
        let separator = 1;
        let with_item = self.transported_bytes + item.len() + escapes.count() + separator;
        let fits = with_item <= MAX_TRANSPORTED_BYTES;
        if fits {
            self.transported_bytes = with_item;
        }
        fits
    }
}

/// Returns the `Link` header of a page ([RFC 8288]): `rel="prev"` if there are older entries, `rel="next"`
/// if there are newer ones. The links are relative, so they work behind any domain and path.
///
/// [RFC 8288]: https://www.rfc-editor.org/rfc/rfc8288
pub fn links(query: &Query, page: &Page) -> Option<String> {
    let (first, last) = (page.entries.first()?, page.entries.last()?);
    let mut links = Vec::new();
    if page.has_older {
        links.push(link(query, Range::before(first.seq), "prev"));
    }
    if page.has_newer {
        let range = Range {
            after: Some(last.seq),
            // A range with two ends is read from its old end up to its new one.
            before: query.range.before.filter(|_| query.range.after.is_some()),
        };
        links.push(link(query, range, "next"));
    }
    (!links.is_empty()).then(|| links.join(", "))
}

fn link(query: &Query, range: Range, rel: &str) -> String {
    let mut target = format!("?{}", query.subject.parameters());
    let numbers = [
        ("limit", query.asked_limit.map(i64::from)),
        ("after", range.after),
        ("before", range.before),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            target.push_str(&format!("&{name}={number}"));
        }
    }
    format!("<{target}>; rel=\"{rel}\"")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn query() -> Query {
        Query::parse("user1=a&user2=b").expect("a query")
    }

    fn entry(seq: i64) -> Entry {
        Entry {
            message_id: seq.to_string(),
            conversation_id: query().subject.conversation_id(),
            seq,
            sender_id: "a".to_owned(),
            receiver_id: Some("b".to_owned()),
            message: "m".to_owned(),
            timestamp: "2026-11-22T11:15:03.123Z".to_owned(),
            client_message_id: None,
            kind: Kind::Text,
            target_seq: None,
            users: Vec::new(),
            title: None,
            role: None,
            new_owner: None,
            history: History::default(),
            edited_seq: None,
            deleted_seq: None,
            withheld: false,
        }
    }

    #[test]
    fn a_page_has_every_field_of_an_entry_but_its_conversation() {
        let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid id");
        let id = ClientMessageId::try_from("m-1".to_owned()).expect("a valid id");
        let entry = Entry {
            client_message_id: Some(id),
            kind: Kind::Leave,
            target_seq: Some(1),
            users: vec![user("a")],
            title: Some(Title::try_from("t".to_owned()).expect("a title")),
            role: Some(Role::Owner),
            new_owner: Some(user("b")),
            history: History::All,
            edited_seq: Some(2),
            deleted_seq: Some(3),
            withheld: true,
            ..entry(4)
        };
        let value = |json: String| serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
        let mut expected = value(serde_json::to_string(&entry).expect("JSON"));
        let fields = expected.as_object_mut().expect("an object");
        fields.remove("conversation_id");
        assert_eq!(fields.len(), 17, "none is left out");
        assert_eq!(value(Item::from(&entry).json()), expected);
    }

    #[tokio::test]
    async fn a_long_page_yields_while_it_is_written() {
        let entries: Vec<Entry> = (1..=1_000).map(entry).collect();
        let mut json = pin!(json(entries));
        let polled = std::future::poll_fn(|context| Poll::Ready(json.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        let json = json.await.expect("it is written");
        let items: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
        assert_eq!(items.len(), 1_000);
        assert_eq!(items[999]["seq"], 1_000);
    }
}
