//! Functions behind another Invoke API, such as that of `cargo lambda watch`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, StatusCode, Uri};
use tokio::sync::Semaphore;

use super::{FunctionError, InvokeError};
use crate::http::client;
use crate::http::sigv4::{self, AccessKey};
use crate::model::Template;

/// Limit of concurrent invocations of a function. `cargo lambda watch` hangs near a hundred.
pub const MAX_OUTSTANDING: usize = 64;

/// Timeout of the first invocation of a function, which may have to be compiled.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(600);

/// A function behind another Invoke API.
pub struct RemoteFunction {
    name: String,
    url: Uri,
    timeout: Duration,
    access_key: AccessKey,
    outstanding: Semaphore,
}

/// The names of functions at an Invoke API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// As their binaries: `cargo lambda watch` knows no other names.
    Binaries,
    /// As the template says (`FunctionName`), else as their binaries.
    Functions,
}

/// Returns the functions of a template behind the Invoke API at `base`, which `access_key` signs
/// for: by the names of their binaries, those that have one.
///
/// # Errors
///
/// `base` is not a URL.
pub fn functions(
    template: &Template,
    base: &str,
    names: Names,
    access_key: &AccessKey,
) -> Result<BTreeMap<String, Arc<RemoteFunction>>> {
    let base: Uri = base.trim_end_matches('/').parse()?;
    let is_http = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&base.scheme());
    ensure!(is_http, "{base} is not a URL such as http://127.0.0.1:9000");
    let named = template.functions.values().filter_map(|function| {
        let name = match names {
            Names::Binaries => function.binary()?,
            Names::Functions => function.name_elsewhere(),
        };
        Some((function, name))
    });
    let functions = named.map(|(function, name)| {
        let url = format!("{base}/2015-03-31/functions/{name}/invocations");
        let remote = RemoteFunction {
            name: name.to_owned(),
            url: url.replace("//2015", "/2015").parse()?,
            timeout: function.timeout,
            access_key: access_key.clone(),
            outstanding: Semaphore::new(MAX_OUTSTANDING),
        };
        Ok((function.logical_id.clone(), Arc::new(remote)))
    });
    functions.collect()
}

/// Sends a DryRun to each function in turn, so that `cargo lambda watch` starts it: several starts
/// at once would wait for each other. On real Lambda a DryRun runs nothing. The functions of custom
/// resources are left out: their Create events start them, one after another.
pub async fn warm_up(template: &Template, functions: &BTreeMap<String, Arc<RemoteFunction>>) {
    let makes_resource = |id: &str| {
        let mut resources = template.custom_resources.iter();
        resources.any(|resource| resource.function == id)
    };
    for (_, function) in functions.iter().filter(|(id, _)| !makes_resource(id)) {
        tracing::info!("waiting for {}", function.name);
        let response = tokio::time::timeout(WARM_UP_TIMEOUT, function.post("DryRun", "{}".into()));
        match response.await {
            Ok(Ok(response)) => match response.status() {
                StatusCode::NOT_FOUND => {
                    tracing::error!("there is no function {} there", function.name);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => tracing::error!(
                    "{} may not be invoked with this --access-key",
                    function.name
                ),
                // Any other response means that the function runs.
                _ => {}
            },
            Ok(Err(error)) => tracing::error!("{} cannot be reached: {error:#}", function.name),
            Err(_) => tracing::error!("{} does not respond", function.name),
        }
    }
}

impl RemoteFunction {
    /// Invokes the function and waits for its result.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeError> {
        let permit = self.outstanding.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        // cargo lambda watch never responds for a process that has crashed.
        let Ok(response) =
            tokio::time::timeout(self.timeout, self.post("RequestResponse", payload)).await
        else {
            return Err(InvokeError::Function(FunctionError::timed_out(
                self.timeout,
            )));
        };
        let response = response.map_err(|error| {
            InvokeError::NotInvocable(format!("{} cannot be reached: {error:#}", self.name))
        })?;
        self.outcome(response)
    }

    fn outcome(&self, response: Response<Bytes>) -> Result<Bytes, InvokeError> {
        let status = response.status();
        let has_error = response.headers().contains_key("x-amz-function-error");
        // cargo lambda watch sends 500 where Lambda sends the header.
        if has_error || status.is_server_error() {
            return Err(InvokeError::Function(FunctionError::from_json(
                response.body(),
            )));
        }
        if status.is_success() {
            Ok(response.into_body())
        } else {
            Err(InvokeError::NotInvocable(format!(
                "invoking {}: {status}",
                self.name
            )))
        }
    }

    async fn post(&self, invocation_type: &str, payload: Bytes) -> Result<Response<Bytes>> {
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("x-amz-invocation-type", invocation_type)
            .body(Full::new(payload.clone()))?;
        let signed = sigv4::sign(request, &payload, "lambda", &self.access_key)?;
        client::send(signed).await
    }
}
