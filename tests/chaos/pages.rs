//! Pages of the history, written down.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::from_slice;
use tests::client::encode;

use crate::client::Http;
use crate::history::{Message, Outcome, Read, conversation_id};
use crate::recorder::Recorder;

/// A conversation of two users.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// The two users.
    pub users: [String; 2],
}

impl Conversation {
    /// That of two users.
    pub fn of(a: &str, b: &str) -> Self {
        Self {
            id: conversation_id(a, b),
            users: [a.to_owned(), b.to_owned()],
        }
    }

    /// The other user than this one.
    pub fn peer_of(&self, user_id: &str) -> &str {
        let [a, b] = &self.users;
        if a == user_id { b } else { a }
    }
}

/// Reads pages of conversations for one reader.
pub struct Pages {
    reader: String,
    base: String,
    http: Http,
    recorder: Arc<Recorder>,
}

impl Pages {
    /// For a reader of the history at a base address.
    pub fn new(reader: String, base: String, recorder: Arc<Recorder>) -> Self {
        Self {
            reader,
            base,
            http: Http::default(),
            recorder,
        }
    }

    /// The page after a number; nothing if it does not come.
    pub async fn read(
        &self,
        conversation: &Conversation,
        after: i64,
        limit: usize,
    ) -> Option<Vec<Arc<Message>>> {
        let [user1, user2] = conversation.users.each_ref().map(|user| encode(user));
        let query = format!("user1={user1}&user2={user2}&after={after}&limit={limit}");
        let url = format!("{}/chat/history?{query}", self.base);
        let start = self.recorder.now();
        let page = self.http.get(&url).await;
        let page = page.and_then(|body| self.parse(&body, &conversation.id));
        let (outcome, messages) = match page {
            Ok(messages) => (Outcome::Ok, messages),
            Err(outcome) => (outcome, Vec::new()),
        };
        let read = Read {
            reader: self.reader.clone(),
            conversation_id: conversation.id.clone(),
            after,
            limit,
            start,
            end: self.recorder.now(),
            outcome,
            messages,
        };
        self.recorder.counts.reads.fetch_add(1, Relaxed);
        let page = (read.outcome == Outcome::Ok).then(|| read.messages.clone());
        self.recorder.record(|history| history.reads.push(read));
        page
    }

    fn parse(&self, body: &[u8], id: &str) -> Result<Vec<Arc<Message>>, Outcome> {
        let text = || String::from_utf8_lossy(body).into_owned();
        let page: Vec<Message> = from_slice(body).map_err(|_| Outcome::Malformed(text()))?;
        let messages = page.into_iter().map(|message| {
            let conversation_id = id.to_owned();
            self.recorder.share(Message {
                conversation_id,
                ..message
            })
        });
        Ok(messages.collect())
    }
}
