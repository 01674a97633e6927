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
    /// The other user.
    pub peer_id: String,
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
    /// How far the other user has read.
    pub peer_read: i64,
    /// How far the other user's devices have it.
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

    /// Reads the first page of a user's list.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the status is not 200.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    /// - [`Error::Malformed`]: the body is no list.
    pub async fn first_page(&self, user_id: &str) -> Result<Vec<Row>, Error> {
        let url = format!("{}?user={}", self.url, encode(user_id));
        let body = self.http.get(&url, None, self.timeout).await?;
        let text = |_| Error::Malformed(String::from_utf8_lossy(&body).into_owned());
        serde_json::from_slice(&body).map_err(text)
    }
}
