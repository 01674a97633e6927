//! The erasure of a user's data, as a job with a document of its own.
//!
//! ```json
//! {"_id": "erase:ana", "user_id": "ana", "state": "running", "after": "direct:3:ana:ben", "texts": 12, …}
//! ```
//!
//! Conversation by conversation, the user's texts are taken away, as if each were its own deletion; the user leaves the
//! groups, and names of groups that hold the user's id lose it. Numbers stay, and so does what others have written. An
//! interrupted job goes on behind the last conversation that is done; each step may be repeated.
//!
//! A text keeps its `client_message_id`: an outbox that sends it once more gets the ack of a duplicate, and brings no text back.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use crate::store::{JOBS, Limited, MEMBERS, MESSAGES, Member, Store, USERS, blanking, update_all};
use crate::{Content, ConversationId, Deadline, Draft, Error, Recipient, Result, Title, UserId};

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Texts that are taken away together.
const BATCH: usize = 1_000;

/// The time after which a job is to be repeated: a device that was away may have sent more by then, until its token
/// ended.
const REPEAT_AFTER: TimeDelta = TimeDelta::days(1);

/// What stands in the name of a group in place of the user's id.
const SOMEBODY: &str = "former member";

/// The document of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    _id: String,
    /// The user.
    pub user_id: UserId,
    /// How far it is.
    pub state: State,
    /// Whether texts stay.
    pub keep_texts: bool,
    /// When it began.
    pub started_at: bson::DateTime,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<bson::DateTime>,
    /// Whether an earlier one was done a day before it began, so that it need not be repeated.
    is_repetition: bool,
    /// The last conversation that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<ConversationId>,
    /// Conversations that are done.
    pub conversations: i64,
    /// Texts that were taken away.
    pub texts: i64,
    /// Groups that the user has left by it.
    pub groups: i64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs, or was interrupted.
    Running,
    /// It is done.
    Done,
}

impl Job {
    fn new(user_id: &UserId, keep_texts: bool, earlier: Option<&Self>) -> Self {
        let repeats = |job: &Self| match job.repeat_after() {
            Some(time) => time <= Utc::now(),
            None => job.is_repetition,
        };
        Self {
            is_repetition: earlier.is_some_and(repeats),
            _id: id(user_id),
            user_id: user_id.clone(),
            state: State::Running,
            keep_texts,
            started_at: bson::DateTime::now(),
            finished_at: None,
            after: None,
            conversations: 0,
            texts: 0,
            groups: 0,
        }
    }

    /// Returns when it is to be repeated, if it is.
    pub fn repeat_after(&self) -> Option<DateTime<Utc>> {
        let finished_at = self.finished_at.filter(|_| !self.is_repetition)?;
        DateTime::from_timestamp_millis(finished_at.timestamp_millis())?
            .checked_add_signed(REPEAT_AFTER)
    }
}

fn id(user_id: &UserId) -> String {
    format!("erase:{user_id}")
}

fn jobs(store: &Store) -> Collection<Job> {
    store.database().collection(JOBS)
}

/// Returns the jobs of all users, or of one.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub async fn find(store: &Store, user_id: Option<&UserId>) -> Result<Vec<Job>> {
    let filter = user_id.map_or_else(Document::new, |user_id| doc! {"_id": id(user_id)});
    let found = async { jobs(store).find(filter).await?.try_collect().await };
    found.await.map_err(failed)
}

