//! Invokes functions at times, as EventBridge does.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html>,
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html>

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lambda::{Functions, later};
use crate::model::{ACCOUNT_ID, REGION, Schedule};

/// The longest wait at once: a machine may sleep, and its clock be set.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Invokes the function at each time of a schedule, until `stop`.
pub async fn run(schedule: Schedule, functions: Arc<Functions>, stop: CancellationToken) {
    let mut last = Utc::now();
    while let Some(next) = schedule.times.next(last) {
        if stop.run_until_cancelled(wait_until(next)).await.is_none() {
            return;
        }
        last = next.max(Utc::now());
        fire(&schedule, Arc::clone(&functions), stop.clone()).await;
    }
}

async fn wait_until(time: DateTime<Utc>) {
    while let Ok(left) = (time - Utc::now()).to_std() {
        tokio::time::sleep(left.min(MAX_WAIT)).await;
    }
}

/// Invokes the function of a schedule now. It is repeated as an asynchronous event.
pub async fn fire(schedule: &Schedule, functions: Arc<Functions>, stop: CancellationToken) {
    let function = &schedule.function;
    tracing::info!("{} fires {function}", schedule.id);
    let event = event(schedule, Utc::now());
    later::invoke(&functions, function, "schedule", event, stop).await;
}

/// Returns the event of a schedule: its input, or what EventBridge sends without one.
fn event(schedule: &Schedule, now: DateTime<Utc>) -> Bytes {
    if let Some(input) = &schedule.input {
        return input.clone().into();
    }
    let (service, id) = (schedule.service, &schedule.id);
    let resource = match service {
        "scheduler" => format!("schedule/default/{id}"),
        _ => format!("rule/{id}"),
    };
    let mut event = json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": format!("aws.{service}"),
        "account": ACCOUNT_ID,
        "time": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "region": REGION,
        "resources": [format!("arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}")],
        "detail": {},
    });
    // EventBridge Scheduler sends the detail as a text.
    if service == "scheduler" {
        event["detail"] = "{}".into();
    }
    event.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Times;

    fn sent(service: &'static str, input: Option<&str>) -> serde_json::Value {
        let schedule = Schedule {
            id: "Daily".to_owned(),
            function: "Fn".to_owned(),
            times: Times::parse("rate(1 day)").expect("valid"),
            is_enabled: true,
            input: input.map(str::to_owned),
            service,
        };
        let now = "2026-11-29T12:00:00Z".parse().expect("a time");
        serde_json::from_slice(&event(&schedule, now)).expect("JSON")
    }

    #[test]
    fn an_event_is_that_of_its_service_or_the_input() {
        let of_rule = sent("events", None);
        assert_eq!(of_rule["source"], "aws.events");
        assert_eq!(of_rule["time"], "2026-11-29T12:00:00Z");
        assert_eq!(of_rule["detail"], json!({}));
        assert_eq!(
            of_rule["resources"],
            json!(["arn:aws:events:us-east-1:123456789012:rule/Daily"])
        );
        let of_scheduler = sent("scheduler", None);
        assert_eq!(of_scheduler["source"], "aws.scheduler");
        assert_eq!(of_scheduler["detail"], "{}");
        assert_eq!(sent("events", Some(r#"{"a":1}"#)), json!({"a": 1}));
    }
}
