//! Authorizers: the functions and the tokens that allow a handshake or a request.
//!
//! - [`sources`]: the parts of a request that identify the caller
//! - [`response`]: the response of an authorizer
//! - [`policy`]: IAM policies in such responses
//! - [`cache`]: responses that are still valid
//! - [`jwt`]: tokens of JWT authorizers, their keys and claims
//! - [`iam`]: signatures of requests to routes with `AWS_IAM`

pub mod cache;
pub mod iam;
pub mod jwt;
pub mod policy;
pub mod response;
pub mod sources;

use std::time::Duration;

use serde_json::Value;

use crate::lambda::shares::Caller;
use crate::lambda::{Functions, Invocation, InvokeError};
use crate::model::LambdaAuthorizer;
use response::{AuthorizerResponse, Rejection};

/// Timeout of an authorizer.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// Rejects a request to a route whose authorizer cannot be applied, and logs why.
pub fn denied(route_key: &str, why: &str) -> Rejection {
    tracing::warn!("{route_key} lets nobody in: {why}");
    Rejection::Forbidden
}

/// Invokes the function of an authorizer, as an event of `caller`.
///
/// # Errors
///
/// [`Rejection`].
pub async fn invoke_authorizer(
    functions: &Functions,
    authorizer: &LambdaAuthorizer,
    connection_id: Option<&str>,
    caller: Caller,
    event: &Value,
) -> Result<AuthorizerResponse, Rejection> {
    let invocation = Invocation {
        function: &authorizer.function,
        cause: "authorizer",
        connection_id,
        caller: Some(caller),
        payload: event.to_string().into(),
        timeout: AUTHORIZER_TIMEOUT,
        dropped: None,
    };
    match functions.invoke(invocation).await {
        Ok(payload) => AuthorizerResponse::parse(&payload, authorizer.simple),
        Err(InvokeError::Function(error)) if error.message() == "Unauthorized" => {
            Err(Rejection::Unauthorized)
        }
        Err(error) => {
            tracing::warn!("the authorizer {} failed: {error}", authorizer.function);
            Err(Rejection::Failed)
        }
    }
}
