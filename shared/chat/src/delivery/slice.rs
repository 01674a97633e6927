//! Parts of the recipients of an entry of a large group.
//!
//! An entry for many connections is acknowledged before its pushes: each part of its recipients becomes a message of a
//! queue, and whoever consumes the queue delivers it. The parts are ranges of user ids, since neither side needs to
//! read the other's: the sender of an entry knows the members, and the consumer finds those of a range by an index.
//!
//! A message may come late, twice or in another order. The consumer reads the entry as it is then, a text of
//! it in its newest wording, and clients drop the numbers that they have.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::push::Deliveries;
use super::{Audience, Delivery, Recipients};
use crate::protocol::ServerFrame;
use crate::{ConnectionId, ConversationId, Deadline, Entry, Error, Result, UserId};

/// The users of one part, which have some 300 connections: half a second at most for one consumer.
pub const SLICE_USERS: usize = 200;

/// A part of the recipients of an entry.
///
/// ```json
/// {"conversation_id": "group:kB0yXW7Xw1yJ0QyYb8fN0A", "seq": 7,
///  "from_user": "ana@example.com", "to_user": "joe@example.com", "except": "PJqB0fHsqRcCHlw="}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The group.
    pub conversation_id: ConversationId,
    /// The number of the entry.
    pub seq: i64,
    /// The first user, in the order of the bytes of ids.
    pub from_user: UserId,
    /// The last user.
    pub to_user: UserId,
    /// The connection that the entry came on, which gets no push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<ConnectionId>,
}

impl Slice {
    /// Returns the parts of the recipients of an entry, who are in the order of their ids.
    pub fn all(
        entry: &Entry,
        recipients: &[UserId],
        except: Option<&ConnectionId>,
    ) -> impl Iterator<Item = Self> {
        let chunks = recipients.chunks(SLICE_USERS);
        let ends = chunks.filter_map(|users| users.first().zip(users.last()));
        ends.map(move |(first, last)| Self {
            conversation_id: entry.conversation_id.clone(),
            seq: entry.seq,
            from_user: first.clone(),
            to_user: last.clone(),
            except: except.cloned(),
        })
    }

    /// Returns the slice as JSON in ASCII: an id may have characters that SQS does not take.
    ///
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string(self).expect("its fields are texts and a number");
        let mut ascii = String::with_capacity(json.len());
        for character in json.chars() {
            if character.is_ascii() {
                ascii.push(character);
                continue;
            }
            // Outside of ASCII there are the texts alone.
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(ascii, "\\u{unit:04x}").expect("a string takes all");
            }
        }
        ascii
    }

    /// Reads a slice.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it is none. The cause does not repeat the text.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| {
            let cause = format!("{:?} error at column {}", error.classify(), error.column());
            Error::unavailable("reading of a slice")(cause)
        })
    }
}

/// The outcome of a slice.
pub struct DeliveredSlice {
    /// The entry.
    pub entry: Entry,
    /// The users.
    pub users: Vec<UserId>,
    /// The outcome at their connections.
    pub deliveries: Deliveries,
}

impl Delivery {
    /// Delivers an entry to the users of a slice. Returns `None` if there is no such entry any more.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the database failed, so some of the connections may have nothing. It is safe to try
    /// again.
    pub async fn deliver_slice(
        &self,
        slice: &Slice,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Option<DeliveredSlice>> {
        let (id, seq) = (&slice.conversation_id, slice.seq);
        let range = [&slice.from_user, &slice.to_user];
        let (entry, users) = tokio::try_join!(
            self.store.entry(id, seq, deadline),
            self.store.recipients_between(id, seq, range, deadline),
        )?;
        let Some(entry) = entry else {
            return Ok(None);
        };
        let to = Recipients {
            users: &users,
            audience: Audience::of(&entry),
            except: slice.except.as_ref(),
            sender: None,
        };
        let frame = ServerFrame::entry(entry.clone()).to_json().into();
        let deliveries = self.deliver(to, frame, None, now, deadline).await;
        let deliveries = deliveries.unwrap_or_default();
        if deliveries.is_incomplete {
            return Err(Error::unavailable("delivery of a slice")(
                "the connections could not be read",
            ));
        }
        Ok(Some(DeliveredSlice {
            entry,
            users,
            deliveries,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ClientMessageId, Kind};

    fn user(id: &str) -> UserId {
        UserId::try_from(id.to_owned()).expect("a valid id")
    }

    fn entry() -> Entry {
        let id = ClientMessageId::try_from("g".to_owned()).expect("a valid id");
        Entry {
            message_id: String::new(),
            conversation_id: ConversationId::group(&user("a"), &id),
            seq: 7,
            sender_id: "a".to_owned(),
            receiver_id: None,
            kind: Kind::Text,
            target_seq: None,
            users: Vec::new(),
            title: None,
            role: None,
            new_owner: None,
            history: Default::default(),
            message: String::new(),
            timestamp: String::new(),
            client_message_id: None,
            edited_seq: None,
            deleted_seq: None,
            withheld: false,
        }
    }

    #[test]
    fn a_message_of_the_queue_has_these_fields() {
        let users = ["ana", "joe"].map(user);
        let except = ConnectionId::from("PJqB0fHsqRcCHlw=".to_owned());
        let slices: Vec<_> = Slice::all(&entry(), &users, Some(&except)).collect();
        let json = r#"{"conversation_id":"group:z2nXEi-u8FSv4Mti5M1Ptm","seq":7,"from_user":"ana","to_user":"joe","except":"PJqB0fHsqRcCHlw="}"#;
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0].to_json(), json);
    }

    #[test]
    fn what_is_no_slice_is_rejected_without_being_repeated() {
        for text in [
            "",
            "secret",
            "{}",
            r#"{"conversation_id":"g","seq":"secret","from_user":"a","to_user":"b"}"#,
            r#"{"conversation_id":"g","seq":1,"from_user":"secret\u0000","to_user":"b"}"#,
        ] {
            let error = Slice::from_json(text).expect_err(text).chain();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_recipient_is_in_one_slice(count in 0..3 * SLICE_USERS) {
            let mut users: Vec<UserId> = (0..count).map(|number| user(&format!("u{number}"))).collect();
            users.sort();
            let slices: Vec<_> = Slice::all(&entry(), &users, None).collect();
            for one in &users {
                let has = |slice: &&Slice| (&slice.from_user..=&slice.to_user).contains(&one);
                prop_assert_eq!(slices.iter().filter(has).count(), 1);
            }
            prop_assert_eq!(slices.len(), count.div_ceil(SLICE_USERS));
        }

        #[test]
        fn any_ids_pass_the_queue(first in "\\PC{1,40}", last in "[\u{fffe}\u{ffff}é\u{1f600}\"\\\\a]{1,10}") {
            let slice = Slice {
                conversation_id: entry().conversation_id,
                seq: i64::MAX,
                from_user: user(&first),
                to_user: user(&last),
                except: None,
            };
            let json = slice.to_json();
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            prop_assert_eq!(Slice::from_json(&json).expect("a slice"), slice);
        }
    }
}