/// Erases the data of a user, or goes on with it; with `keep_texts`, all but the texts. Calls `progress` after each
/// conversation, which may interrupt the job.
///
/// # Errors
///
/// [`Error::Unavailable`]. What is done stays done: run it again.
pub async fn run(
    store: &Store,
    user_id: &UserId,
    keep_texts: bool,
    mut progress: impl FnMut(&Job) -> ControlFlow<()>,
) -> Result<Job> {
    let earlier = find(store, Some(user_id)).await?.pop();
    let goes_on = |job: &&Job| job.state == State::Running && job.keep_texts == keep_texts;
    let mut job = match earlier.as_ref().filter(goes_on) {
        Some(interrupted) => interrupted.clone(),
        None => Job::new(user_id, keep_texts, earlier.as_ref()),
    };
    save(store, &job).await?;
    let erasure = Erasure { store, user_id };
    for member in erasure.memberships_after(job.after.as_ref()).await? {
        erasure.conversation(&member, &mut job).await?;
        job.after = Some(member.conversation_id);
        job.conversations += 1;
        save(store, &job).await?;
        if progress(&job).is_break() {
            return Ok(job);
        }
    }
    if !keep_texts {
        job.texts += erasure.delete_unnumbered().await?;
    }
    // At the end: the `$disconnect` of a connection that was closed records when the user was last seen.
    erasure.forget().await?;
    job.state = State::Done;
    job.finished_at = Some(bson::DateTime::now());
    save(store, &job).await?;
    Ok(job)
}

async fn save(store: &Store, job: &Job) -> Result<()> {
    let jobs = jobs(store);
    let save = jobs.replace_one(doc! {"_id": &job._id}, job).upsert(true);
    save.await.map_err(failed)?;
    Ok(())
}

/// An erasure under way.
struct Erasure<'a> {
    store: &'a Store,
    user_id: &'a UserId,
}

