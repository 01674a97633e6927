//! Pages of the history, with their record.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tests::client::{Error, History, Message};

use crate::history::{Form, Outcome, Read, conversation_id, group_id};
use crate::recorder::Recorder;
use crate::session::REQUEST_TIMEOUT;

/// A conversation of two users, or a group.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// The two users. Of a group, all who may ever be in it, its creator first.
    pub users: Vec<String>,
    /// The id under which a group is created.
    pub creation_id: Option<String>,
    /// What those who join a group may read.
    pub history: Option<&'static str>,
}

impl Conversation {
    /// Returns the conversation of two users.
    pub fn of(a: &str, b: &str) -> Self {
        Self {
            id: conversation_id(a, b),
            users: vec![a.to_owned(), b.to_owned()],
            creation_id: None,
            history: None,
        }
    }

    /// Returns a group that the first one of its users creates under an id.
    pub fn group(creation_id: &str, users: Vec<String>, history: &'static str) -> Self {
        Self {
            id: group_id(&users[0], creation_id),
            users,
            creation_id: Some(creation_id.to_owned()),
            history: Some(history),
        }
    }

    /// Whether it is a group.
    pub fn is_group(&self) -> bool {
        self.creation_id.is_some()
    }

    /// Returns the other user of two.
    pub fn peer_of(&self, user_id: &str) -> Option<&str> {
        let peer = self.users.iter().find(|user| *user != user_id);
        peer.filter(|_| !self.is_group()).map(String::as_str)
    }
}

/// Reads and records pages of conversations for one reader.
pub struct Pages {
    reader: String,
    user_id: String,
    form: Form,
    history: History,
    recorder: Arc<Recorder>,
}

impl Pages {
    /// A reader, by its name and user, of a form of the history at an origin.
    pub fn new(
        (reader, user_id): (String, &str),
        form: Form,
        base: &str,
        recorder: Arc<Recorder>,
    ) -> Self {
        let url = format!("{base}/chat/history");
        Self {
            reader,
            user_id: user_id.to_owned(),
            form,
            history: History::new(url, None, REQUEST_TIMEOUT),
            recorder,
        }
    }

    /// Reads the page after a number; `None` if it does not come. Of a group in which the user never was there is nothing
    /// to read.
    pub async fn read(
        &self,
        conversation: &Conversation,
        after: i64,
        limit: usize,
    ) -> Option<Vec<Arc<Message>>> {
        let start = self.recorder.now();
        let (outcome, messages) = match self.request(conversation, after, limit).await {
            Ok(page) => (Outcome::Ok, self.share(page, &conversation.id)),
            Err(error) => (error.into(), Vec::new()),
        };
        let read = Read {
            reader: self.reader.clone(),
            user_id: self.user_id.clone(),
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
        let is_read =
            read.outcome == Outcome::Ok || (conversation.is_group() && read.outcome.is_forbidden());
        let page = is_read.then(|| read.messages.clone());
        self.recorder.record(|history| history.reads.push(read));
        page
    }

    async fn request(
        &self,
        conversation: &Conversation,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        if self.form == Form::Log {
            let (id, user_id) = (&conversation.id, &self.user_id);
            return self.history.log(id, user_id, after, limit).await;
        }
        let users = [0, 1].map(|index| conversation.users[index].as_str());
        self.history.page(users, after, limit).await
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
