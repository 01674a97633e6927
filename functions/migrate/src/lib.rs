//! The migration as a step of the deployment: a [custom resource] of CloudFormation.
//!
//! - [`run`]: one run, which ends before Lambda ends it
//! - [`answer`]: what CloudFormation hears, and how
//!
//! When the resource is created or updated, the migration runs, and the deployment fails with it.
//! When it is deleted, nothing is touched, and no database is needed. The same goes for a roll-back:
//! the migration only ever adds, so the code of before works after it.
//!
//! An operator may invoke the function with `{}`. That runs the migration as well and returns what
//! it did: `{"numbered":3,"left_alone":0}`.
//!
//! [custom resource]: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources-lambda.html

pub mod run;

pub mod answer;

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest as ResourceRequest;
use chat::migration::Summary;
use chat::{Deadline, Error};
use chat_lambda::config::DatabaseConfig;
use chat_lambda::deadline;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use answer::Answer;

/// What the handler works with.
pub struct Deps {
    /// The database. What is wrong with these settings is an answer: CloudFormation would wait an
    /// hour for a function that ends at its start.
    pub database: Result<DatabaseConfig, Error>,
}

/// What the function is asked for.
#[derive(Debug)]
pub enum Request {
    /// `{}`, of an operator: run the migration.
    Run,
    /// A request of CloudFormation.
    Resource {
        /// Whether the migration has to run for it.
        migrates: bool,
        /// Where the answer goes, and what it repeats.
        answer: Box<Answer>,
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
            _ => return Err(invalid_event("it asks for what is not known here")),
        };
        Ok(Self::Resource {
            migrates,
            answer: Box::new(Answer::new(url, ids)),
        })
    }
}

fn invalid_event(why: impl std::fmt::Display) -> Diagnostic {
    Diagnostic {
        error_type: "InvalidEvent".to_owned(),
        error_message: format!("the event is neither {{}} nor a request of CloudFormation: {why}"),
    }
}

/// Whether an update goes back to an earlier version of this function. `Version` of the resource is
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

/// Answers one request.
///
/// # Errors
///
/// - `InvalidEvent`: it is neither `{}` nor a request of CloudFormation.
/// - `Unavailable`, of an operator's request: the migration failed.
/// - `Unavailable`, of CloudFormation's: the answer was not delivered. Lambda tries the event again.
pub async fn handle(event: LambdaEvent<Value>, deps: &'static Deps) -> Result<Value, Diagnostic> {
    let deadline = deadline::if_known(&event.context);
    match Request::try_from(event.payload)? {
        Request::Run => match migrate(deps, deadline).await {
            Ok(summary) => Ok(json!(summary)),
            Err(reason) => Err(unavailable(reason)),
        },
        Request::Resource { migrates, answer } => {
            let outcome = match migrates {
                true => migrate(deps, deadline).await.map(Some),
                false => Ok(None),
            };
            answer.deliver(outcome).await.map_err(|error| {
                let cause = error.chain();
                tracing::error!(cause, "answer not delivered");
                unavailable(cause)
            })?;
            Ok(Value::Null)
        }
    }
}

/// Runs the migration; an error is the reason why it failed, in one line.
async fn migrate(deps: &Deps, deadline: Option<Deadline>) -> Result<Summary, String> {
    let outcome = match &deps.database {
        Ok(config) => run::run(config.clone(), deadline)
            .await
            .map_err(|error| error.chain()),
        Err(error) => Err(error.chain()),
    };
    outcome.inspect_err(|cause| tracing::error!(cause, "migration failed"))
}

/// An error that says why, since an operator reads it.
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
            Request::Run => panic!("it is one of CloudFormation"),
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
    fn a_resource_is_made_by_a_migration_and_removed_without_one() {
        assert!(migrates(event("Create", "", SEVEN)));
        assert!(!migrates(event("Delete", "", SEVEN)));
    }

    #[test]
    fn an_event_of_somebody_else_is_an_error() {
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
