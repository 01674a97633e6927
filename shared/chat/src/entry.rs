//! The entries of a conversation's log: texts, and what changes them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::group::{History, Role, Title};
use crate::{ClientMessageId, Code, ConversationId, Rejection, UserId, timestamp};

/// The users to whom an entry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// One user.
    User(UserId),
    /// The members of a group.
    Group(ConversationId),
}

impl Recipient {
    /// Returns the conversation of `user` with the recipient.
    pub fn conversation_id(&self, user: &UserId) -> ConversationId {
        match self {
            Self::User(peer) => ConversationId::direct(user, peer),
            Self::Group(id) => id.clone(),
        }
    }
}

/// An entry that is valid but not yet stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The sender, verified.
    pub sender_id: UserId,
    /// The receiver; `None` in a group.
    pub receiver_id: Option<UserId>,
    /// What it says.
    pub content: Content,
    /// The sender's own id for it, if the frame has one; makes resends safe.
    pub client_message_id: Option<ClientMessageId>,
    /// The number up to which the sender has the conversation, if the frame says so. It tells where to
    /// look for the newest number; a wrong one does no harm.
    pub after: Option<i64>,
}

impl Draft {
    /// Returns the draft of an entry from `sender_id` to `recipient`.
    pub fn new(sender_id: UserId, recipient: Recipient, content: Content) -> Self {
        Self {
            conversation_id: recipient.conversation_id(&sender_id),
            sender_id,
            receiver_id: match recipient {
                Recipient::User(receiver_id) => Some(receiver_id),
                Recipient::Group(_) => None,
            },
            content,
            client_message_id: None,
            after: None,
        }
    }

    /// Checks that the entry which is stored under this draft's `client_message_id` is its own: else this is
    /// another entry and not a resend, and nobody may be told that it is stored.
    ///
    /// A text that was edited or deleted since has no longer the wording that was sent, so any is accepted.
    ///
    /// # Errors
    ///
    /// [`Code::IdConflict`].
    pub fn check_resend(&self, stored: &Entry) -> Result<(), Rejection> {
        let content = &self.content;
        let is_same = content.kind() == stored.kind
            && content.target_seq() == stored.target_seq
            && content.title() == stored.title.as_ref()
            && content.role() == stored.role
            && content.history() == stored.history
            // An invitation leaves out who was in the group already.
            && stored.users.iter().all(|user| content.users().contains(user));
        if is_same && (stored.is_changed() || content.message() == stored.message) {
            return Ok(());
        }
        Err(Rejection::new(
            Code::IdConflict,
            "Another message was sent under the same id. Please write this one again.",
        ))
    }
}

/// What an entry says.
#[derive(Debug, Clone)]
pub enum Content {
    /// A text.
    Text(Text),
    /// The text under another number has this wording from now on.
    Edit {
        /// The number of the text.
        target_seq: i64,
        /// The new wording.
        message: Text,
    },
    /// The text under another number is taken back.
    Delete {
        /// The number of the text.
        target_seq: i64,
        /// Whether another user has written it, which takes an owner of the group.
        of_other: bool,
    },
    /// A group begins.
    Create {
        /// Its name.
        title: Title,
        /// Its members, the creator first.
        users: Vec<UserId>,
        /// What members may read of the time before they join.
        history: History,
    },
    /// Users join the group.
    Join {
        /// The users.
        users: Vec<UserId>,
    },
    /// A user leaves the group, or is removed.
    Leave {
        /// The user.
        user: UserId,
        /// The member who becomes an owner, as the last one leaves.
        new_owner: Option<UserId>,
    },
    /// The group has another name.
    Rename {
        /// The name.
        title: Title,
    },
    /// A member has another role.
    SetRole {
        /// The member.
        user: UserId,
        /// The role.
        role: Role,
    },
}

impl Content {
    /// The users that one entry names at most. Their ids fit into a frame.
    pub const MAX_USERS: usize = 50;

    /// Returns the kind of the entry.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Edit { .. } => Kind::Edit,
            Self::Delete { .. } => Kind::Delete,
            Self::Create { .. } => Kind::Create,
            Self::Join { .. } => Kind::Join,
            Self::Leave { .. } => Kind::Leave,
            Self::Rename { .. } => Kind::Rename,
            Self::SetRole { .. } => Kind::Role,
        }
    }

    /// Returns the text; empty where there is none.
    pub fn message(&self) -> &str {
        match self {
            Self::Text(message) | Self::Edit { message, .. } => message.as_str(),
            _ => "",
        }
    }

    /// Returns the number of the text that it changes.
    pub fn target_seq(&self) -> Option<i64> {
        match *self {
            Self::Edit { target_seq, .. } | Self::Delete { target_seq, .. } => Some(target_seq),
            _ => None,
        }
    }

    /// Returns the users who join, leave or get a role.
    pub fn users(&self) -> &[UserId] {
        match self {
            Self::Create { users, .. } | Self::Join { users } => users,
            Self::Leave { user, .. } | Self::SetRole { user, .. } => std::slice::from_ref(user),
            _ => &[],
        }
    }

    /// Returns the new name of the group.
    pub fn title(&self) -> Option<&Title> {
        match self {
            Self::Create { title, .. } | Self::Rename { title } => Some(title),
            _ => None,
        }
    }

    /// Returns the new role of a member.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::SetRole { role, .. } => Some(*role),
            _ => None,
        }
    }

    /// Returns the member who becomes an owner, as the last one leaves.
    pub fn new_owner(&self) -> Option<&UserId> {
        match self {
            Self::Leave { new_owner, .. } => new_owner.as_ref(),
            _ => None,
        }
    }

    /// Returns what members of a new group may read of the time before they join.
    pub fn history(&self) -> History {
        match self {
            Self::Create { history, .. } => *history,
            _ => History::default(),
        }
    }

    /// Returns whether only an owner of a group may write it.
    pub fn needs_owner(&self) -> bool {
        match self {
            Self::Text(_) | Self::Edit { .. } | Self::Create { .. } => false,
            Self::Delete { of_other, .. } => *of_other,
            Self::Join { .. } | Self::Leave { .. } | Self::Rename { .. } | Self::SetRole { .. } => {
                true
            }
        }
    }
}

