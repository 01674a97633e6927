//! Events of the WebSocket API and their responses, as far as the functions use them.
//!
//! The types of `aws_lambda_events` have all fields of all kinds of API. Reading them costs a frame six
//! maps and some forty fields that nobody looks at.
//!
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html>
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use std::collections::HashMap;

use chat::{ConnectionId, Error, Identity, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event of the WebSocket API: a handshake, a frame, or the end of a connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebSocketEvent {
    /// The context of the event.
    pub request_context: RequestContext,
    /// The text of a frame. A handshake and an end have none.
    pub body: Option<String>,
    multi_value_headers: Option<HashMap<String, Vec<String>>>,
}

/// The context of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The key of the route, such as `sendMessage` or `$default`.
    pub route_key: Option<String>,
    /// The close code of a connection that has ended.
    pub disconnect_status_code: Option<i64>,
    connection_id: Option<ConnectionId>,
    /// The context that the authorizer has returned. It may be missing, null, or an empty text.
    #[serde(default)]
    authorizer: Value,
}

impl WebSocketEvent {
    /// Returns all values of a header of a handshake. Names of headers are case-insensitive.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let headers = self.multi_value_headers.iter().flatten();
        headers
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .flat_map(|(_, values)| values.iter().map(String::as_str))
    }
}

impl RequestContext {
    /// Returns the connection that the event is about.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it is no event of a WebSocket API.
    pub fn connection_id(&self) -> Result<&ConnectionId> {
        self.connection_id.as_ref().ok_or_else(|| {
            Error::unavailable("reading of the event")("it has no requestContext.connectionId")
        })
    }

    /// Returns the user whom the authorizer has found, if there is one.
    pub fn identity(&self) -> Option<Identity> {
        Identity::read(|name| self.authorizer.get(name))
    }
}

/// A response to an event of the WebSocket API.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebSocketResponse {
    /// The status, as of HTTP.
    pub status_code: u16,
    /// Headers of the response to a handshake.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub headers: HashMap<&'static str, &'static str>,
    /// The frame to the client, on a two-way route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl WebSocketResponse {
    /// Returns a response that has neither headers nor a body.
    pub fn new(status_code: u16) -> Self {
        Self {
            status_code,
            headers: HashMap::new(),
            body: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CONNECT: &str = include_str!("../../../tests/events/connect.json");
    const MESSAGE: &str = include_str!("../../../tests/events/message.json");
    const MESSAGE_WITH_NULLS: &str = include_str!("../../../tests/events/message-with-nulls.json");
    const DISCONNECT: &str = include_str!("../../../tests/events/disconnect.json");

    fn event(json: &str) -> WebSocketEvent {
        serde_json::from_str(json).expect("an event")
    }

    fn connection_id(event: &WebSocketEvent) -> &str {
        let id = event.request_context.connection_id();
        id.expect("it has one").as_str()
    }

    fn user_id(event: &WebSocketEvent) -> Option<String> {
        let identity = event.request_context.identity()?;
        Some(identity.user_id.as_str().to_owned())
    }

    #[test]
    fn a_handshake_has_a_user_and_headers_whose_names_are_case_insensitive() {
        let event = event(CONNECT);
        assert_eq!(connection_id(&event), "Hx3fHc0VDoECJgw=");
        let identity = event.request_context.identity().expect("a user");
        assert_eq!(identity.user_id.as_str(), "prof@example.com");
        let expires_at = identity.expires_at.expect("a time");
        assert_eq!(expires_at.timestamp(), 1_795_350_000);
        let offered: Vec<_> = event.header_values("sec-websocket-protocol").collect();
        assert_eq!(offered, ["chat.v1", "bearer.a.b.c"]);
        assert_eq!(event.header_values("cookie").count(), 0);
    }

    #[test]
    fn a_frame_has_its_route_its_user_and_its_text() {
        let event = event(MESSAGE);
        assert_eq!(connection_id(&event), "Hx3fHc0VDoECJgw=");
        let route_key = event.request_context.route_key.as_deref();
        assert_eq!(route_key, Some("sendMessage"));
        assert_eq!(user_id(&event).as_deref(), Some("student+one@example.com"));
        let body: Value = serde_json::from_str(&event.body.expect("a text")).expect("JSON");
        assert_eq!(body["message"], "At 3PM?");
    }

    #[test]
    fn an_event_of_an_older_api_has_nulls_and_an_empty_text_as_authorizer() {
        let event = event(MESSAGE_WITH_NULLS);
        assert_eq!(connection_id(&event), "WyHPAfymhcwCENw=");
        assert_eq!(event.request_context.disconnect_status_code, None);
        assert_eq!(event.header_values("host").count(), 0);
        assert_eq!(user_id(&event), None);
        assert_eq!(event.body.as_deref(), Some("hello"));
    }

    #[test]
    fn the_end_of_a_connection_has_its_close_code() {
        let event = event(DISCONNECT);
        assert_eq!(connection_id(&event), "Hx3fHc0VDoECJgw=");
        assert_eq!(event.request_context.disconnect_status_code, Some(1005));
        assert_eq!(user_id(&event).as_deref(), Some("prof@example.com"));
        assert_eq!(event.body, None);
    }

    #[test]
    fn an_event_without_a_connection_is_none_of_this_api() {
        let event = event(&json!({"requestContext": {}}).to_string());
        let error = event.request_context.connection_id().expect_err("no id");
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(serde_json::from_value::<WebSocketEvent>(json!({"body": "{}"})).is_err());
    }

    #[test]
    fn a_response_has_only_the_keys_that_it_needs() {
        let response = |response: WebSocketResponse| serde_json::to_value(response).expect("JSON");
        let mut handshake = WebSocketResponse::new(200);
        handshake
            .headers
            .insert("sec-websocket-protocol", "chat.v1");
        assert_eq!(
            response(handshake),
            json!({"statusCode": 200, "headers": {"sec-websocket-protocol": "chat.v1"}})
        );
        let mut frame = WebSocketResponse::new(200);
        frame.body = Some("{}".to_owned());
        assert_eq!(response(frame), json!({"statusCode": 200, "body": "{}"}));
    }
}
