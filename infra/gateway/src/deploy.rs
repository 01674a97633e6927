//! Makes the custom resources of a template, as a deployment does before it goes on.
//!
//! The function gets a Create event with the address of a listener of ours, to which it sends its
//! answer when it has one.
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

/// The largest answer, in bytes.
const MAX_RESPONSE_BYTES: usize = 4_096;

/// Makes all custom resources, one after another.
///
/// # Errors
///
/// One of them cannot be made, and the sentence says which and why.
pub async fn create_all(template: &Template, functions: &Functions) -> Result<()> {
    for resource in &template.custom_resources {
        create(resource, functions)
            .await
            .with_context(|| resource.id.clone())?;
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
    let answer =
        tokio::time::timeout(*timeout, ask(&event, function, functions, &mut responses)).await;
    let answer = answer.with_context(|| {
        let seconds = timeout.as_secs();
        format!("{function} did not answer within {seconds} seconds (ServiceTimeout)")
    })?;
    let body = answer.with_context(|| format!("{function} failed"))?;
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

/// Invokes the function and waits for its answer, which may come long after its result.
async fn ask(
    event: &Value,
    function: &str,
    functions: &Functions,
    responses: &mut ResponseListener,
) -> Result<Bytes> {
    let invocation = functions.invoke(Invocation {
        function,
        cause: "custom resource",
        connection_id: None,
        payload: event.to_string().into(),
        timeout: MAX_TIMEOUT,
    });
    tokio::select! {
        biased;
        answer = responses.next() => return answer,
        outcome = invocation => if let Err(error) = outcome {
            // Nobody is left to answer. On AWS the event is tried twice more.
            bail!("{error}");
        },
    }
    responses.next().await
}

/// Whether a resource has been made.
///
/// # Errors
///
/// It has not; the sentence is the function's reason. Or the answer is none that CloudFormation takes.
fn check(body: &[u8], event: &Value) -> Result<()> {
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
    const INVALID: &str = "its answer is not valid";
    ensure!(
        body.len() <= MAX_RESPONSE_BYTES,
        "{INVALID}: it has more than {MAX_RESPONSE_BYTES} bytes"
    );
    let answer: CustomResourceResponse = serde_json::from_slice(body).context(INVALID)?;
    for (name, ours) in [
        ("StackId", &answer.stack_id),
        ("RequestId", &answer.request_id),
        ("LogicalResourceId", &answer.logical_resource_id),
    ] {
        ensure!(
            event[name] == **ours,
            "{INVALID}: its {name} is another one"
        );
    }
    match answer.status {
        Status::Failed => bail!(answer.reason.unwrap_or("it gives no reason".to_owned())),
        Status::Success => {
            let has_id = answer.physical_resource_id.is_some_and(|id| !id.is_empty());
            ensure!(has_id, "{INVALID}: it has no PhysicalResourceId");
            Ok(())
        }
    }
}

/// Takes the answer for one request.
struct ResponseListener {
    url: String,
    answers: mpsc::Receiver<Bytes>,
    _open: DropGuard,
}

impl ResponseListener {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let path = format!("/{:032x}", fastrand::u128(..));
        let url = format!("http://{}{path}", listener.local_addr()?);
        let (sender, answers) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let handler = move |request: Request<Incoming>, _| {
            let (sender, path) = (sender.clone(), path.clone());
            async move { response(take(request, &path, &sender).await, Bytes::new()) }
        };
        tokio::spawn(server::serve(listener, stop.clone(), handler));
        Ok(Self {
            url,
            answers,
            _open: stop.drop_guard(),
        })
    }

    async fn next(&mut self) -> Result<Bytes> {
        let answer = self.answers.recv().await;
        answer.context("nobody takes its answer")
    }
}

/// Takes an answer, as S3 does for CloudFormation: whatever it holds.
async fn take(request: Request<Incoming>, path: &str, answers: &mpsc::Sender<Bytes>) -> StatusCode {
    if request.uri().path() != path {
        return StatusCode::FORBIDDEN;
    }
    if request.method() != Method::PUT {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match server::read_body(request.into_body(), 16 * MAX_RESPONSE_BYTES).await {
        Ok(body) => {
            // The first one counts.
            let _ = answers.try_send(body);
            StatusCode::OK
        }
        Err(status) => status,
    }
}
