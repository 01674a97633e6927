//! Edits and deletions of texts.

use std::time::Duration;

use chat::protocol::{Ack, ChangeFrame};
use chat::store::Appended;
use chat::{
    ClientMessageId, Code, ConnectionId, Content, Deadline, Draft, Entry, Error, Kind, Rejection,
    Result, UserId, timestamp,
};
use chat_lambda::env;
use chrono::{DateTime, Utc};

use crate::deliver::deliver;
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
    /// [`Error::Config`]: one of them is no number.
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
    let recipient = frame.target.recipient(&sender_id)?;
    let target_seq = frame.seq;
    let content = match frame.message {
        Some(message) => Content::Edit {
            target_seq,
            message,
        },
        None => Content::Delete {
            target_seq,
            of_other: false,
        },
    };
    Ok(Draft {
        client_message_id,
        after: frame.after,
        ..Draft::new(sender_id, recipient, content)
    })
}

/// Stores a change, applies it to its text, then delivers it to modern clients, within the limits of messages.
///
/// # Errors
///
/// - [`Code::MessageNotFound`], [`Code::Forbidden`], [`Code::TooLate`], [`Code::RateLimited`],
///   [`Code::IdConflict`]: nothing is stored.
/// - [`Error::Unavailable`]: it may or may not be stored, or not yet be applied. A
///   resend is safe, and completes it.
pub async fn change(
    mut draft: Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let sender_id = draft.sender_id.clone();
    let conversation_id = draft.conversation_id.clone();
    let changing = async {
        let mut appended = append(&mut draft, now, deadline, deps).await?;
        deps.store.apply(&mut appended.entry, deadline).await?;
        deliver(&draft, appended, origin, now, deadline, deps).await
    };
    send::limited(&sender_id, &conversation_id, deadline, deps, changing).await
}

/// Stores a change, if its text may be changed. One that was stored earlier has changed what that rests on, and is
/// found by its id.
async fn append(
    draft: &mut Draft,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Appended> {
    match check(draft, now, deadline, deps).await {
        Ok(()) => {
            let storing = deps.store.append(draft, now, deadline);
            send::store_in_group(draft, deadline, deps, storing).await
        }
        Err(Error::Rejected(rejection)) => {
            let earlier = deps.store.earlier(draft, deadline).await?;
            Ok(earlier.ok_or(rejection)?)
        }
        Err(error) => Err(error),
    }
}

/// Checks that the sender is in the conversation, and that the text may be changed.
async fn check(
    draft: &mut Draft,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    let id = &draft.conversation_id;
    if id.is_group() {
        // Else a stranger would learn from the answers which groups there are, and what is in them.
        deps.store
            .check_member(id, &draft.sender_id, deadline)
            .await?;
    }
    let target_seq = draft.content.target_seq().expect("a change has a target");
    let target = deps.store.entry(id, target_seq, deadline).await?;
    check_target(draft, target, now, deps)?;
    Ok(())
}

/// Checks that the text which a change is about may be changed. That it is another user's is noted in the draft: an
/// owner of a group may delete it, which the store checks.
fn check_target(
    draft: &mut Draft,
    target: Option<Entry>,
    now: DateTime<Utc>,
    deps: &Deps,
) -> Result<(), Rejection> {
    let target = target.filter(Entry::is_visible_text).ok_or_else(|| {
        Rejection::new(Code::MessageNotFound, "There is no such message any more.")
    })?;
    if target.sender_id != draft.sender_id.as_str() {
        match &mut draft.content {
            Content::Delete { of_other, .. } if draft.receiver_id.is_none() => *of_other = true,
            _ => {
                return Err(Rejection::new(
                    Code::Forbidden,
                    "You can change only messages of your own.",
                ));
            }
        }
        return Ok(());
    }
    let window = deps.windows.of(draft.content.kind());
    let sent = timestamp::parse(&target.timestamp);
    let age = sent.map(|sent| (now - sent).to_std().unwrap_or_default());
    if age.is_none_or(|age| age > window) {
        return Err(Rejection::new(
            Code::TooLate,
            "This message is too old to be changed.",
        ));
    }
    Ok(())
}
