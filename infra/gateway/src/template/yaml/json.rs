//! JSON as the parser of YAML takes it.

use serde::de::IgnoredAny;

/// Returns a JSON document in the form that is YAML as well, with its lines; `None` if the text is no JSON.
///
/// YAML has no surrogate pairs: `\\ud83d\\ude80` becomes the character that it stands for.
pub fn as_yaml(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut yaml = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        yaml.push_str(before);
        if let Some((letter, after)) = surrogate_pair(after) {
            yaml.push(letter);
            rest = after;
        } else {
            let escaped = after.chars().next()?;
            yaml.extend(['\\', escaped]);
            rest = &after[escaped.len_utf8()..];
        }
    }
    yaml.push_str(rest);
    Some(yaml)
}

/// Reads `uD83D\\uDE80`; returns its character, and the text after it.
fn surrogate_pair(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let first = text.strip_prefix('u')?;
    let second = first.get(4..)?.strip_prefix("\\u")?;
    let units = [unit(first)?, unit(second)?];
    let mut letters = char::decode_utf16(units);
    let letter = letters.next()?.ok()?;
    (letters.next().is_none()).then_some((letter, &second[4..]))
}
