//! Pages of the history, with their record.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tests::client::{History, Message};

use crate::history::{Form, Outcome, Read, conversation_id};
use crate::recorder::Recorder;
use crate::session::REQUEST_TIMEOUT;

/// A conversation of two users.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// The two users.
    pub users: [String; 2],
}

impl Conversation {
    /// Returns the conversation of two users.
    pub fn of(a: &str, b: &str) -> Self {
        Self {
            id: conversation_id(a, b),
            users: [a.to_owned(), b.to_owned()],
        }
    }

    /// Returns the other user.
    pub fn peer_of(&self, user_id: &str) -> &str {
        let [a, b] = &self.users;
        if a == user_id { b } else { a }
    }
}

/// Reads and records pages of conversations for one reader.
pub struct Pages {
    reader: String,
    form: Form,
    history: History,
    recorder: Arc<Recorder>,
}

impl Pages {
    /// A reader of a form of the history at an origin.
    pub fn new(reader: String, form: Form, base: &str, recorder: Arc<Recorder>) -> Self {
        let url = format!("{base}/chat/history");
        Self {
            reader,
            form,
            history: History::new(url, None, REQUEST_TIMEOUT),
            recorder,
        }
    }

    /// Reads the page after a number; `None` if it does not come.
    pub async fn read(
        &self,
        conversation: &Conversation,
        after: i64,
        limit: usize,
    ) -> Option<Vec<Arc<Message>>> {
        let users = conversation.users.each_ref().map(String::as_str);
        let start = self.recorder.now();
        let page = match self.form {
            Form::Log => self.history.log(&conversation.id, after, limit).await,
            Form::Texts => self.history.page(users, after, limit).await,
        };
        let (outcome, messages) = match page {
            Ok(page) => (Outcome::Ok, self.share(page, &conversation.id)),
            Err(error) => (error.into(), Vec::new()),
        };
        let read = Read {
            reader: self.reader.clone(),
            conversation_id: conversation.id.clone(),
            form: self.form,
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

    /// Adds the conversation, which pages leave out.
    fn share(&self, page: Vec<Message>, conversation_id: &str) -> Vec<Arc<Message>> {
        let messages = page.into_iter().map(|message| {
            self.recorder.share(Message {
                conversation_id: conversation_id.to_owned(),
                ..message
            })
        });
        messages.collect()
    }
}
