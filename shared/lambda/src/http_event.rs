//! Events of the HTTP API in payload format 2.0, and their responses, as far as the functions use them.
//!
//! The crate `lambda_http` makes a URL of `Host`, path and query, and panics where they are none, such as at
//! `Host: [::1`. Here they stay the texts that they are.
//!
//! - <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chat::Identity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to the HTTP API. No `Debug`: its headers hold a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpEvent {
    route_key: Option<String>,
    raw_query_string: Option<String>,
    headers: Option<HashMap<String, String>>,
    path_parameters: Option<HashMap<String, String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    request_context: RequestContext,
}

#[derive(Deserialize)]
struct RequestContext {
    authorizer: Option<Authorizer>,
}

#[derive(Deserialize)]
struct Authorizer {
    /// The context that the authorizer has returned.
    lambda: Option<HashMap<String, Value>>,
}

impl HttpEvent {
    /// Returns the route, as the template writes it: `GET /chat/history`.
    pub fn route_key(&self) -> &str {
        self.route_key.as_deref().unwrap_or_default()
    }

    /// Returns the body; empty if there is none, or none that API Gateway could have handed over.
    pub fn body(&self) -> Cow<'_, [u8]> {
        let body = self.body.as_deref().unwrap_or_default();
        if self.is_base64_encoded.unwrap_or(false) {
            BASE64_STANDARD.decode(body).unwrap_or_default().into()
        } else {
            body.as_bytes().into()
        }
    }

    /// Returns the query string, still encoded; empty if there is none.
    pub fn query(&self) -> &str {
        self.raw_query_string.as_deref().unwrap_or_default()
    }

    /// Returns a header. API Gateway writes the names in lower case, and joins several values by commas.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.as_ref()?.get(name)?;
        Some(value)
    }

    /// Returns a parameter of the route's path, decoded.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        let value = self.path_parameters.as_ref()?.get(name)?;
        Some(value)
    }

    /// Returns the user whom the authorizer has verified, if there is one.
    pub fn identity(&self) -> Option<Identity> {
        let authorizer = self.request_context.authorizer.as_ref()?;
        let fields = authorizer.lambda.as_ref()?;
        Identity::read(|name| fields.get(name))
    }
}

/// A response of the HTTP API.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// The status.
    pub status_code: u16,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<&'static str, String>,
    /// The body: text, or bytes in base64.
    pub body: String,
    /// Whether the body is in base64.
    pub is_base64_encoded: bool,
}

impl HttpResponse {
    /// Returns a response without headers and body.
    pub fn new(status_code: u16) -> Self {
        Self {
            status_code,
            headers: BTreeMap::new(),
            body: String::new(),
            is_base64_encoded: false,
        }
    }

    /// Sets a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    /// Sets the body to a text.
    pub fn text(mut self, body: String) -> Self {
        self.body = body;
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_without_optional_fields_is_read_as_if_they_were_null() {
        for optional in [
            json!({}),
            json!({"rawQueryString": null, "headers": null, "pathParameters": null, "routeKey": null,
                "body": null, "isBase64Encoded": null}),
        ] {
            for context in [
                json!({}),
                json!({"authorizer": null}),
                json!({"authorizer": {}}),
                json!({"authorizer": {"lambda": null}}),
                json!({"authorizer": {"jwt": {"claims": {"sub": "a"}}}}),
            ] {
                let mut event = optional.clone();
                event["requestContext"] = context;
                let event: HttpEvent = serde_json::from_value(event).expect("an event");
                assert_eq!((event.query(), event.header("host")), ("", None));
                assert_eq!((event.route_key(), &event.body()[..]), ("", &b""[..]));
                assert_eq!(event.path_parameter("file"), None);
                assert_eq!(event.identity(), None);
            }
        }
    }

    #[test]
    fn an_event_keeps_texts_that_are_no_part_of_a_url() {
        let event = json!({
            "rawQueryString": "a=%zz #\u{0}\u{fffd}é",
            "headers": {"host": "[::1", "accept-encoding": "gzip\u{7}"},
            "pathParameters": {"file": "../\u{0}"},
            "requestContext": {"authorizer": {"lambda": {"user_id": "a%40b"}}},
        });
        let event: HttpEvent = serde_json::from_value(event).expect("an event");
        assert_eq!(event.query(), "a=%zz #\u{0}\u{fffd}é");
        assert_eq!(event.header("host"), Some("[::1"));
        assert_eq!(event.header("accept-encoding"), Some("gzip\u{7}"));
        assert_eq!(event.path_parameter("file"), Some("../\u{0}"));
        let identity = event.identity().expect("a user");
        assert_eq!(identity.user_id.as_str(), "a@b");
    }

    #[test]
    fn a_body_is_a_text_or_bytes_in_base64() {
        for (body, is_base64, expected) in [
            ("e30=", true, "{}"),
            ("e30=", false, "e30="),
            ("%", true, ""),
        ] {
            let event = json!({"body": body, "isBase64Encoded": is_base64, "requestContext": {}});
            let event: HttpEvent = serde_json::from_value(event).expect("an event");
            assert_eq!(&event.body()[..], expected.as_bytes());
        }
    }

    #[test]
    fn a_response_is_in_the_format_of_api_gateway() {
        let response = HttpResponse::new(200).header("etag", "W/\"1\"");
        assert_eq!(
            serde_json::to_value(response.text("hi".to_owned())).expect("JSON"),
            json!({
                "statusCode": 200, "headers": {"etag": "W/\"1\""}, "body": "hi",
                "isBase64Encoded": false,
            })
        );
    }
}
