//! The response to API Gateway.

use chat::Identity;
use serde_json::{Map, Value, json};

use crate::request::Target;

/// Allows the request. Without an identity (open mode, no valid user id) `$connect` responds with 400.
pub fn allow(target: &Target, identity: Option<&Identity>) -> Value {
    let context = identity.map(Identity::context).unwrap_or_default();
    let principal_id = identity.map_or_else(|| "nobody".to_owned(), Identity::principal_id);
    response(target, true, &principal_id, context)
}

/// Denies the request, which the caller sees as 403.
pub fn deny(target: &Target) -> Value {
    response(target, false, "nobody", Map::new())
}

fn response(
    target: &Target,
    is_authorized: bool,
    principal_id: &str,
    context: Map<String, Value>,
) -> Value {
    match target {
        Target::Handshake { method_arn } => json!({
            "principalId": principal_id,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Action": "execute-api:Invoke",
                    "Effect": if is_authorized { "Allow" } else { "Deny" },
                    "Resource": method_arn,
                }],
            },
            "context": context,
        }),
        Target::Http => json!({"isAuthorized": is_authorized, "context": context}),
    }
}
