//! The parameters: `user1=&user2=` or `conversation_id=[&user=]`, then `[&limit=][&before=][&after=]`.

use chat::store::Range;
use chat::{ConversationId, Rejection, UserId};
use chat_lambda::query_string::{QueryString, encode, invalid};

/// Limit of the messages of a page, and the default of `limit`.
pub const MAX_LIMIT: u32 = 1_000;

/// A valid request.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// The conversation.
    pub subject: Subject,
    /// The limit of the query, if it has one: links repeat it.
    pub asked_limit: Option<u32>,
    /// The messages of a page at most, 1–[`MAX_LIMIT`].
    pub limit: u32,
    /// The range of the conversation.
    pub range: Range,
}

/// A conversation, as a query names it. That decides about what the pages show.
#[derive(Debug, PartialEq, Eq)]
pub enum Subject {
    /// By its two users, as in the old system: the texts.
    Users([UserId; 2]),
    /// By the id of that of two users: the whole log. Without authorization the first one is the reader.
    Direct(ConversationId, [UserId; 2]),
    /// By the id of a group: the part of the log that its reader may see. Without authorization the reader is
    /// named too.
    Group(ConversationId, Option<UserId>),
}

impl Subject {
    fn read(query: &QueryString) -> Result<Self, Rejection> {
        let Some(id) = query.value("conversation_id")? else {
            return Ok(Self::Users([query.user("user1")?, query.user("user2")?]));
        };
        let id = ConversationId::from(id);
        let reader = query
            .value("user")?
            .map(|_| query.user("user"))
            .transpose()?;
        if id.is_group() {
            return Ok(Self::Group(id, reader));
        }
        match id.users() {
            Some([a, b]) if reader.as_ref() == Some(&b) => Ok(Self::Direct(id, [b, a])),
            Some(users) => Ok(Self::Direct(id, users)),
            None => Err(invalid(
                "`conversation_id` is not the id of a conversation.",
            )),
        }
    }

    /// Returns the id, in which the order of the users does not matter.
    pub fn conversation_id(&self) -> ConversationId {
        match self {
            Self::Users([a, b]) => ConversationId::direct(a, b),
            Self::Direct(id, _) | Self::Group(id, _) => id.clone(),
        }
    }

    /// Returns the parameters that name it.
    pub fn parameters(&self) -> String {
        let id = |id: &ConversationId| format!("conversation_id={}", encode(id.as_str()));
        let user = |reader: Option<&UserId>| {
            let parameter = |reader: &UserId| format!("&user={}", encode(reader.as_str()));
            reader.map(parameter).unwrap_or_default()
        };
        match self {
            Self::Users([a, b]) => {
                format!("user1={}&user2={}", encode(a.as_str()), encode(b.as_str()))
            }
            Self::Direct(conversation, [reader, _]) => {
                let is_second = conversation
                    .users()
                    .is_some_and(|[first, _]| first != *reader);
                id(conversation) + &user(is_second.then_some(reader))
            }
            Self::Group(group, reader) => id(group) + &user(reader.as_ref()),
        }
    }
}

impl Query {
    /// Reads a query string. Unknown parameters are ignored.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`](chat::Code::InvalidRequest) or
    /// [`Code::InvalidUserId`](chat::Code::InvalidUserId), with a sentence that names the parameter: it
    /// is missing, repeated, not UTF-8, or out of range. Or the query string is too long, and is not
    /// decoded at all.
    pub fn parse(query: &str) -> Result<Self, Rejection> {
        let query = QueryString::new(query)?;
        let asked_limit = query.number("limit")?;
        let limit = match asked_limit {
            None => MAX_LIMIT,
            Some(limit @ 1..=1_000) => limit as u32,
            Some(_) => return Err(invalid("`limit` must be between 1 and 1000.")),
        };
        Ok(Self {
            subject: Subject::read(&query)?,
            asked_limit: asked_limit.map(|_| limit),
            limit,
            range: Range {
                after: query.number("after")?,
                before: query.number("before")?,
            },
        })
    }

    /// Returns what the page costs of the user's limit: one for every 100 messages asked for.
    pub fn cost(&self) -> u32 {
        self.limit.div_ceil(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(query: &str) -> String {
        Query::parse(query).expect_err(query).message
    }

    #[test]
    fn ids_are_decoded_once_and_kept_as_they_are() {
        let query = Query::parse("user1=a%2Bb%2520c&user2=%E5%AD%B8+x").expect("valid");
        let Subject::Users([user1, user2]) = &query.subject else {
            panic!("not by its users: {query:?}");
        };
        assert_eq!(user1.as_str(), "a+b%20c");
        assert_eq!(user2.as_str(), "學 x");
        assert_eq!((query.limit, query.asked_limit), (MAX_LIMIT, None));
    }

    #[test]
    fn a_query_beyond_the_limit_of_the_gateway_is_rejected_before_it_is_decoded() {
        let padded = |bytes: usize| format!("{:&<bytes$}", "user1=a&user2=b");
        assert!(Query::parse(&padded(QueryString::MAX_BYTES)).is_ok());
        let too_long = padded(QueryString::MAX_BYTES + 1);
        assert_eq!(rejection(&too_long), "The query is too long.");
    }

    #[test]
    fn a_rejection_repeats_nothing_of_the_query() {
        for query in [
            "user1=xyzzy",
            "user1=xyzzy&user2=xyzzy%00",
            "user1=xyzzy&user1=xyzzy&user2=b",
            "user1=xyzzy%FF&user2=b",
            "user1[xyzzy]=xyzzy&user2=xyzzy",
            "user1=a&user2=b&limit=xyzzy",
            "user1=a&user2=b&after=xyzzy",
            "user1=a&user2=b&before=xyzzy&xyzzy=xyzzy",
        ] {
            let sentence = rejection(query);
            assert!(!sentence.contains("xyzzy"), "{sentence}");
        }
    }

    #[test]
    fn a_rejection_names_the_bad_parameter() {
        for (query, name) in [
            ("", "user1"),
            ("user1=a", "user2"),
            ("conversation_id=", "conversation_id"),
            ("conversation_id=direct:1:b:a", "conversation_id"),
            ("conversation_id=a&conversation_id=b", "conversation_id"),
            ("conversation_id[$gt]=", "user1"),
            ("conversation_id=group:short", "conversation_id"),
            ("conversation_id=group:0123456789012345678901&user=", "user"),
            ("user1=a&user2=", "user2"),
            ("user1=a&user1=b&user2=c", "user1"),
            ("user1=a&user2=%FF", "user2"),
            ("user1[$gt]=&user2=b", "user1"),
            ("user1=a&user2=b&limit=0", "limit"),
            ("user1=a&user2=b&limit=1001", "limit"),
            ("user1=a&user2=b&limit=ten", "limit"),
            ("user1=a&user2=b&after=1.5", "after"),
            ("user1=a&user2=b&before=99999999999999999999", "before"),
        ] {
            assert!(rejection(query).contains(&format!("`{name}`")), "{query}");
        }
    }
}
