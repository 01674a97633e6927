//! The parameters of a query string.

use chat::{Code, Rejection, UserId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// A query string, still encoded. Parameters that nobody asks for are ignored.
#[derive(Debug, Clone, Copy)]
pub struct QueryString<'a>(&'a str);

impl<'a> QueryString<'a> {
    /// Size limit in bytes: that of API Gateway for the request line and all headers together ([quotas]). It
    /// bounds the number of parameters as well.
    ///
    /// [quotas]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
    pub const MAX_BYTES: usize = 10_240;

    /// Returns the query string, of which nothing is decoded yet.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`]: it is too long.
    pub fn new(text: &'a str) -> Result<Self, Rejection> {
        if text.len() > Self::MAX_BYTES {
            return Err(invalid("The query is too long."));
        }
        Ok(Self(text))
    }

    /// Returns a user id, which has to be there.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] or [`Code::InvalidUserId`], with a sentence that names the parameter.
    pub fn user(&self, name: &str) -> Result<UserId, Rejection> {
        let value = self.value(name)?;
        user(
            name,
            value.ok_or_else(|| invalid(format!("`{name}` is missing.")))?,
        )
    }

    /// Returns all user ids of a parameter that may be repeated, in their order.
    ///
    /// # Errors
    ///
    /// As [`QueryString::user`].
    pub fn users(&self, name: &str) -> Result<Vec<UserId>, Rejection> {
        self.values(name).map(|value| user(name, value?)).collect()
    }

    /// Returns a whole number, if it is there.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`], with a sentence that names the parameter.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Rejection> {
        self.value(name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| invalid(format!("`{name}` must be a whole number.")))
            })
            .transpose()
    }

    /// Returns the decoded value of a parameter, if it is there.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`], with a sentence that names the parameter: it is repeated, or not UTF-8.
    pub fn value(&self, name: &str) -> Result<Option<String>, Rejection> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let value = value?;
        match values.next() {
            Some(_) => Err(invalid(format!("`{name}` is given more than once."))),
            None => Ok(Some(value)),
        }
    }

    /// Returns the decoded values of a parameter. One that is not UTF-8 is rejected: a replacement of the bytes
    /// that cannot be decoded would make different ids equal.
    fn values(&self, name: &str) -> impl Iterator<Item = Result<String, Rejection>> {
        let pairs = self.0.split('&');
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let named = pairs.filter(move |(key, _)| decode(key).as_deref() == Some(name));
        named.map(move |(_, value)| {
            decode(value).ok_or_else(|| invalid(format!("`{name}` is not UTF-8.")))
        })
    }
}

fn user(name: &str, value: String) -> Result<UserId, Rejection> {
    value.try_into().map_err(|rejection: Rejection| {
        Rejection::new(rejection.code, format!("`{name}`: {}", rejection.message))
    })
}

fn decode(text: &str) -> Option<String> {
    let spaces = text.replace('+', " ");
    let decoded = percent_decode(spaces.as_bytes()).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Writes a value as a query string has it.
pub fn encode(value: &str) -> impl std::fmt::Display {
    /// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(value, UNRESERVED)
}

/// Returns the rejection of a request.
pub fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidRequest, message)
}
