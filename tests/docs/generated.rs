//! Compares a generated part of a Markdown file with its source.

use crate::{in_repository, read};

/// Writes the generated parts again.
const COMMAND: &str = "UPDATE=1 cargo test --test docs";

/// Fails if the part `name` of `file` is not `content`. With the environment variable `UPDATE`, writes
/// it instead.
///
/// The part stands between the lines `<!-- generated: NAME (…) -->` and `<!-- end: NAME -->`.
pub fn check(file: &str, name: &str, content: &str) {
    let text = read(file);
    let begin = format!("<!-- generated: {name} ({COMMAND}) -->\n");
    let end = format!("<!-- end: {name} -->\n");
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (current, after) = rest.split_once(&end)?;
        Some((before, current, after))
    });
    let (before, current, after) =
        parts.unwrap_or_else(|| panic!("{file} lacks the line {begin}or the line {end}"));
    if current == content {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "the part \"{name}\" of {file} is out of date. To write it again: {COMMAND}"
    );
    let text = [before, &begin, content, &end, after].concat();
    std::fs::write(in_repository(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
}
