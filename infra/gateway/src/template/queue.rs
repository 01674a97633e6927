//! Queues, and the functions that consume them.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html>

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::function;
use super::resource::{Resource, Resources};
use super::values::{number_in, text, texts};
use crate::model::{EventSource, Function, Queue, Redrive, queue_name};

/// Takes the queues, by name, and the event sources that read from them; notes those that are not
/// served.
///
/// # Errors
///
/// A deployment on AWS would reject one of them; the sentence says why.
pub fn read(
    resources: &mut Resources,
    functions: &BTreeMap<String, Function>,
) -> Result<(BTreeMap<String, Queue>, Vec<EventSource>)> {
    let queues = queues(resources)?;
    let event_sources = event_sources(resources, &queues, functions)?;
    Ok((queues, event_sources))
}

/// Takes the standard queues, by name.
fn queues(resources: &mut Resources) -> Result<BTreeMap<String, Queue>> {
    let mut queues = BTreeMap::new();
    let mut served = Vec::new();
    for resource in resources.take("AWS::SQS::Queue") {
        if is_true(&resource.properties["FifoQueue"]) {
            let why = "only standard queues are served, and not FIFO queues";
            resources.skip(&resource, why);
            continue;
        }
        let queue = queue(&resource).with_context(|| resource.place())?;
        let name = queue.name.clone();
        let is_new = queues.insert(name.clone(), queue).is_none();
        ensure!(
            is_new,
            "{}: another queue has its QueueName",
            resource.place()
        );
        served.push((name, resource));
    }
    for (name, resource) in served {
        if !has_target(&queues[&name], &queues) {
            resources.skip(
                &resource,
                "its RedrivePolicy: no dead-letter queue is served",
            );
            queues.entry(name).and_modify(|queue| queue.redrive = None);
        }
    }
    Ok(queues)
}

/// Whether the dead-letter queue of a queue is served, if it names one.
fn has_target(queue: &Queue, queues: &BTreeMap<String, Queue>) -> bool {
    let redrive = queue.redrive.as_ref();
    redrive.is_none_or(|redrive| queues.contains_key(&redrive.dead_letter_queue))
}

/// Whether a property is true, which may be written as text.
fn is_true(value: &Value) -> bool {
    text(value).is_ok_and(|text| text == "true")
}

fn queue(resource: &Resource) -> Result<Queue> {
    let properties = &resource.properties;
    let number = |name: &str, range, default| {
        Ok::<_, anyhow::Error>(number_in(&properties[name], name, range)?.unwrap_or(default))
    };
    let seconds = |name, range, default| number(name, range, default).map(Duration::from_secs);
    let own_name = text(&properties["QueueName"]).context("QueueName")?;
    let is_name = |text: &str| {
        let is_valid = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        text.len() <= 80 && text.chars().all(is_valid)
    };
    ensure!(
        is_name(&own_name),
        "QueueName is up to 80 letters, digits, hyphens and underscores"
    );
    let is_named = !own_name.is_empty();
    Ok(Queue {
        name: if is_named {
            own_name
        } else {
            resource.id.clone()
        },
        visibility_timeout: seconds("VisibilityTimeout", 0..=43_200, 30)?,
        delay: seconds("DelaySeconds", 0..=900, 0)?,
        receive_wait: seconds("ReceiveMessageWaitTimeSeconds", 0..=20, 0)?,
        retention: seconds("MessageRetentionPeriod", 60..=1_209_600, 345_600)?,
        max_message_bytes: usize::try_from(number(
            "MaximumMessageSize",
            1_024..=1_048_576,
            1_048_576,
        )?)?,
        redrive: redrive(&properties["RedrivePolicy"]).context("RedrivePolicy")?,
    })
}

/// Reads a redrive policy, which is a map or the JSON text of one.
fn redrive(policy: &Value) -> Result<Option<Redrive>> {
    let policy = match policy {
        Value::Null => return Ok(None),
        Value::String(text) => serde_json::from_str(text)?,
        map => map.clone(),
    };
    let target = policy["deadLetterTargetArn"].as_str();
    let target = target.context("deadLetterTargetArn is missing")?;
    let count = number_in(&policy["maxReceiveCount"], "maxReceiveCount", 1..=1_000)?;
    let count = count.context("maxReceiveCount is missing")?;
    Ok(Some(Redrive {
        // An ARN of elsewhere is no name, and no queue has it.
        dead_letter_queue: queue_name(target).unwrap_or(target).to_owned(),
        max_receive_count: u32::try_from(count)?,
    }))
}

/// Takes the event sources whose queue and function are served.
fn event_sources(
    resources: &mut Resources,
    queues: &BTreeMap<String, Queue>,
    functions: &BTreeMap<String, Function>,
) -> Result<Vec<EventSource>> {
    let mut event_sources = Vec::new();
    for resource in resources.take("AWS::Lambda::EventSourceMapping") {
        let arn = resource.text("EventSourceArn").unwrap_or_default();
        let Some(queue) = queue_name(arn).and_then(|name| queues.get(name)) else {
            resources.skip(&resource, "its source is no queue that is served");
            continue;
        };
        let name = resource.text("FunctionName").unwrap_or_default();
        let Some(function) = function::find(name, functions) else {
            resources.skip(&resource, "its function is not served");
            continue;
        };
        for unserved in ["FilterCriteria", "ProvisionedPollerConfig"] {
            if !resource.properties[unserved].is_null() {
                resources.skip(&resource, &format!("its {unserved}"));
            }
        }
        let source = event_source(&resource.properties, queue, function);
        let source = source.with_context(|| resource.place())?;
        let enabled = &resource.properties["Enabled"];
        if enabled.is_null() || is_true(enabled) {
            event_sources.push(source);
        }
    }
    Ok(event_sources)
}

/// Reads the settings of an event source.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
fn event_source(properties: &Value, queue: &Queue, function: &Function) -> Result<EventSource> {
    let number = |name: &str, range| number_in(&properties[name], name, range);
    let batch_size = number("BatchSize", 1..=10_000)?.unwrap_or(10);
    let window = number("MaximumBatchingWindowInSeconds", 0..=300)?.unwrap_or(0);
    ensure!(
        batch_size <= 10 || window > 0,
        "BatchSize is above 10, which needs a MaximumBatchingWindowInSeconds of at least 1"
    );
    let (visible_after, timeout) = (queue.visibility_timeout, function.timeout);
    ensure!(
        visible_after >= timeout,
        "the VisibilityTimeout of {} ({} seconds) is less than the Timeout of {} ({} seconds)",
        queue.name,
        visible_after.as_secs(),
        function.logical_id,
        timeout.as_secs()
    );
    let concurrency = &properties["ScalingConfig"]["MaximumConcurrency"];
    let concurrency = number_in(concurrency, "MaximumConcurrency", 2..=1_000)?;
    let response_types = texts(&properties["FunctionResponseTypes"]);
    Ok(EventSource {
        queue: queue.name.clone(),
        function: function.logical_id.clone(),
        batch_size: usize::try_from(batch_size)?,
        batching_window: Duration::from_secs(window),
        max_concurrency: concurrency.map(usize::try_from).transpose()?,
        reports_failures: response_types.contains(&"ReportBatchItemFailures".to_owned()),
    })
}

#[cfg(test)]
mod tests;
