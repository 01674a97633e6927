//! Schedules, and the functions that they invoke.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-rule.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-scheduler-schedule.html>

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::function;
use super::resource::{Resource, Resources};
use crate::model::{Function, Schedule, Times};

/// Takes the schedules; notes those that are not served.
pub fn read(resources: &mut Resources, functions: &BTreeMap<String, Function>) -> Vec<Schedule> {
    let mut schedules = Vec::new();
    for rule in resources.take("AWS::Events::Rule") {
        let targets = rule.properties["Targets"].as_array();
        for target in targets.into_iter().flatten() {
            let schedule = schedule(&rule, target, "events", functions);
            add(&mut schedules, schedule, &rule, resources);
        }
    }
    for resource in resources.take("AWS::Scheduler::Schedule") {
        let target = &resource.properties["Target"];
        let schedule = schedule(&resource, target, "scheduler", functions);
        add(&mut schedules, schedule, &resource, resources);
    }
    schedules
}

fn add(
    schedules: &mut Vec<Schedule>,
    schedule: Result<Schedule>,
    resource: &Resource,
    resources: &mut Resources,
) {
    match schedule {
        Ok(schedule) => schedules.push(schedule),
        Err(error) => resources.skip(resource, &format!("{error:#}")),
    }
}

fn schedule(
    resource: &Resource,
    target: &Value,
    service: &'static str,
    functions: &BTreeMap<String, Function>,
) -> Result<Schedule> {
    let properties = &resource.properties;
    let expression = properties["ScheduleExpression"].as_str();
    let expression = expression.context("a rule without a schedule waits for events of AWS")?;
    let zone = &properties["ScheduleExpressionTimezone"];
    ensure!(
        zone.is_null() || zone == "UTC",
        "its ScheduleExpressionTimezone: only UTC is served"
    );
    let function = function::find(target["Arn"].as_str().unwrap_or_default(), functions);
    let function = function.context("its target is no function that is served")?;
    for unserved in ["InputPath", "InputTransformer"] {
        ensure!(target[unserved].is_null(), "its {unserved} is not served");
    }
    Ok(Schedule {
        id: resource.id.clone(),
        function: function.logical_id.clone(),
        times: Times::parse(expression)?,
        is_enabled: properties["State"] != "DISABLED",
        input: target["Input"].as_str().map(str::to_owned),
        service,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::model::Template;
    use crate::template::Document;

    /// Reads a template with the function `F`, which has these events, and further resources.
    fn read(events: &Value, mut resources: Value) -> Template {
        let properties = json!({"CodeUri": "x", "Events": events});
        resources["F"] = json!({"Type": "AWS::Serverless::Function", "Properties": properties});
        let text = json!({"Resources": resources}).to_string();
        let document = Document::parse(&text, "".as_ref()).expect("a template");
        document.evaluate(&BTreeMap::new()).expect("it is served")
    }

    #[test]
    fn events_of_functions_and_plain_resources_are_schedules() {
        let events = json!({
            "Old": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 hour)", "Enabled": false}},
            "New": {"Type": "ScheduleV2", "Properties":
                {"ScheduleExpression": "cron(0 3 * * ? *)", "Name": "nightly", "Input": "{}"}},
        });
        let rule = json!({"Rule": {"Type": "AWS::Events::Rule", "Properties": {
            "ScheduleExpression": "rate(2 days)",
            "Targets": [{"Id": "t", "Arn": {"Fn::GetAtt": ["F", "Arn"]}}]}}});
        let template = read(&events, rule);
        assert_eq!(template.not_served, Vec::<String>::new());
        let schedule = |id: &str| template.schedule(id).expect(id);
        let (old, new, rule) = (schedule("FOld"), schedule("FNew"), schedule("Rule"));
        assert_eq!((old.is_enabled, old.service), (false, "events"));
        assert_eq!(
            (new.is_enabled, new.service, new.input.as_deref()),
            (true, "scheduler", Some("{}"))
        );
        let two_days = Duration::from_secs(2 * 24 * 60 * 60);
        assert!(matches!(rule.times, Times::Every(every) if every == two_days));
        assert_eq!(schedule("F").function, "F");
    }

    #[test]
    fn what_is_not_served_is_named_with_the_reason() {
        let once = json!({"Once": {"Type": "ScheduleV2", "Properties":
            {"ScheduleExpression": "at(2030-01-01T00:00:00)"}}});
        let berlin = json!({"Local": {"Type": "ScheduleV2", "Properties":
            {"ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "Europe/Berlin"}}});
        let path = json!({"Path": {"Type": "Schedule", "Properties":
            {"Schedule": "rate(1 day)", "InputPath": "$.detail"}}});
        let queue = || json!({"Q": {"Type": "AWS::SQS::Queue"}});
        let with_rule = |properties: Value| {
            let mut resources = queue();
            resources["Rule"] = json!({"Type": "AWS::Events::Rule", "Properties": properties});
            resources
        };
        let target = json!([{"Id": "t", "Arn": {"Fn::GetAtt": ["F", "Arn"]}}]);
        let to_queue = json!([{"Id": "t", "Arn": {"Fn::GetAtt": ["Q", "Arn"]}}]);
        for (events, resources, expected) in [
            (once, queue(), "only rate(…) and cron(…) are served"),
            (berlin, queue(), "only UTC is served"),
            (path, queue(), "its InputPath is not served"),
            (
                json!({}),
                with_rule(json!({"Targets": target})),
                "waits for events of AWS",
            ),
            (
                json!({}),
                with_rule(json!({"ScheduleExpression": "rate(1 day)", "Targets": to_queue})),
                "no function that is served",
            ),
        ] {
            let template = read(&events, resources);
            assert!(template.schedules.is_empty());
            let named = template.not_served.join("\n");
            assert!(named.contains(expected), "{expected}: {named}");
        }
    }
}
