//! Values of properties.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Whether a value could not be evaluated: it is the function that is not known here.
pub fn is_unknown(value: &Value) -> bool {
    let map = value.as_object();
    map.is_some_and(|map| map.len() == 1 && map.keys().all(|name| name.starts_with("Fn::")))
}

/// Returns a value; null in place of one that is not known here, whose reader takes the default then.
pub fn or_null(value: &Value) -> &Value {
    match is_unknown(value) {
        true => &Value::Null,
        false => value,
    }
}

/// Returns the entries of a map whose values are known; none of a map that is not known.
pub fn known_entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter(|(_, value)| !is_unknown(map) && !is_unknown(value))
}

/// Converts the numbers and booleans in a value to texts, as CloudFormation does: `StageName: 1` is a text.
pub fn as_texts(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(as_texts).collect(),
        Value::Object(map) => {
            let entries = map.into_iter();
            Value::Object(
                entries
                    .map(|(name, value)| (name, as_texts(value)))
                    .collect(),
            )
        }
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        value => value,
    }
}

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

/// Returns the texts of a list, or of a text with commas.
///
/// # Errors
///
/// An item is no text: where a list guards something, none may be lost.
pub fn all_texts(list: &Value) -> Result<Vec<String>> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .context("a list of texts is expected")
    };
    match list {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(text).collect(),
        one => Ok(text(one)?
            .split(',')
            .map(|item| item.trim().to_owned())
            .collect()),
    }
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
        other => {
            let text = text(other)?;
            let number = text.parse().ok();
            Ok(Some(number.with_context(|| {
                format!("{text:?} is not a whole number")
            })?))
        }
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
