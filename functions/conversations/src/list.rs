//! `GET /chat/conversations?user=[&limit=][&before=][&groups=true]`: the user's conversations, newest first.

use chat::store::{ListCursor, ListPage, ListedConversation, ListedWith};
use chat::{ConversationId, Deadline, Rejection, Result, Role, Title, UserId};
use chat_lambda::http_event::HttpResponse;
use chat_lambda::query_string::{QueryString, encode, invalid};
use serde::Serialize;

use crate::{Deps, json};

/// Limit of the conversations of a page.
const MAX_LIMIT: usize = 100;

/// The conversations of a page where the query names no limit.
const DEFAULT_LIMIT: usize = 50;

/// Limit of the text of a preview, in characters.
const PREVIEW_CHARS: usize = 200;

/// The page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    limit: usize,
    before: Option<ListCursor>,
    groups: bool,
}

impl Query {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`](chat::Code::InvalidRequest), with a sentence that names the parameter.
    pub fn read(query: QueryString) -> Result<Self, Rejection> {
        let limit = match query.number("limit")? {
            None => DEFAULT_LIMIT,
            Some(limit @ 1..=100) => limit as usize,
            Some(_) => {
                return Err(invalid(format!(
                    "`limit` must be between 1 and {MAX_LIMIT}."
                )));
            }
        };
        let before = query.value("before")?.map(|text| text.parse());
        let before = before
            .transpose()
            .map_err(|()| invalid("`before` must come from the link of another page."))?;
        let groups = match query.value("groups")?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("`groups` must be true or false.")),
        };
        Ok(Self {
            limit,
            before,
            groups,
        })
    }
}

/// A conversation, as the list shows it.
#[derive(Serialize)]
struct Item {
    conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Title>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// The number of the newest text that is not deleted, 0 if that lies far back: older clients read on up to it.
    newest_seq: i64,
    /// The number of the newest entry of any kind.
    newest_entry_seq: i64,
    timestamp: String,
    preview: Preview,
    unread: i64,
    read: i64,
    delivered: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_read: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_delivered: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    muted: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    blocked: bool,
}

/// The newest text.
#[derive(Serialize)]
struct Preview {
    seq: i64,
    sender_id: String,
    message: String,
    timestamp: String,
}

impl From<ListedConversation> for Item {
    fn from(listed: ListedConversation) -> Self {
        let preview = listed.preview;
        let (peer_id, title, role) = match listed.with {
            ListedWith::Peer(peer) => (Some(peer), None, None),
            ListedWith::Group { title, role } => (None, Some(title), Some(role)),
        };
        let newest_seq = if preview.is_visible_text() {
            preview.seq
        } else {
            0
        };
        Self {
            conversation_id: preview.conversation_id,
            peer_id,
            title,
            role,
            newest_seq,
            newest_entry_seq: listed.newest_entry_seq,
            timestamp: preview.timestamp.clone(),
            preview: Preview {
                seq: preview.seq,
                sender_id: preview.sender_id,
                message: preview.message.chars().take(PREVIEW_CHARS).collect(),
                timestamp: preview.timestamp,
            },
            unread: listed.unread,
            read: listed.marks.read,
            delivered: listed.marks.delivered,
            peer_read: listed.peer_marks.map(|marks| marks.read),
            peer_delivered: listed.peer_marks.map(|marks| marks.delivered),
            muted: listed.muted,
            blocked: listed.blocked,
        }
    }
}

/// Responds with a page, whose `Link` header has the next one.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable).
pub async fn respond(
    user: &UserId,
    query: Query,
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    // All of them are on the first page.
    let lists_groups = query.groups && query.before.is_none();
    let ListPage {
        conversations,
        next,
    } = deps
        .store
        .list(user, query.before, query.limit, lists_groups, deadline)
        .await?;
    let items: Vec<Item> = conversations.into_iter().map(Item::from).collect();
    let response = json(&items);
    Ok(match next {
        Some(next) => response.header("link", link(user, query.limit, next)),
        None => response,
    })
}

/// Returns the link to the next page ([RFC 8288]). It is relative, so it works behind any domain and path.
///
/// [RFC 8288]: https://www.rfc-editor.org/rfc/rfc8288
fn link(user: &UserId, limit: usize, next: ListCursor) -> String {
    let user = encode(user.as_str());
    format!("<?user={user}&limit={limit}&before={next}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, Rejection> {
        Query::read(QueryString::new(query)?)
    }

    #[test]
    fn a_link_is_read_as_the_page_that_it_names() {
        let user = UserId::try_from("a&b=c".to_owned()).expect("a valid id");
        let next: ListCursor = "1795346103123.507f1f77bcf86cd799439011"
            .parse()
            .expect("a cursor");
        let link = link(&user, 7, next);
        let query = link
            .strip_prefix("<?")
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .expect("a link");
        let expected = Query {
            limit: 7,
            before: Some(next),
            groups: false,
        };
        assert_eq!(read(query).expect("valid"), expected);
        assert_eq!(
            QueryString::new(query)
                .expect("short")
                .user("user")
                .expect("a user"),
            user
        );
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=ten", "limit"),
            ("limit=1&limit=2", "limit"),
            ("before=", "before"),
            ("before=1", "before"),
            ("before=1.x", "before"),
            ("before[$gt]=1&before=%FF", "before"),
            ("groups=1", "groups"),
        ] {
            let sentence = read(query).expect_err(query).message;
            assert!(
                sentence.contains(&format!("`{name}`")),
                "{query}: {sentence}"
            );
        }
        assert_eq!(read("").expect("valid").limit, DEFAULT_LIMIT);
    }
}
