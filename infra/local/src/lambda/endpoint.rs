//! Functions behind another Invoke API, such as that of `cargo lambda watch`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, StatusCode, Uri};
use tokio::sync::Semaphore;

use super::{FunctionError, InvokeError, Lambda, Lambdas};
use crate::client;
use crate::template::{Function, Template};

/// Invocations under way at once. `cargo lambda watch` hangs for good near a hundred.
const MAX_OUTSTANDING: usize = 64;

/// How long the first invocation of a function may take: it may have to be compiled.
const WARM_UP_PATIENCE: Duration = Duration::from_secs(600);

/// A function behind another Invoke API.
pub struct RemoteFunction {
    name: String,
    url: Uri,
    timeout: Duration,
    outstanding: Arc<Semaphore>,
}

/// The functions of a template behind the Invoke API at `base`.
///
/// # Errors
///
/// `base` is not a URL.
pub fn functions(template: &Template, base: &str) -> Result<Lambdas> {
    let base: Uri = base.trim_end_matches('/').parse()?;
    let is_http = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&base.scheme());
    ensure!(is_http, "{base} is not a URL such as http://127.0.0.1:9000");
    let outstanding = Arc::new(Semaphore::new(MAX_OUTSTANDING));
    let functions = template.functions.values().map(|function| {
        let remote = RemoteFunction::new(function, &base, Arc::clone(&outstanding))?;
        Ok((function.name.clone(), Lambda::Remote(Arc::new(remote))))
    });
    functions.collect()
}

/// Makes each function ready, one after another: `cargo lambda watch` starts a function with its
/// first invocation, and several at once wait for each other. A real Lambda runs nothing.
pub async fn warm_up(lambdas: &Lambdas) {
    for lambda in lambdas.values() {
        if let Lambda::Remote(function) = lambda {
            tracing::info!("waiting for {}", function.name);
            let answer =
                tokio::time::timeout(WARM_UP_PATIENCE, function.post("DryRun", "{}".into()));
            match answer.await {
                // Whatever it makes of an empty event, it runs.
                Ok(Ok(answer)) if answer.status() != StatusCode::NOT_FOUND => {}
                Ok(Ok(_)) => tracing::error!("there is no function {} there", function.name),
                Ok(Err(error)) => tracing::error!("{} cannot be reached: {error:#}", function.name),
                Err(_) => tracing::error!("{} does not answer", function.name),
            }
        }
    }
}

impl RemoteFunction {
    fn new(function: &Function, base: &Uri, outstanding: Arc<Semaphore>) -> Result<Self> {
        let name = &function.invoke_name;
        let url = format!("{base}/2015-03-31/functions/{name}/invocations");
        Ok(Self {
            name: name.clone(),
            url: url.replace("//2015", "/2015").parse()?,
            timeout: function.timeout,
            outstanding,
        })
    }

    /// Invokes the function and waits for its result.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeError> {
        let permit = self.outstanding.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        // cargo lambda watch never answers for a process that has crashed.
        let Ok(answer) =
            tokio::time::timeout(self.timeout, self.post("RequestResponse", payload)).await
        else {
            let seconds = self.timeout.as_secs_f64();
            let message = format!("Error: Task timed out after {seconds:.2} seconds");
            return Err(InvokeError::Function(FunctionError::new(
                "Sandbox.Timedout",
                &message,
            )));
        };
        let answer = answer.map_err(|error| {
            InvokeError::NotInvocable(format!("{} cannot be reached: {error:#}", self.name))
        })?;
        self.outcome(answer)
    }

    fn outcome(&self, answer: Response<Bytes>) -> Result<Bytes, InvokeError> {
        let status = answer.status();
        let has_error = answer.headers().contains_key("x-amz-function-error");
        // cargo lambda watch says 500 where Lambda has the header.
        if has_error || status.is_server_error() {
            return Err(InvokeError::Function(FunctionError::from_json(
                answer.body(),
            )));
        }
        match status.is_success() {
            true => Ok(answer.into_body()),
            false => Err(InvokeError::NotInvocable(format!(
                "invoking {}: {status}",
                self.name
            ))),
        }
    }

    async fn post(&self, invocation_type: &str, payload: Bytes) -> Result<Response<Bytes>> {
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("x-amz-invocation-type", invocation_type)
            .body(Full::new(payload))?;
        client::send(request).await
    }
}
