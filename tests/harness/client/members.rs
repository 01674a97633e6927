//! The members of a group.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, Http, encode};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The user.
    pub user_id: String,
    /// The role: `owner` or `member`.
    pub role: String,
    /// The number by which the user joined.
    pub joined_seq: i64,
}

/// Reads the members of groups.
pub struct Members {
    http: Http,
    url: String,
    timeout: Duration,
}

impl Members {
    /// A reader of members at a URL (`https://…/chat/members`) without authorization.
    pub fn new(url: String, timeout: Duration) -> Self {
        Self {
            http: Http::default(),
            url,
            timeout,
        }
    }

    /// Reads the members of a group, the longest first, as a user sees them.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the status is not 200.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    /// - [`Error::Malformed`]: the body is no array of members.
    pub async fn read(&self, conversation_id: &str, user_id: &str) -> Result<Vec<Member>, Error> {
        let (url, id, user) = (&self.url, encode(conversation_id), encode(user_id));
        let url = format!("{url}?conversation_id={id}&user={user}");
        self.http.get_json(&url, None, self.timeout).await
    }
}
