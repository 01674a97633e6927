//! What API Gateway is told.

use chat::Identity;
use serde_json::{Map, Value, json};

use crate::request::Target;

/// Yes. Without an identity the function behind it decides what to do with nobody.
pub fn allow(target: &Target, identity: Option<&Identity>) -> Value {
    let context = identity.map(Identity::context).unwrap_or_default();
    let principal_id = identity.map_or_else(|| "nobody".to_owned(), Identity::principal_id);
    answer(target, true, &principal_id, context)
}

/// No, which the caller sees as 403.
pub fn deny(target: &Target) -> Value {
    answer(target, false, "nobody", Map::new())
}

fn answer(
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
