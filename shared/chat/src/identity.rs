//! The user of a request, as the authorizer has verified it.
//!
//! API Gateway passes the context of the authorizer to every function that it calls for the same
//! connection or request, so no function has to look the user up.

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::UserId;

const USER_ID: &str = "user_id";
const EXPIRES_AT: &str = "expires_at";

/// All but the unreserved characters of RFC 3986 and `@`, so that e-mail addresses stay readable.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// The user of a connection or a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// When the token expires. `None` where there was none: authorization is off.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Identity {
    /// Reads the context of the authorizer, `requestContext.authorizer` of an event, whose values `get`
    /// returns by their names. Returns `None` if it names no user, or anything in it is malformed.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a Value>) -> Option<Self> {
        let user_id = percent_decode_str(get(USER_ID)?.as_str()?)
            .decode_utf8()
            .ok()?;
        let expires_at = match get(EXPIRES_AT) {
            None => None,
            Some(seconds) => Some(DateTime::from_timestamp(
                seconds.as_str()?.parse().ok()?,
                0,
            )?),
        };
        Some(Self {
            user_id: UserId::try_from(user_id.into_owned()).ok()?,
            expires_at,
        })
    }

    /// Returns the context from which [`Identity::read`] reads it again.
    ///
    /// API Gateway takes scalars only, and is not documented to keep numbers or characters beyond ASCII:
    /// so all values are text, and the id is percent-encoded.
    pub fn context(&self) -> Map<String, Value> {
        let mut context = Map::new();
        context.insert(USER_ID.to_owned(), self.principal_id().into());
        if let Some(expires_at) = self.expires_at {
            let seconds = expires_at.timestamp().to_string();
            context.insert(EXPIRES_AT.to_owned(), seconds.into());
        }
        context
    }

    /// Returns the user id in ASCII.
    pub fn principal_id(&self) -> String {
        utf8_percent_encode(self.user_id.as_str(), ENCODED).to_string()
    }

    /// Returns whether the user's token has expired.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(context: &Value) -> Option<Identity> {
        Identity::read(|name| context.get(name))
    }

    #[test]
    fn a_malformed_context_has_no_identity() {
        assert!(read(&json!({"user_id": "a", "expires_at": "1"})).is_some());
        for context in [
            json!({}),
            json!({"principalId": "a"}),
            json!({"user_id": ""}),
            json!({"user_id": 7}),
            json!({"user_id": "%FF"}),
            json!({"user_id": "a%0Ab"}),
            json!({"user_id": {"$gt": ""}}),
            json!({"user_id": "a", "expires_at": "soon"}),
            json!({"user_id": "a", "expires_at": 1}),
            json!({"user_id": "a", "expires_at": ""}),
            json!({"user_id": "a", "expires_at": "99999999999999999"}),
        ] {
            assert_eq!(read(&context), None, "{context}");
        }
    }

    #[test]
    fn an_identity_expires_with_its_token() {
        let now = Utc::now();
        let until = |expires_at| Identity {
            user_id: UserId::try_from("a".to_owned()).expect("a valid id"),
            expires_at,
        };
        assert!(!until(None).has_expired(now));
        assert!(!until(Some(now + chrono::TimeDelta::seconds(1))).has_expired(now));
        assert!(until(Some(now)).has_expired(now));
    }

    proptest! {
        #[test]
        fn a_context_keeps_any_user_and_time(id in "\\PC{1,60}", seconds in 0_i64..4_000_000_000) {
            let identity = Identity {
                user_id: UserId::try_from(id).expect("a valid id"),
                expires_at: DateTime::from_timestamp(seconds, 0),
            };
            let context = Value::Object(identity.context());
            prop_assert!(context.to_string().is_ascii());
            prop_assert_eq!(read(&context), Some(identity));
        }
    }
}
