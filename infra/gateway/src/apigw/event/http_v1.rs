//! Events of the HTTP API in payload format 1.0, which is that of REST APIs. Maps that would be empty are null.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use serde_json::{Value, json};

use super::http::HttpRequest;
use super::put_maps;
use crate::http::headers::{Pairs, header_text, query_pairs};

impl HttpRequest<'_> {
    /// Returns the event of the route's function. `authorizer` is the authorizer's part of it.
    pub fn event_v1(&self, body: &[u8], authorizer: Option<&Value>) -> Value {
        let event = self.event(body, None);
        let query = query_pairs(self.parts.uri.query().unwrap_or_default());
        let mut event_v1 = json!({
            "version": "1.0",
            "resource": self.found.route.path,
            "path": event["rawPath"],
            "httpMethod": self.parts.method.as_str(),
            "headers": null,
            "multiValueHeaders": null,
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "requestContext": self.context_v1(&event["requestContext"], authorizer),
            "pathParameters": event["pathParameters"],
            "stageVariables": event["stageVariables"],
            "body": event["body"],
            "isBase64Encoded": event["isBase64Encoded"],
        });
        let headers = self.headers_v1(&event["headers"]);
        put_maps(&mut event_v1, "headers", "multiValueHeaders", &headers);
        if !query.is_empty() {
            let (one, all) = ("queryStringParameters", "multiValueQueryStringParameters");
            put_maps(&mut event_v1, one, all, &query);
        }
        event_v1
    }

    /// Returns the headers of the request, and those of an event that API Gateway adds.
    fn headers_v1(&self, of_event: &Value) -> Pairs {
        let is_added = |name: &str| name.starts_with("x-forwarded-") || name.starts_with("x-amzn-");
        let sent = self.parts.headers.iter();
        let sent = sent
            .filter(|(name, _)| !is_added(name.as_str()))
            .map(|(name, value)| (name.to_string(), header_text(value.as_bytes())));
        let added = of_event.as_object().into_iter().flatten();
        let added = added
            .filter(|(name, _)| is_added(name))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        sent.chain(added).collect()
    }

    fn context_v1(&self, context: &Value, authorizer: Option<&Value>) -> Value {
        let authorizer = match authorizer {
            Some(authorizer) => flat(authorizer),
            None => json!({"claims": null, "scopes": null}),
        };
        json!({
            "accountId": context["accountId"],
            "apiId": context["apiId"],
            "authorizer": authorizer,
            "domainName": context["domainName"],
            "domainPrefix": context["domainPrefix"],
            "extendedRequestId": context["requestId"],
            "httpMethod": context["http"]["method"],
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "sourceIp": context["http"]["sourceIp"],
                "user": null,
                "userAgent": context["http"]["userAgent"],
                "userArn": null,
            },
            "path": context["http"]["path"],
            "protocol": context["http"]["protocol"],
            "requestId": context["requestId"],
            "requestTime": context["time"],
            "requestTimeEpoch": context["timeEpoch"],
            "resourceId": null,
            "resourcePath": self.found.route.path,
            "stage": context["stage"],
        })
    }
}

/// Returns the authorizer's part of an event without the name of its kind.
fn flat(authorizer: &Value) -> Value {
    let kinds = authorizer.as_object().into_iter().flatten();
    kinds
        .map(|(_, value)| value.clone())
        .next()
        .unwrap_or_default()
}
