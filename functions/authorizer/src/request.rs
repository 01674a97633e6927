//! The request of API Gateway: to authorize a handshake or an HTTP request.
//!
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html>
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use std::collections::HashMap;

use chat::protocol::subprotocol::subprotocols;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Rejection;

/// Size limit of a token, in bytes. API Gateway takes 10,240 bytes of headers in all.
const MAX_TOKEN_BYTES: usize = 8_192;

/// The prefix of a token among the subprotocols.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The parts of the event that the authorizer needs. No `Debug`: it holds tokens.
#[derive(Deserialize)]
#[serde(from = "Event")]
pub struct Request {
    /// The handshake or request to authorize.
    pub target: Target,
    /// The connection that is to be opened, for the log.
    pub connection_id: Option<String>,
    authorization: Vec<String>,
    subprotocols: Vec<String>,
    query_tokens: Vec<String>,
    /// All values of `?user_id=`.
    pub user_ids: Vec<String>,
}

/// The handshake or request to authorize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A handshake of the WebSocket API, which expects an IAM policy.
    Handshake {
        /// The resource of the policy.
        method_arn: String,
    },
    /// A request to the HTTP API, which expects a boolean.
    Http,
}

impl Request {
    /// Returns the token: `Authorization: Bearer T`, the subprotocol `bearer.T` of a browser that can set no
    /// headers, or `?token=T` if `in_query` allows it.
    ///
    /// # Errors
    ///
    /// There is none, or more than one, or it is too long.
    pub fn token(&self, in_query: bool) -> Result<&str, Rejection> {
        let from_headers = self.authorization.iter().map(|value| bearer(value));
        let from_subprotocols = subprotocols(self.subprotocols.iter().map(String::as_str))
            .filter_map(|offered| offered.strip_prefix(BEARER_SUBPROTOCOL))
            .map(Ok);
        let from_query = self.query_tokens.iter().map(|token| Ok(token.as_str()));
        let from_query = from_query.filter(|_| in_query);
        let mut tokens = from_headers.chain(from_subprotocols).chain(from_query);
        let token = tokens.next().ok_or(Rejection::NoToken)??;
        if tokens.next().is_some() {
            return Err(Rejection::SeveralTokens);
        }
        match token.len() {
            0 => Err(Rejection::NoToken),
            1..=MAX_TOKEN_BYTES => Ok(token),
            _ => Err(Rejection::TooLong),
        }
    }
}

/// Returns the token of an `Authorization` header ([RFC 6750]).
///
/// [RFC 6750]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
fn bearer(header: &str) -> Result<&str, Rejection> {
    let (scheme, token) = header.trim().split_once(' ').ok_or(Rejection::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Rejection::NoToken);
    }
    Ok(token.trim_start())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    method_arn: Option<String>,
    headers: Option<HashMap<String, String>>,
    multi_value_headers: Option<HashMap<String, Vec<String>>>,
    query_string_parameters: Option<HashMap<String, String>>,
    multi_value_query_string_parameters: Option<HashMap<String, Vec<String>>>,
    request_context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    /// Present in events of HTTP APIs only.
    http: Option<Value>,
    connection_id: Option<String>,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let headers = Values {
            single: event.headers.unwrap_or_default(),
            multi: event.multi_value_headers.unwrap_or_default(),
        };
        let query = Values {
            single: event.query_string_parameters.unwrap_or_default(),
            multi: event
                .multi_value_query_string_parameters
                .unwrap_or_default(),
        };
        Self {
            target: match event.request_context.http {
                Some(_) => Target::Http,
                None => Target::Handshake {
                    method_arn: event.method_arn.unwrap_or_default(),
                },
            },
            connection_id: event.request_context.connection_id,
            authorization: headers.all(|name| name.eq_ignore_ascii_case("authorization")),
            subprotocols: headers.all(|name| name.eq_ignore_ascii_case("sec-websocket-protocol")),
            query_tokens: query.all(|name| name == "token"),
            user_ids: query.all(|name| name == "user_id"),
        }
    }
}

/// Headers or parameters. Events of WebSocket APIs have each value in a second map; those of HTTP APIs
/// have values of one name joined by commas, which no token holds.
struct Values {
    single: HashMap<String, String>,
    multi: HashMap<String, Vec<String>>,
}

