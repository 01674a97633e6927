//! A template as data: functions, APIs, queues, custom resources.
//!
//! - `arn`: region, account, ARNs of functions and queues
//! - `function`: functions, their code and its runtime
//! - `api`: the WebSocket API and the HTTP API, with their stages and routes
//! - `authorizer`: authorizers of handshakes and requests
//! - `queue`: queues, and the functions that consume them
//! - `schedule`: functions that are invoked at times
//! - [`selection`]: expressions that select the route of a frame

mod api;
mod arn;
mod authorizer;
mod function;
mod queue;
mod schedule;
pub mod selection;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use api::{Cors, HttpApi, HttpRoute, Route, Stage, Throttle, WebSocketApi};
pub use arn::{
    ACCOUNT_ID, REGION, STACK_ID, function_arn, function_name, queue_arn, queue_name, queue_url,
    sqs_url,
};
pub use authorizer::{Authorizer, IdentitySource, JwtAuthorizer, LambdaAuthorizer, Payload};
pub use function::{Code, Function, Runtime};
pub use queue::{EventSource, Queue, Redrive};
pub use schedule::{Schedule, Times};

/// The variable that tells an SDK the address of Lambda.
const LAMBDA_ENDPOINT: &str = "AWS_ENDPOINT_URL_LAMBDA";

/// The variable that tells an SDK the address of SQS.
const SQS_ENDPOINT: &str = "AWS_ENDPOINT_URL_SQS";

/// The part of a template that one machine can serve.
#[derive(Debug, Clone)]
pub struct Template {
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The WebSocket API.
    pub websocket: Option<Arc<WebSocketApi>>,
    /// The HTTP API.
    pub http: Option<HttpApi>,
    /// The queues, by name.
    pub queues: BTreeMap<String, Queue>,
    /// The functions that consume them.
    pub event_sources: Vec<EventSource>,
    /// The functions that are invoked at times.
    pub schedules: Vec<Schedule>,
    /// The custom resources of its functions, in creation order.
    pub custom_resources: Vec<CustomResource>,
    /// The parts that are not served, with their lines, as text for the developer.
    pub not_served: Vec<String>,
}

impl Template {
    /// Replaces the addresses that the APIs and the queues have on AWS by those on this machine, in
    /// the environment of all functions: `https://{api}.execute-api.{region}.amazonaws.com` becomes
    /// `http://{address}`, and the host alone `{address}`. SDKs in the functions get the address of the
    /// Invoke API, and, if there are queues, of their API.
    ///
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    pub fn set_addresses(&mut self, websocket: &str, http: &str) {
        let sqs = format!("http://{websocket}");
        self.set_default(LAMBDA_ENDPOINT, &sqs);
        if !self.queues.is_empty() {
            self.set_default(SQS_ENDPOINT, &sqs);
        }
        let websocket = self.websocket.as_ref().map(|api| (&api.api_id, websocket));
        let http = self.http.as_ref().map(|api| (&api.api_id, http));
        let addresses: Vec<_> = [websocket, http].into_iter().flatten().collect();
        for function in self.functions.values_mut() {
            for value in function.environment.values_mut() {
                *value = value.replace(&sqs_url(), &sqs);
                for (api_id, address) in &addresses {
                    let host = api_host(api_id);
                    for (on_aws, here) in [("https://", "http://"), ("wss://", "ws://"), ("", "")] {
                        let on_aws = format!("{on_aws}{host}");
                        *value = replace_host(value, &on_aws, &format!("{here}{address}"));
                    }
                }
            }
        }
    }

    /// Returns the schedule that `name` names: by its logical id, or by its function.
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        let by_id = self.schedules.iter().find(|schedule| schedule.id == name);
        by_id.or_else(|| {
            let function = &self.function(name)?.logical_id;
            self.schedules.iter().find(|it| it.function == *function)
        })
    }

    /// Sets a variable in the environment of all functions for which the template does not set it.
    pub fn set_default(&mut self, name: &str, value: &str) {
        for function in self.functions.values_mut() {
            let variable = function.environment.entry(name.to_owned());
            variable.or_insert_with(|| value.to_owned());
        }
    }

    /// Returns the function that `name` names: by logical id, `FunctionName`, name of the binary,
    /// or ARN.
    pub fn function(&self, name: &str) -> Option<&Function> {
        let name = function_name(name).unwrap_or(name);
        self.functions.get(name).or_else(|| {
            let mut functions = self.functions.values();
            functions
                .find(|function| function.function_name == name || function.binary() == Some(name))
        })
    }
}

/// Returns the host of an API on AWS.
fn api_host(api_id: &str) -> String {
    format!("{api_id}.execute-api.{REGION}.amazonaws.com")
}

/// Whether a text has the address that an API has on AWS.
pub fn has_address(text: &str, api_id: &str) -> bool {
    replace_host(text, &api_host(api_id), "") != text
}

/// Replaces a host, unless it is the end of a longer one.
fn replace_host(text: &str, host: &str, by: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(host) {
        let is_part = |last: char| last.is_ascii_alphanumeric() || "-._".contains(last);
        replaced.push_str(before);
        replaced.push_str(if before.ends_with(is_part) { host } else { by });
        rest = after;
    }
    replaced + rest
}

/// A resource that a function creates on a Create event.
#[derive(Debug, Clone)]
pub struct CustomResource {
    /// Its logical id.
    pub id: String,
    /// Its type: `Custom::Migration`.
    pub kind: String,
    /// The function behind its `ServiceToken`, by logical id.
    pub function: String,
    /// Timeout of the function's response: `ServiceTimeout`, an hour by default.
    pub timeout: Duration,
    /// Its properties as the function gets them: every value is a text.
    pub properties: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_replaced_with_or_without_a_scheme_but_not_as_a_part_of_another() {
        let host = "Ws.execute-api.us-east-1.amazonaws.com";
        for (text, expected) in [
            ("Ws.execute-api.us-east-1.amazonaws.com/prod", "here:1/prod"),
            (
                "MyWs.execute-api.us-east-1.amazonaws.com",
                "MyWs.execute-api.us-east-1.amazonaws.com",
            ),
            (
                "a,Ws.execute-api.us-east-1.amazonaws.com,//Ws.execute-api.us-east-1.amazonaws.com",
                "a,here:1,//here:1",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(replace_host(text, host, "here:1"), expected, "{text}");
        }
    }
}
