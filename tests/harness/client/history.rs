//! Pages of the history.

use std::time::Duration;

use super::frame::Message;
use super::{Error, Http, encode};

/// Reads the history of conversations.
pub struct History {
    http: Http,
    url: String,
    token: Option<String>,
    timeout: Duration,
}

impl History {
    /// A reader of the history at a URL (`https://…/chat/history`), with a token if it needs one.
    pub fn new(url: String, token: Option<String>, timeout: Duration) -> Self {
        Self {
            http: Http::default(),
            url,
            token,
            timeout,
        }
    }

    /// Reads up to `limit` texts of two users that follow the number `after`, in the form of the old system.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the status is not 200.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    /// - [`Error::Malformed`]: the body is no array of messages.
    pub async fn page(
        &self,
        users: [&str; 2],
        after: i64,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let url = history_url(&self.url, users, &format!("&after={after}&limit={limit}"));
        self.get(&url).await
    }

    /// Reads up to `limit` entries of a conversation, of any kind, that follow the number `after`, as a user. With a
    /// token the user is that of the token.
    ///
    /// # Errors
    ///
    /// As [`History::page`].
    pub async fn log(
        &self,
        conversation_id: &str,
        user_id: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let (url, id, user) = (&self.url, encode(conversation_id), encode(user_id));
        let url = format!("{url}?conversation_id={id}&user={user}&after={after}&limit={limit}");
        self.get(&url).await
    }

    async fn get(&self, url: &str) -> Result<Vec<Message>, Error> {
        let token = self.token.as_deref();
        self.http.get_json(url, token, self.timeout).await
    }
}

/// Returns the URL of the history of two users, with further `parameters` (`&limit=10`).
pub fn history_url(url: &str, users: [&str; 2], parameters: &str) -> String {
    let [user1, user2] = users.map(encode);
    format!("{url}?user1={user1}&user2={user2}{parameters}")
}
