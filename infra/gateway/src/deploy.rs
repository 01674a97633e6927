//! Creates the custom resources of a template, as a deployment does.
//!
//! The function gets a Create event with the address of a listener of ours (`ResponseURL`), and
//! sends its response there.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::http::server::{self, response};
use crate::ids::new_id;
use crate::lambda::{Functions, Invocation, MAX_TIMEOUT};
use crate::model::{CustomResource, STACK_ID, Template};

/// Size limit of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 4_096;

/// Creates all custom resources, one after another. With `skip_failed`, those that cannot be made are logged.
///
/// # Errors
///
/// One of them cannot be made, and the sentence says which and why.
pub async fn create_all(
    template: &Template,
    functions: &Functions,
    skip_failed: bool,
) -> Result<()> {
    for resource in &template.custom_resources {
        let id = &resource.id;
        match create(resource, functions).await {
            Err(why) if skip_failed => tracing::warn!("not made: {id}: {why:#}"),
            Err(why) => {
                bail!("{id}: {why:#} (--skip-failed-resources serves the rest without it)")
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn create(resource: &CustomResource, functions: &Functions) -> Result<()> {
    let CustomResource {
        id,
        function,
        timeout,
        ..
    } = resource;
    tracing::info!("waiting for {id}, which {function} makes");
    let mut responses = ResponseListener::open().await?;
    let event = create_event(resource, &responses.url);
    let response = tokio::time::timeout(
        *timeout,
        invoke_and_wait(&event, function, functions, &mut responses),
    )
    .await;
    let response = response.with_context(|| {
        let seconds = timeout.as_secs();
        format!("{function} did not respond within {seconds} seconds (ServiceTimeout)")
    })?;
    let body = response.with_context(|| format!("{function} failed"))?;
    check(&body, &event)
}

fn create_event(resource: &CustomResource, url: &str) -> Value {
    json!({
        "RequestType": "Create",
        "ServiceToken": resource.properties["ServiceToken"],
        "ResponseURL": url,
        "StackId": STACK_ID,
        "RequestId": new_id(),
        "LogicalResourceId": resource.id,
        "ResourceType": resource.kind,
        "ResourceProperties": resource.properties,
    })
}

/// Invokes the function and waits for its response, which may come long after its result.
async fn invoke_and_wait(
    event: &Value,
    function: &str,
    functions: &Functions,
    responses: &mut ResponseListener,
) -> Result<Bytes> {
    let invocation = functions.invoke(Invocation {
        function,
        cause: "custom resource",
        connection_id: None,
        caller: None,
        payload: event.to_string().into(),
        timeout: MAX_TIMEOUT,
        dropped: None,
    });
    tokio::select! {
        biased;
        response = responses.next() => return response,
        outcome = invocation => if let Err(error) = outcome {
            // No response can come any longer. AWS would retry the event twice.
            bail!("{error}");
        },
    }
    responses.next().await
}

/// The response of a function to an event.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CustomResourceResponse {
    status: Status,
    reason: Option<String>,
    physical_resource_id: Option<String>,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Success,
    Failed,
}

/// Checks that a resource was created.
///
/// # Errors
///
/// The resource was not created; the sentence is the function's reason. Or CloudFormation would not
/// accept the response.
fn check(body: &[u8], event: &Value) -> Result<()> {
    const INVALID: &str = "its response is not valid";
    ensure!(
        body.len() <= MAX_RESPONSE_BYTES,
        "{INVALID}: it has more than {MAX_RESPONSE_BYTES} bytes"
    );
    let response: CustomResourceResponse = serde_json::from_slice(body).context(INVALID)?;
    for (name, ours) in [
        ("StackId", &response.stack_id),
        ("RequestId", &response.request_id),
        ("LogicalResourceId", &response.logical_resource_id),
    ] {
        ensure!(
            event[name] == **ours,
            "{INVALID}: its {name} is another one"
        );
    }
    if response.status == Status::Failed {
        bail!(response.reason.unwrap_or("it gives no reason".to_owned()));
    }
    let id = response.physical_resource_id;
    let has_id = id.is_some_and(|id| !id.is_empty());
    ensure!(has_id, "{INVALID}: it has no PhysicalResourceId");
    Ok(())
}

/// A listener for the response to one event.
struct ResponseListener {
    url: String,
    responses: mpsc::Receiver<Bytes>,
    _open: DropGuard,
}

impl ResponseListener {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let path = format!("/{:032x}", fastrand::u128(..));
        let url = format!("http://{}{path}", listener.local_addr()?);
        let (sender, responses) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let handler = move |request: Request<Incoming>, _| {
            let (sender, path) = (sender.clone(), path.clone());
            async move { response(take(request, &path, &sender).await, Bytes::new()) }
        };
        tokio::spawn(server::serve(listener, stop.clone(), handler));
        Ok(Self {
            url,
            responses,
            _open: stop.drop_guard(),
        })
    }

    async fn next(&mut self) -> Result<Bytes> {
        let response = self.responses.recv().await;
        response.context("the listener for its response has ended")
    }
}

/// Takes a response with any body, as S3 does for CloudFormation.
async fn take(
    request: Request<Incoming>,
    path: &str,
    responses: &mpsc::Sender<Bytes>,
) -> StatusCode {
    if request.uri().path() != path {
        return StatusCode::FORBIDDEN;
    }
    if request.method() != Method::PUT {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match server::read_body(request.into_body(), 16 * MAX_RESPONSE_BYTES).await {
        Ok(body) => {
            // Only the first response counts.
            let _ = responses.try_send(body);
            StatusCode::OK
        }
        Err(status) => status,
    }
}
