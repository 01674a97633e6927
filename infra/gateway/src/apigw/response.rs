//! Responses of functions of a WebSocket API.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-output-format>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The keys of a proxy response; any other makes it malformed. [U]: so does `cookies`, which
/// belongs to HTTP APIs.
const KEYS: [&str; 5] = [
    "statusCode",
    "headers",
    "multiValueHeaders",
    "body",
    "isBase64Encoded",
];

/// Whether headers in `multiValueHeaders` count. [U]
const MULTI_VALUE_HEADERS_COUNT: bool = true;

/// Whether a body in base64 is decoded before it is sent. [U]
const BASE64_IS_DECODED: bool = false;

/// A well-formed response of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyResponse {
    /// Its status.
    pub status: u16,
    /// Its body; empty if it has none.
    pub body: String,
    headers: Value,
    multi_value_headers: Value,
}

impl ProxyResponse {
    /// Reads a response; `None` if it is no proxy response.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let Ok(Value::Object(response)) = serde_json::from_slice(payload) else {
            return None;
        };
        if !response.keys().all(|key| KEYS.contains(&key.as_str())) {
            return None;
        }
        let status = match response.get("statusCode")? {
            Value::Number(status) => status.as_u64()?,
            Value::String(status) => status.parse().ok()?,
            _ => return None,
        };
        let body = match response.get("body") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(body)) => body.clone(),
            Some(_) => return None,
        };
        let is_base64 = response.get("isBase64Encoded") == Some(&Value::Bool(true));
        let body = if BASE64_IS_DECODED && is_base64 {
            String::from_utf8_lossy(&STANDARD.decode(&body).ok()?).into_owned()
        } else {
            body
        };
        let map = |key: &str| response.get(key).cloned().unwrap_or_default();
        Some(Self {
            status: u16::try_from(status).ok()?,
            body,
            headers: map("headers"),
            multi_value_headers: map("multiValueHeaders"),
        })
    }

    /// Returns a header by its name in lower case; the last value if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let find = |map: &'_ Value| -> Option<String> {
            let map = map.as_object()?;
            let (key, _) = map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(key.clone())
        };
        if let Some(key) = find(&self.headers) {
            return self.headers[&key].as_str();
        }
        let key = find(&self.multi_value_headers).filter(|_| MULTI_VALUE_HEADERS_COUNT)?;
        self.multi_value_headers[&key].as_array()?.last()?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_a_proxy_response_or_malformed() {
        let good = ProxyResponse::parse(
            br#"{"statusCode":201,"multiValueHeaders":{"Sec-WebSocket-Protocol":["a","b"]}}"#,
        )
        .expect("well-formed");
        assert_eq!((good.status, good.body.as_str()), (201, ""));
        assert_eq!(good.header("sec-websocket-protocol"), Some("b"));
        for malformed in [
            "",
            "null",
            "{}",
            r#""text""#,
            r#"{"statusCode":"ok"}"#,
            r#"{"statusCode":200,"body":{}}"#,
            r#"{"statusCode":200,"cookies":[]}"#,
            r#"{"statusCode":70000}"#,
        ] {
            assert_eq!(
                ProxyResponse::parse(malformed.as_bytes()),
                None,
                "{malformed}"
            );
        }
    }
}
