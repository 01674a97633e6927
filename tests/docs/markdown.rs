//! Reads links, headings, tables and inline code of Markdown, as far as the files of this repository
//! use it.

use std::collections::BTreeSet;

/// Returns the lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Returns the addresses of the links and pictures: `to` of `[text](to)`.
pub fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0))
    })
}

/// Returns the texts between backticks.
pub fn inline_code(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Returns the anchors of the headings, as GitHub makes them.
pub fn anchors(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|char| char.is_alphanumeric() || " -_".contains(*char))
                .map(|char| if char == ' ' { '-' } else { char })
                .collect()
        })
}

/// Returns the names between backticks in the first column of the table whose first column is called
/// `heading`.
pub fn first_column<'a>(text: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let head = format!("| {heading} |");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with(&head))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(inline_code).collect()
}

#[test]
fn what_looks_like_a_link_in_code_is_none() {
    let text = "# One `two`: three\n[a](b#c)\n```\n[d](e)\n```\n`f`, `g`";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b#c"]);
    assert_eq!(inline_code(text).collect::<Vec<_>>(), ["two", "f", "g"]);
    assert_eq!(anchors(text).collect::<Vec<_>>(), ["one-two-three"]);
}