/// The kind of an entry, which is left out where it is a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    #[default]
    Text,
    /// Another wording of a text.
    Edit,
    /// The end of a text.
    Delete,
    /// The beginning of a group.
    Create,
    /// Users join a group.
    Join,
    /// A user leaves a group.
    Leave,
    /// A group has another name.
    Rename,
    /// A member has another role.
    Role,
}

impl Kind {
    /// The kinds that change a group.
    pub(crate) const OF_GROUPS: [&str; 5] = ["create", "join", "leave", "rename", "role"];

    /// Returns whether it is a text.
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// The text of a message: 1–[`Text::MAX_BYTES`] bytes of UTF-8, as received.
///
/// `Debug` prints its length only: message text never reaches a log.
#[derive(Clone)]
pub struct Text(String);

impl Text {
    /// Size limit of a text in bytes of UTF-8.
    ///
    /// API Gateway delivers at most 131,072 bytes at once ([quotas]). JSON escapes a byte with at
    /// most 6, so the text takes at most 98,304 of them and leaves room for the other fields.
    ///
    /// [quotas]: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    pub const MAX_BYTES: usize = 16_384;

    /// Returns the text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for Text {
    type Error = Rejection;

    /// # Errors
    ///
    /// [`Code::MessageEmpty`] and [`Code::MessageTooLong`].
    fn try_from(text: String) -> Result<Self, Rejection> {
        if text.is_empty() {
            return Err(Rejection::new(Code::MessageEmpty, "The message is empty."));
        }
        if text.len() > Self::MAX_BYTES {
            return Err(Rejection::new(
                Code::MessageTooLong,
                format!(
                    "The message has {} bytes; at most {} are allowed.",
                    text.len(),
                    Self::MAX_BYTES
                ),
            ));
        }
        Ok(Self(text))
    }
}

/// A stored entry, with the fields of the protocol.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The id of the stored document, in hex.
    pub message_id: String,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number in the conversation: 1, 2, 3, … without holes; 0 and below for messages of the
    /// old system.
    pub seq: i64,
    /// The sender.
    pub sender_id: String,
    /// The receiver; none in a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_id: Option<String>,
    /// The kind.
    #[serde(skip_serializing_if = "Kind::is_text")]
    pub kind: Kind,
    /// The number of the text that it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_seq: Option<i64>,
    /// The users who join or leave the group, or get a role in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserId>,
    /// The new name of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    /// The new role of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The member who becomes an owner, as the last one leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_owner: Option<UserId>,
    /// What members of a new group may read of the time before they join.
    #[serde(skip_serializing_if = "History::is_default")]
    pub history: History,
    /// The text, in its newest wording; empty if it was deleted.
    pub message: String,
    /// The time at which it was stored, in the form of [`timestamp::format`].
    /// Messages of the old system keep their form.
    pub timestamp: String,
    /// The sender's own id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// The number of the edit whose wording it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_seq: Option<i64>,
    /// The number of the entry that has deleted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_seq: Option<i64>,
    /// Whether the text is withheld from the reader, who had blocked the sender.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

impl Entry {
    /// Returns the receiver, then the sender; one if they are the same user. None of a group's.
    pub(crate) fn direct_users(&self) -> Vec<UserId> {
        let mut users = vec![self.receiver_id.clone(), Some(self.sender_id.clone())];
        users.dedup();
        let users = users.into_iter().flatten().map(UserId::try_from);
        users.filter_map(Result::ok).collect()
    }

    /// Returns whether it is a text that is not deleted.
    pub fn is_visible_text(&self) -> bool {
        self.kind.is_text() && self.deleted_seq.is_none()
    }

    /// Takes its text away if it is older than a time. A text is then its own deletion.
    pub(crate) fn hide_before(&mut self, time: DateTime<Utc>) {
        if timestamp::parse(&self.timestamp).is_some_and(|it| it < time) {
            self.message.clear();
            if self.is_visible_text() {
                self.deleted_seq = Some(self.seq);
            }
        }
    }

    /// Returns whether its text is no longer the one that was sent. The text of an edit is taken away when its
    /// target is deleted.
    fn is_changed(&self) -> bool {
        let is_blank = self.kind == Kind::Edit && self.message.is_empty();
        is_blank || self.edited_seq.is_some() || self.deleted_seq.is_some()
    }
}