impl Erasure<'_> {
    /// Deletes what is only the user's: settings, the time at which the user was last seen, rate limits.
    async fn forget(&self) -> Result<()> {
        let users = self.store.database().collection::<Document>(USERS);
        let user = users.delete_one(doc! {"_id": self.user_id.as_str()});
        user.await.map_err(failed)?;
        for limit in Limited::OF_USERS {
            let fill = self
                .store
                .fill_limit(limit, self.user_id.as_str(), deadline());
            fill.await?;
        }
        Ok(())
    }

    /// Returns the memberships of the user behind a conversation, in the order of ids.
    async fn memberships_after(&self, after: Option<&ConversationId>) -> Result<Vec<Member>> {
        let memberships = self.store.inspect_memberships_by_log(self.user_id);
        let mut memberships: Vec<Member> = memberships.await?;
        memberships.retain(|it| Some(&it.conversation_id) > after);
        memberships.sort_by(|a, b| a.conversation_id.cmp(&b.conversation_id));
        Ok(memberships)
    }

    async fn conversation(&self, member: &Member, job: &mut Job) -> Result<()> {
        let id = &member.conversation_id;
        if id.is_group() && member.membership.is_member() {
            job.groups += i64::from(self.leave(id).await?);
        }
        if !job.keep_texts {
            job.texts += self.blank_texts(id).await.map_err(failed)?;
        }
        if id.is_group() && self.rename(id).await.map_err(failed)? {
            self.store.rebuild_group(id, deadline()).await?;
        }
        self.reset(id).await.map_err(failed)
    }

    /// Returns whether the user has left a group by this.
    async fn leave(&self, group: &ConversationId) -> Result<bool> {
        let content = Content::Leave {
            user: self.user_id.clone(),
            new_owner: None,
        };
        let recipient = Recipient::Group(group.clone());
        let draft = Draft::new(self.user_id.clone(), recipient, content);
        match self.store.append(&draft, Utc::now(), deadline()).await {
            Ok(_) => Ok(true),
            // An interrupted run, or the user, was first.
            Err(Error::Rejected(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the user's texts in a conversation away. Returns their number.
    async fn blank_texts(&self, id: &ConversationId) -> Result<i64, DriverError> {
        #[derive(Deserialize)]
        struct Found {
            _id: ObjectId,
        }
        let entries = self.store.database().collection::<Found>(MESSAGES);
        let own = doc! {
            "conversation_id": id.as_str(),
            "sender_id": self.user_id.as_str(),
            "message": {"$gt": ""},
        };
        let found = entries.find(own).projection(doc! {"_id": 1}).await?;
        let mut batches = pin!(found.map_ok(|it| it._id).try_chunks(BATCH));
        let mut blanked = 0;
        while let Some(ids) = batches.try_next().await.map_err(|it| it.1)? {
            let database = self.store.database();
            let reply = update_all(database, MESSAGES, blanking(&ids), false).await?;
            blanked += reply.into_done()?.n();
        }
        Ok(blanked as i64)
    }

    /// Deletes what the user wrote in the old system and the migration has not numbered yet: no number is missing then.
    /// Returns their number.
    async fn delete_unnumbered(&self) -> Result<i64> {
        let entries = self.store.database().collection::<Document>(MESSAGES);
        let unnumbered = doc! {
            "sender_id": self.user_id.as_str(),
            "conversation_id": {"$exists": false},
        };
        let deleted = entries.delete_many(unnumbered).await.map_err(failed)?;
        Ok(deleted.deleted_count as i64)
    }

    /// Replaces the user's id in the names that a group has had. Returns whether there was one.
    async fn rename(&self, id: &ConversationId) -> Result<bool, DriverError> {
        #[derive(Deserialize)]
        struct Named {
            seq: i64,
            title: Title,
        }
        let entries = self.store.database().collection::<Named>(MESSAGES);
        let names = doc! {"conversation_id": id.as_str(), "kind": {"$in": ["create", "rename"]}};
        let found: Vec<Named> = entries.find(names).await?.try_collect().await?;
        let user_id = self.user_id.as_str();
        let updates = found.iter().filter_map(|it| {
            let name = without_id(it.title.as_str(), user_id)?;
            // It may be longer than a name may be.
            let name =
                Title::try_from(name).map_or(SOMEBODY.to_owned(), |it| it.as_str().to_owned());
            Some(doc! {
                "q": {"conversation_id": id.as_str(), "seq": it.seq},
                "u": {"$set": {"title": name}},
            })
        });
        let updates: Vec<Document> = updates.collect();
        if updates.is_empty() {
            return Ok(false);
        }
        let reply = update_all(self.store.database(), MESSAGES, updates, false).await?;
        reply.into_done()?;
        Ok(true)
    }

    /// Forgets how far the user has a conversation, and what the user has set for it.
    async fn reset(&self, id: &ConversationId) -> Result<(), DriverError> {
        let members = self.store.database().collection::<Document>(MEMBERS);
        let own = doc! {"conversation_id": id.as_str(), "user_id": self.user_id.as_str()};
        let own_state = doc! {"$unset": {
            "read": "", "delivered": "", "muted": "", "withheld": "", "marks_at_block": "",
        }};
        members.update_one(own, own_state).await?;
        Ok(())
    }
}

/// Returns a name without a user's id, where it stands for itself: `ana` is no part of "banana", nor of another user's
/// address. `None` if it does not stand there.
fn without_id(name: &str, user_id: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '@';
    let (mut replaced, mut copied) = (String::new(), 0);
    for (start, _) in name.match_indices(user_id) {
        let end = start + user_id.len();
        let is_longer = name[..start].ends_with(is_part) || name[end..].starts_with(is_part);
        if !is_longer {
            replaced.push_str(&name[copied..start]);
            replaced.push_str(SOMEBODY);
            copied = end;
        }
    }
    replaced.push_str(&name[copied..]);
    (copied > 0).then_some(replaced)
}

fn deadline() -> Deadline {
    Deadline::after(TIMEOUT)
}

fn failed(error: DriverError) -> Error {
    Error::unavailable("erasure of a user's data")(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_out_of_a_name_where_it_stands_for_itself() {
        for (name, user_id, expected) in [
            ("Exam of eve", "eve", Some("Exam of former member")),
            (
                "eve's, and eve.",
                "eve",
                Some("former member's, and former member."),
            ),
            (
                "eve@example.com (lab)",
                "eve@example.com",
                Some("former member (lab)"),
            ),
            ("Übung (ömer)", "ömer", Some("Übung (former member)")),
            (
                "ana and banana club",
                "ana",
                Some("former member and banana club"),
            ),
            ("Math class", "a", None),
            ("Lab of eve@example.com", "eve", None),
            ("Évents", "vents", None),
            ("", "eve", None),
        ] {
            assert_eq!(without_id(name, user_id).as_deref(), expected, "{name}");
        }
    }
}
