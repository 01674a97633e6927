//! The migration as a step of the deployment: a [custom resource] of CloudFormation.
//!
//! - [`run`]: one run, which ends before the timeout of the function
//! - [`response`]: the response to CloudFormation
//!
//! When the resource is created or updated, the migration runs, and the deployment fails with it.
//! When it is deleted, nothing happens, and no database is needed. The same holds for a roll-back:
//! the migration only ever adds, so older code works after it.
//!
//! An operator may invoke the function with `{}`. That runs the migration as well and returns its
//! summary: `{"numbered":3,"left_alone":0,"conversations":2}`.
//!
//! [custom resource]: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources-lambda.html

pub mod run;

pub mod response;

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as ResourceRequest;
use chat::migration::Summary;
use chat::{Deadline, Error};
use chat_lambda::config::DatabaseConfig;
use chat_lambda::deadline;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use response::CustomResourceResponse;

/// The dependencies of the handler.
pub struct Deps {
    /// Settings of the database. An error in them becomes a response: CloudFormation would wait an hour
    /// for a function that ends at its start.
    pub database: Result<DatabaseConfig, Error>,
}

/// A request to the function.
#[derive(Debug)]
pub enum Request {
    /// `{}`, from an operator: runs the migration.
    Run,
    /// A request from CloudFormation.
    Resource {
        /// Whether the migration has to run for it.
        migrates: bool,
        /// The response, which has no outcome yet.
        response: Box<CustomResourceResponse>,
    },
}

impl TryFrom<Value> for Request {
    type Error = Diagnostic;

    fn try_from(event: Value) -> Result<Self, Diagnostic> {
        if event == json!({}) {
            return Ok(Self::Run);
        }
        let request = serde_json::from_value(event).map_err(invalid_event)?;
        let (migrates, url, ids) = match request {
            ResourceRequest::Create(it) => (
                true,
                it.response_url,
                (it.stack_id, it.request_id, it.logical_resource_id),
            ),
            ResourceRequest::Update(it) => (
                !is_roll_back(&it.old_resource_properties, &it.resource_properties),
                it.response_url,
                (it.stack_id, it.request_id, it.logical_resource_id),
            ),
            ResourceRequest::Delete(it) => (
                false,
                it.response_url,
                (it.stack_id, it.request_id, it.logical_resource_id),
            ),
            _ => return Err(invalid_event("its request type is unknown")),
        };
        Ok(Self::Resource {
            migrates,
            response: Box::new(CustomResourceResponse::new(url, ids)),
        })
    }
}

fn invalid_event(why: impl std::fmt::Display) -> Diagnostic {
    Diagnostic {
        error_type: "InvalidEvent".to_owned(),
        error_message: format!("the event is neither {{}} nor a request of CloudFormation: {why}"),
    }
}

/// Returns whether an update goes back to an earlier version of this function. `Version` of the resource is
/// the ARN of a published version, which ends in its number: those of one function only grow.
fn is_roll_back(old: &Value, new: &Value) -> bool {
    fn version(properties: &Value) -> Option<(&str, u64)> {
        let (function, number) = properties["Version"].as_str()?.rsplit_once(':')?;
        Some((function, number.parse().ok()?))
    }
    match (version(old), version(new)) {
        (Some((old_function, old)), Some((new_function, new))) => {
            old_function == new_function && new < old
        }
        _ => false,
    }
}

/// Handles one request.
///
/// # Errors
///
/// - `InvalidEvent`: it is neither `{}` nor a request of CloudFormation.
/// - `Unavailable`, of an operator's request: the migration failed.
/// - `Unavailable`, of CloudFormation's: the response was not accepted. Lambda retries the event.
pub async fn handle(event: LambdaEvent<Value>, deps: &'static Deps) -> Result<Value, Diagnostic> {
    let deadline = deadline::if_known(&event.context);
    match Request::try_from(event.payload)? {
        Request::Run => match migrate(deps, deadline).await {
            Ok(summary) => Ok(json!(summary)),
            Err(reason) => Err(unavailable(reason)),
        },
        Request::Resource { migrates, response } => {
            let outcome = if migrates {
                migrate(deps, deadline).await.map(Some)
            } else {
                Ok(None)
            };
            response.send(outcome).await.map_err(|error| {
                let cause = error.chain();
                tracing::error!(cause, "response not delivered");
                unavailable(cause)
            })?;
            Ok(Value::Null)
        }
    }
}

/// Runs the migration; an error is the reason for which it failed, in one line.
async fn migrate(deps: &Deps, deadline: Option<Deadline>) -> Result<Summary, String> {
    let outcome = match &deps.database {
        Ok(config) => run::run(config.clone(), deadline)
            .await
            .map_err(|error| error.chain()),
        Err(error) => Err(error.chain()),
    };
    outcome.inspect_err(|cause| tracing::error!(cause, "migration failed"))
}

/// Returns an error with its cause, since an operator reads it.
fn unavailable(error_message: String) -> Diagnostic {
    Diagnostic {
        error_type: "Unavailable".to_owned(),
        error_message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(request_type: &str, old: &str, new: &str) -> Value {
        json!({
            "RequestType": request_type,
            "ResponseURL": "http://127.0.0.1/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/chat/1",
            "RequestId": "1",
            "ResourceType": "Custom::Migration",
            "LogicalResourceId": "Migration",
            "PhysicalResourceId": "migration",
            "ResourceProperties": {"ServiceToken": "a", "Version": new},
            "OldResourceProperties": {"ServiceToken": "a", "Version": old},
        })
    }

    fn migrates(event: Value) -> bool {
        match Request::try_from(event).expect("a request") {
            Request::Run => panic!("it is from CloudFormation"),
            Request::Resource { migrates, .. } => migrates,
        }
    }

    const SEVEN: &str = "arn:aws:lambda:us-east-1:123456789012:function:chat-migrate:7";

    #[test]
    fn an_upgrade_migrates_and_a_roll_back_does_not() {
        let (eight, ten) = (SEVEN.replace(":7", ":8"), SEVEN.replace(":7", ":10"));
        assert!(migrates(event("Update", SEVEN, &eight)));
        assert!(migrates(event("Update", SEVEN, &ten)), "numbers, not texts");
        assert!(!migrates(event("Update", &ten, SEVEN)));
        assert!(
            migrates(event("Update", SEVEN, SEVEN)),
            "something else changed"
        );
    }

    #[test]
    fn versions_that_cannot_be_compared_migrate() {
        let other = SEVEN.replace("migrate:7", "another:1");
        for (old, new) in [
            (SEVEN, other.as_str()),
            (SEVEN, ""),
            ("", "1"),
            (SEVEN, "x:y"),
        ] {
            assert!(migrates(event("Update", old, new)), "{old} {new}");
        }
    }

    #[test]
    fn creating_the_resource_migrates_and_deleting_it_does_not() {
        assert!(migrates(event("Create", "", SEVEN)));
        assert!(!migrates(event("Delete", "", SEVEN)));
    }

    #[test]
    fn an_event_from_anything_else_is_an_error() {
        let mut without_url = event("Create", "", "");
        without_url
            .as_object_mut()
            .expect("a map")
            .remove("ResponseURL");
        for event in [
            json!({"hello": "world"}),
            json!([]),
            json!(null),
            event("Shrink", "", ""),
            without_url,
        ] {
            let error = Request::try_from(event).expect_err("an error");
            assert_eq!(error.error_type, "InvalidEvent", "{error:?}");
        }
    }
}
