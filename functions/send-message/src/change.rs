//! Edits and deletions of texts.

use std::time::Duration;

use chat::protocol::{Ack, ChangeFrame};
use chat::store::Appended;
use chat::{
    ClientMessageId, Code, ConnectionId, Content, Deadline, Draft, Kind, Rejection, Result, UserId,
    timestamp,
};
use chat_lambda::env;
use chrono::{DateTime, Utc};

use crate::{Deps, send};

/// The default of both windows: a day, in seconds.
const DEFAULT_WINDOW_SECONDS: u32 = 86_400;

/// The time after a message in which it can be changed.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    edit: Duration,
    delete: Duration,
}

impl Windows {
    /// Reads `EDIT_WINDOW` and `DELETE_WINDOW`, in seconds: a day by default, and 0 for never.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): one of them is no number.
    pub fn from_env() -> Result<Self> {
        let seconds = |variable| env::number(variable, DEFAULT_WINDOW_SECONDS);
        Ok(Self {
            edit: Duration::from_secs(seconds("EDIT_WINDOW")?.into()),
            delete: Duration::from_secs(seconds("DELETE_WINDOW")?.into()),
        })
    }

    fn of(self, kind: Kind) -> Duration {
        if kind == Kind::Edit {
            self.edit
        } else {
            self.delete
        }
    }
}

/// Returns the entry of a frame that came from `sender_id`.
///
/// # Errors
///
/// [`Code::Forbidden`]: it is not a conversation of that user.
pub fn draft(
    frame: ChangeFrame,
    sender_id: UserId,
    client_message_id: Option<ClientMessageId>,
) -> Result<Draft, Rejection> {
    let receiver_id = frame.target.peer_of(&sender_id)?;
    let target_seq = frame.seq;
    let content = match frame.message {
        Some(message) => Content::Edit {
            target_seq,
            message,
        },
        None => Content::Delete { target_seq },
    };
    Ok(Draft {
        client_message_id,
        after: frame.after,
        ..Draft::new(sender_id, receiver_id, content)
    })
}

/// Stores a change, applies it to its text, then delivers it to modern clients, within the limit of the user's
/// messages.
///
/// # Errors
///
/// - [`Code::MessageNotFound`], [`Code::Forbidden`], [`Code::TooLate`], [`Code::RateLimited`],
///   [`Code::IdConflict`]: nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): it may or may not be stored, or not yet be applied. A
///   resend is safe, and completes it.
pub async fn change(
    draft: Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let changing = async {
        let mut appended = append(&draft, now, deadline, deps).await?;
        deps.store.apply(&mut appended.entry, deadline).await?;
        send::deliver(&draft, appended, origin, now, deadline, deps).await
    };
    send::limited(&draft, deadline, deps, changing).await
}

/// Stores a change, if its text may be changed. One that was stored earlier has changed what that rests on, and is
/// found by its id.
async fn append(
    draft: &Draft,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Appended> {
    match check(draft, now, deadline, deps).await? {
        Ok(()) => deps.store.append(draft, now, deadline).await,
        Err(rejection) => {
            let earlier = deps.store.earlier(draft, deadline).await?;
            Ok(earlier.ok_or(rejection)?)
        }
    }
}

/// Returns whether the text that a change is about may be changed.
async fn check(
    draft: &Draft,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Result<(), Rejection>> {
    let target = match draft.content.target_seq() {
        Some(seq) => deps.store.entry(&draft.conversation_id, seq, deadline),
        None => return Ok(Ok(())),
    };
    let target = target.await?;
    let Some(target) = target.filter(|it| it.kind.is_text() && it.deleted_seq.is_none()) else {
        return Ok(Err(Rejection::new(
            Code::MessageNotFound,
            "There is no such message any more.",
        )));
    };
    if target.sender_id != draft.sender_id.as_str() {
        return Ok(Err(Rejection::new(
            Code::Forbidden,
            "You can change only messages of your own.",
        )));
    }
    let window = deps.windows.of(draft.content.kind());
    let sent = timestamp::parse(&target.timestamp);
    let age = sent.map(|sent| (now - sent).to_std().unwrap_or_default());
    if age.is_none_or(|age| age > window) {
        return Ok(Err(Rejection::new(
            Code::TooLate,
            "This message is too old to be changed.",
        )));
    }
    Ok(Ok(()))
}
