//! `AWS_IAM`: a request has to be signed by one of the gateway's access keys, for the service
//! `execute-api`. Policies are not read.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html>

use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::response::Rejection;
use crate::http::sigv4::verify::{self, Verifier};
use crate::model::ACCOUNT_ID;

/// Checks all of a signature that can be checked without the body; returns its part of the event.
///
/// # Errors
///
/// [`Rejection::Forbidden`].
pub fn check_head(verifier: &Verifier, parts: &Parts) -> Result<Value, Rejection> {
    let claim = verifier.check_head(parts).map_err(forbidden)?;
    let key = claim.key_id();
    Ok(json!({"iam": {
        "accessKey": key,
        "accountId": ACCOUNT_ID,
        "callerId": key,
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": format!("arn:aws:iam::{ACCOUNT_ID}:user/{key}"),
        "userId": key,
    }}))
}

/// Checks the signature of a request with its body.
///
/// # Errors
///
/// [`Rejection::Forbidden`].
pub fn check_body(verifier: &Verifier, parts: &Parts, body: &[u8]) -> Result<(), Rejection> {
    let claim = verifier.check_head(parts);
    claim
        .and_then(|claim| claim.check_body(body))
        .map_err(forbidden)
}

fn forbidden(rejection: verify::Rejection) -> Rejection {
    tracing::warn!("a signature is refused: {}", rejection.message);
    Rejection::Forbidden
}
