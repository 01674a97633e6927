//! Values of properties.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Returns a scalar as CloudFormation passes it on: as text.
///
/// # Errors
///
/// It is a list or a map.
pub fn text(value: &Value) -> Result<String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => bail!("a single value is expected"),
    }
}

/// Returns the texts of a list.
pub fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns a whole number that may be written as text, as parameters are.
///
/// # Errors
///
/// It is none.
pub fn number(value: &Value) -> Result<Option<u64>> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(Some(number.as_u64().context("it is not a whole number")?)),
        other => Ok(Some(text(other)?.parse()?)),
    }
}

/// Returns a whole number of `range`.
///
/// # Errors
///
/// It is none; the sentence has its `name`.
pub fn number_in(value: &Value, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
    let Some(number) = number(value).with_context(|| name.to_owned())? else {
        return Ok(None);
    };
    let (least, most) = (range.start(), range.end());
    ensure!(range.contains(&number), "{name} is from {least} to {most}");
    Ok(Some(number))
}
