//! The topic for texts that no connection of a recipient has got.

use chat::delivery::offline::announcement;
use chat::delivery::push::Deliveries;
use chat::{Deadline, Entry, Result, Store, UserId};

use crate::env::{invalid, optional};
use crate::topic::Topic;

/// The topic, and what is told there.
#[derive(Debug)]
pub struct OfflineTopic {
    topic: Topic,
    /// Whether announcements have the texts.
    with_text: bool,
}

impl OfflineTopic {
    /// Reads `OFFLINE_TOPIC_ARN`: the topic; `None` where it is not set. `OFFLINE_TOPIC_TEXTS` `on`: announcements
    /// have the texts; default `off`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Option<Self>> {
        const TEXTS: &str = "OFFLINE_TOPIC_TEXTS";
        let with_text = match optional(TEXTS)?.as_deref() {
            Some("on") => true,
            None | Some("off") => false,
            Some(_) => return Err(invalid(TEXTS, "is neither on nor off")),
        };
        let topic = Topic::from_env("OFFLINE_TOPIC_ARN")?;
        Ok(topic.map(|topic| Self { topic, with_text }))
    }

    /// Announces an entry to those of `users` of whom no connection has got it. A failure is logged: the text is
    /// stored.
    pub async fn announce(
        &self,
        store: &Store,
        entry: &Entry,
        users: &[UserId],
        deliveries: &Deliveries,
        deadline: Deadline,
    ) {
        let announced = async {
            let found = announcement(store, entry, users, deliveries, self.with_text, deadline);
            let Some(announcement) = found.await? else {
                return Ok(false);
            };
            let publishing = self.topic.publish(announcement.to_json(), deadline);
            publishing.await.map(|()| true)
        };
        match announced.await {
            Ok(false) => {}
            Ok(true) => tracing::info!(monotonic_counter.Announced = 1, "text announced"),
            Err(error) => tracing::error!(
                cause = error.chain(),
                monotonic_counter.NotAnnounced = 1,
                "text not announced"
            ),
        }
    }
}
