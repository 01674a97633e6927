//! The list of a user's conversations.

use std::time::Duration;

use chat::Marks;
use serde::{Deserialize, Serialize};

use super::{Error, Http, encode};

/// A conversation in its user's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The conversation.
    pub conversation_id: String,
    /// The other user; none in a group.
    pub peer_id: Option<String>,
    /// The name of a group.
    pub title: Option<String>,
    /// The user's role in a group.
    pub role: Option<String>,
    /// The number of the newest text that is not deleted.
    pub newest_seq: i64,
    /// The number of the newest entry of any kind.
    pub newest_entry_seq: i64,
    /// The newest text.
    pub preview: Preview,
    /// The count of unread messages.
    pub unread: usize,
    /// The user's own marks.
    #[serde(flatten)]
    pub marks: Marks,
    /// How far the other user has read; 0 in a group.
    #[serde(default)]
    pub peer_read: i64,
    /// How far the other user's devices have it; 0 in a group.
    #[serde(default)]
    pub peer_delivered: i64,
}

/// The newest text of a conversation, or its newest entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The number of the message.
    pub seq: i64,
    /// Its beginning.
    pub message: String,
}

/// Reads lists.
pub struct List {
    http: Http,
    url: String,
    timeout: Duration,
}

impl List {
    /// A reader of lists at a URL (`https://…/chat/conversations`) without authorization.
    pub fn new(url: String, timeout: Duration) -> Self {
        Self {
            http: Http::default(),
            url,
            timeout,
        }
    }

    /// Reads the first page of a user's list, with the user's `groups` or without them.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the status is not 200.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    /// - [`Error::Malformed`]: the body is no list.
    pub async fn first_page(&self, user_id: &str, groups: bool) -> Result<Vec<Row>, Error> {
        let parameter = if groups { "&groups=true" } else { "" };
        let url = format!("{}?user={}{parameter}", self.url, encode(user_id));
        self.http.get_json(&url, None, self.timeout).await
    }
}