impl Values {
    fn all(&self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let multi = self.multi.iter().filter(|(name, _)| is_meant(name));
        let values: Vec<String> = multi.flat_map(|(_, values)| values).cloned().collect();
        if !values.is_empty() {
            return values;
        }
        let single = self.single.iter().filter(|(name, _)| is_meant(name));
        single.map(|(_, value)| value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn handshake(headers: Value, query: Value) -> Request {
        let event = json!({
            "type": "REQUEST",
            "methodArn": "arn:…/$connect",
            "multiValueHeaders": headers,
            "multiValueQueryStringParameters": query,
            "requestContext": {"eventType": "CONNECT", "connectionId": "AAAAAAAAAAAAAAA="},
        });
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn a_token_is_read_from_header_subprotocol_or_query() {
        let none = || json!({});
        let query = |name: &str| json!({name: ["t"]});
        let from = |headers: Value, query: Value, in_query: bool| {
            let request = handshake(headers, query);
            request.token(in_query).map(str::to_owned)
        };
        for (header, value, token) in [
            ("Authorization", "Bearer t", "t"),
            ("authorization", "bearer  t", "t"),
            ("Sec-WebSocket-Protocol", "chat.v1, bearer.a.b.c", "a.b.c"),
        ] {
            let token = Ok(token.to_owned());
            assert_eq!(from(json!({header: [value]}), none(), false), token);
        }
        let two_offers = json!({"sec-websocket-protocol": ["chat.v1", "bearer.t"]});
        assert_eq!(from(two_offers, none(), false), Ok("t".to_owned()));
        assert_eq!(from(none(), query("token"), true), Ok("t".to_owned()));

        let no_token = Err(Rejection::NoToken);
        assert_eq!(from(none(), query("token"), false), no_token);
        assert_eq!(from(none(), query("TOKEN"), true), no_token);
        assert_eq!(from(json!(null), json!(null), true), no_token);
        for (header, value) in [
            ("Authorization", "t"),
            ("Authorization", "Bearer "),
            ("Authorization", "Basic dTpw"),
            ("Sec-WebSocket-Protocol", "bearer."),
        ] {
            let headers = json!({header: [value]});
            assert_eq!(from(headers, none(), true), no_token, "{value}");
        }
    }

    #[test]
    fn more_than_one_token_is_rejected() {
        for headers in [
            json!({"Authorization": ["Bearer t", "Bearer t"]}),
            json!({"Authorization": ["Bearer t"], "authorization": ["Bearer t"]}),
            json!({"Authorization": ["Bearer t"], "Sec-WebSocket-Protocol": ["bearer.t"]}),
            json!({"Sec-WebSocket-Protocol": ["bearer.t, bearer.u"]}),
        ] {
            let request = handshake(headers.clone(), json!({}));
            assert_eq!(
                request.token(false),
                Err(Rejection::SeveralTokens),
                "{headers}"
            );
        }
        let request = handshake(
            json!({"Authorization": ["Bearer t"]}),
            json!({"token": ["t"]}),
        );
        assert_eq!(request.token(true), Err(Rejection::SeveralTokens));
    }

    #[test]
    fn a_token_beyond_the_size_limit_is_rejected() {
        let header =
            |bytes: usize| json!({"Authorization": [format!("Bearer {}", "x".repeat(bytes))]});
        let fits = handshake(header(MAX_TOKEN_BYTES), json!({}));
        assert!(fits.token(false).is_ok());
        let huge = handshake(header(MAX_TOKEN_BYTES + 1), json!({}));
        assert_eq!(huge.token(false), Err(Rejection::TooLong));
    }

    #[test]
    fn an_event_of_an_http_api_is_a_request() {
        let event = json!({
            "version": "2.0",
            "type": "REQUEST",
            "routeArn": "arn:…",
            "headers": {"authorization": "Bearer t"},
            "queryStringParameters": {"user1": "a"},
            "requestContext": {"http": {"method": "GET"}},
        });
        let request: Request = serde_json::from_value(event).expect("an event");
        assert_eq!(request.target, Target::Http);
        assert_eq!(request.token(false), Ok("t"));
    }
}
