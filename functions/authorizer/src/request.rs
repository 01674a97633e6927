//! What API Gateway asks: may this handshake, or this HTTP request, go on?
//!
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html>
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use std::collections::HashMap;

use chat::protocol::subprotocol::subprotocols;
use serde::Deserialize;
use serde_json::Value;

use crate::refusal::Refusal;

/// The longest token that is looked at, in bytes. API Gateway takes 10,240 bytes of headers in all.
const MAX_TOKEN_BYTES: usize = 8_192;

/// What stands before a token among the subprotocols.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The parts of the authorizer's event that say who asks for what. No `Debug`: it holds tokens.
#[derive(Deserialize)]
#[serde(from = "Event")]
pub struct Request {
    /// What it is about.
    pub target: Target,
    /// The socket that is to be opened, for the log.
    pub connection_id: Option<String>,
    authorization: Vec<String>,
    subprotocols: Vec<String>,
    query_tokens: Vec<String>,
    /// All values of `?user_id=`.
    pub user_ids: Vec<String>,
}

/// What may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A handshake of the WebSocket API, which expects a policy about an ARN.
    Handshake {
        /// The ARN.
        method_arn: String,
    },
    /// A request to the HTTP API, which expects a yes or no.
    Http,
}

impl Request {
    /// The token: `Authorization: Bearer T`, the subprotocol `bearer.T` of a browser that can set no
    /// headers, or `?token=T` if `in_query` allows it.
    ///
    /// # Errors
    ///
    /// There is none, or more than one, or it is too long.
    pub fn token(&self, in_query: bool) -> Result<&str, Refusal> {
        let from_headers = self.authorization.iter().map(|value| bearer(value));
        let from_subprotocols = subprotocols(self.subprotocols.iter().map(String::as_str))
            .filter_map(|offered| offered.strip_prefix(BEARER_SUBPROTOCOL))
            .map(Ok);
        let from_query = self.query_tokens.iter().map(|token| Ok(token.as_str()));
        let from_query = from_query.filter(|_| in_query);
        let mut tokens = from_headers.chain(from_subprotocols).chain(from_query);
        let token = tokens.next().ok_or(Refusal::NoToken)??;
        if tokens.next().is_some() {
            return Err(Refusal::SeveralTokens);
        }
        match token.len() {
            0 => Err(Refusal::NoToken),
            1..=MAX_TOKEN_BYTES => Ok(token),
            _ => Err(Refusal::TooLong),
        }
    }
}

/// The token of an `Authorization` header ([RFC 6750]).
///
/// [RFC 6750]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
fn bearer(header: &str) -> Result<&str, Refusal> {
    let (scheme, token) = header.trim().split_once(' ').ok_or(Refusal::NoToken)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(token.trim_start()),
        false => Err(Refusal::NoToken),
    }
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
    /// Events of HTTP APIs have it, those of WebSocket APIs have not.
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
    fn a_token_comes_in_by_each_of_its_entrances() {
        for (headers, query, in_query, expected) in [
            (
                json!({"Authorization": ["Bearer t"]}),
                json!({}),
                false,
                Ok("t"),
            ),
            (
                json!({"authorization": ["bearer  t"]}),
                json!({}),
                false,
                Ok("t"),
            ),
            (
                json!({"Sec-WebSocket-Protocol": ["chat.v1, bearer.a.b.c"]}),
                json!({}),
                false,
                Ok("a.b.c"),
            ),
            (
                json!({"sec-websocket-protocol": ["chat.v1", "bearer.t"]}),
                json!({}),
                false,
                Ok("t"),
            ),
            (json!({}), json!({"token": ["t"]}), true, Ok("t")),
            (
                json!({}),
                json!({"token": ["t"]}),
                false,
                Err(Refusal::NoToken),
            ),
            (
                json!({}),
                json!({"TOKEN": ["t"]}),
                true,
                Err(Refusal::NoToken),
            ),
            (json!(null), json!(null), true, Err(Refusal::NoToken)),
            (
                json!({"Authorization": ["t"]}),
                json!({}),
                true,
                Err(Refusal::NoToken),
            ),
            (
                json!({"Authorization": ["Bearer "]}),
                json!({}),
                true,
                Err(Refusal::NoToken),
            ),
            (
                json!({"Authorization": ["Basic dTpw"]}),
                json!({}),
                true,
                Err(Refusal::NoToken),
            ),
            (
                json!({"Sec-WebSocket-Protocol": ["bearer."]}),
                json!({}),
                false,
                Err(Refusal::NoToken),
            ),
        ] {
            let request = handshake(headers.clone(), query);
            assert_eq!(request.token(in_query), expected, "{headers}");
        }
    }

    #[test]
    fn two_tokens_are_one_too_many() {
        for headers in [
            json!({"Authorization": ["Bearer t", "Bearer t"]}),
            json!({"Authorization": ["Bearer t"], "authorization": ["Bearer t"]}),
            json!({"Authorization": ["Bearer t"], "Sec-WebSocket-Protocol": ["bearer.t"]}),
            json!({"Sec-WebSocket-Protocol": ["bearer.t, bearer.u"]}),
        ] {
            let request = handshake(headers.clone(), json!({}));
            assert_eq!(
                request.token(false),
                Err(Refusal::SeveralTokens),
                "{headers}"
            );
        }
        let request = handshake(
            json!({"Authorization": ["Bearer t"]}),
            json!({"token": ["t"]}),
        );
        assert_eq!(request.token(true), Err(Refusal::SeveralTokens));
    }

    #[test]
    fn a_huge_token_is_not_looked_at() {
        let header =
            |bytes: usize| json!({"Authorization": [format!("Bearer {}", "x".repeat(bytes))]});
        let fits = handshake(header(MAX_TOKEN_BYTES), json!({}));
        assert!(fits.token(false).is_ok());
        let huge = handshake(header(MAX_TOKEN_BYTES + 1), json!({}));
        assert_eq!(huge.token(false), Err(Refusal::TooLong));
    }

    #[test]
    fn an_event_of_an_http_api_is_one() {
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
