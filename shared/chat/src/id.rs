//! User, conversation, connection and client message ids.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Code, Rejection};

/// The beginning of the id of a group.
const GROUP: &str = "group:";

/// A user: any text of 1–254 bytes without control characters, as received.
///
/// Nothing is trimmed, folded or normalised, so the id means the same in the query string, the
/// path and the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(String);

impl UserId {
    /// Size limit in bytes of UTF-8: that of an e-mail address.
    pub const MAX_BYTES: usize = 254;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = Rejection;

    /// # Errors
    ///
    /// [`Code::InvalidUserId`]: empty, longer than [`UserId::MAX_BYTES`], or with a control
    /// character.
    fn try_from(id: String) -> Result<Self, Rejection> {
        let problem = if id.is_empty() {
            "is empty".to_owned()
        } else if id.len() > Self::MAX_BYTES {
            format!("is longer than {} bytes", Self::MAX_BYTES)
        } else if id.chars().any(char::is_control) {
            "holds a control character".to_owned()
        } else {
            return Ok(Self(id));
        };
        Err(Rejection::new(
            Code::InvalidUserId,
            format!("The user id {problem}."),
        ))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A conversation.
///
/// - Of two users: `direct:{bytes of the first id}:{first id}:{second id}`, the ids in byte order. The length
///   marks the end of the first id, so no separators inside ids make two pairs collide.
/// - Of a group: `group:` and 22 characters of base64, a hash of its creator and of the creator's own id for it. So
///   a group that is created again by a resend is the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConversationId(String);

impl ConversationId {
    /// Returns the conversation of `a` and `b`, in either order.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Self(format!("direct:{}:{first}:{second}", first.0.len()))
    }

    /// Returns the group that `creator` has created under `client_message_id`.
    pub fn group(creator: &UserId, client_message_id: &ClientMessageId) -> Self {
        let hash = Sha256::new()
            .chain_update(creator.0.len().to_be_bytes())
            .chain_update(&creator.0)
            .chain_update(&client_message_id.0)
            .finalize();
        let mut id = URL_SAFE_NO_PAD.encode(hash);
        id.truncate(Self::GROUP_CHARS);
        Self(format!("{GROUP}{id}"))
    }

    /// The characters of a group's hash.
    const GROUP_CHARS: usize = 22;

    /// Returns whether it is that of a group, which may not exist.
    pub fn is_group(&self) -> bool {
        self.0.strip_prefix(GROUP).is_some_and(|hash| {
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            hash.len() == Self::GROUP_CHARS && hash.bytes().all(is_base64)
        })
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the two users of the conversation, in byte order; `None` if it is not that of two valid ids: it is
    /// that of a group, or a client has made it up.
    pub fn users(&self) -> Option<[UserId; 2]> {
        let (length, ids) = self.0.strip_prefix("direct:")?.split_once(':')?;
        let (first, rest) = ids.split_at_checked(length.parse().ok()?)?;
        let second = rest.strip_prefix(':')?;
        let users = [first, second].map(|id| UserId::try_from(id.to_owned()).ok());
        let [Some(first), Some(second)] = users else {
            return None;
        };
        // Any other form of the same pair is no id.
        (Self::direct(&first, &second) == *self).then_some([first, second])
    }
}

impl From<String> for ConversationId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of an open connection, assigned by API Gateway: opaque, URL-safe base64 ending in `=`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConnectionId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sender's own id for a message, any text of 1–128 bytes. A resend with the same id never makes a
/// second message, and another text under it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    /// Size limit in bytes of UTF-8.
    pub const MAX_BYTES: usize = 128;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientMessageId {
    type Error = Rejection;

    /// # Errors
    ///
    /// [`Code::InvalidFrame`]: empty, or longer than [`ClientMessageId::MAX_BYTES`].
    fn try_from(id: String) -> Result<Self, Rejection> {
        if id.is_empty() || id.len() > Self::MAX_BYTES {
            return Err(Rejection::new(
                Code::InvalidFrame,
                format!(
                    "`client_message_id` must have 1 to {} bytes.",
                    Self::MAX_BYTES
                ),
            ));
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::try_from(id.to_owned()).expect("a valid id")
    }

    #[test]
    fn a_user_id_has_1_to_254_bytes_and_no_control_characters() {
        for good in [
            "a",
            "prof+x@example.com",
            "a/b %20",
            "學生",
            " ",
            &"x".repeat(254),
        ] {
            assert!(UserId::try_from(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["", "a\nb", "\u{0}", "\u{7f}", "\u{85}", &"x".repeat(255)] {
            let rejection = UserId::try_from(bad.to_owned()).expect_err(bad);
            assert_eq!(rejection.code, Code::InvalidUserId);
        }
    }

    #[test]
    fn separators_inside_ids_do_not_make_pairs_collide() {
        let ids = ["a", "b", "a:b", ":", "1:a", "a:1", "direct:1:a", "b:c", "c"];
        let mut seen = std::collections::HashMap::new();
        for (i, a) in ids.iter().enumerate() {
            for b in &ids[i..] {
                let id = ConversationId::direct(&user(a), &user(b));
                assert_eq!(seen.insert(id, (a, b)), None);
            }
        }
    }

    /// Few letters, the separator and digits among them, so that collisions would be found.
    fn tricky_id() -> impl Strategy<Value = UserId> {
        "[ab:1d]{1,6}".prop_map(|id| user(&id))
    }

    proptest! {
        #[test]
        fn a_conversation_is_its_unordered_pair(
            a in tricky_id(), b in tricky_id(), c in tricky_id(), d in tricky_id(),
        ) {
            let same_pair = (a == c && b == d) || (a == d && b == c);
            let same_id = ConversationId::direct(&a, &b) == ConversationId::direct(&c, &d);
            prop_assert_eq!(same_pair, same_id);
        }

        #[test]
        fn a_pair_can_be_read_back_from_its_conversation(a in "\\PC{1,40}", b in "\\PC{1,40}") {
            let mut pair = [user(&a), user(&b)];
            let id = ConversationId::direct(&pair[0], &pair[1]);
            prop_assert_eq!(&id, &ConversationId::direct(&pair[1], &pair[0]));
            pair.sort_unstable();
            prop_assert_eq!(id.users(), Some(pair));
        }

        #[test]
        fn an_id_that_a_client_has_made_up_has_no_users(
            text in "(direct:)?[0-9+ ]{0,3}:?[ab:\u{e9}]{0,4}:?[ab:\u{0}]{0,4}",
        ) {
            let id = ConversationId::from(text);
            if let Some([a, b]) = id.users() {
                prop_assert_eq!(ConversationId::direct(&a, &b), id);
            }
        }
    }
}
