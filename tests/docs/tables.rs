//! Tables of infra/README.md that are written by hand, and name things of the code and the template.

use std::collections::BTreeSet;

use crate::{files, markdown, read};

#[test]
fn the_readme_of_infra_explains_every_metric() {
    let sources: String = ["functions", "shared"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .map(|file| read(&file))
        .collect();
    let counters = sources
        .split("monotonic_counter.")
        .skip(1)
        .map(identifier)
        .filter(|name| !name.is_empty());
    let latencies = words(&sources).filter(|word| word.ends_with("Latency"));
    let metrics: BTreeSet<&str> = counters.chain(latencies).collect();
    let readme = read("infra/README.md");
    assert_eq!(markdown::first_column(&readme, "metric"), metrics);
}

#[test]
fn the_readme_of_infra_explains_every_alarm() {
    let template = read("infra/template.yaml");
    let alarms = template
        .split_once("\nResources:")
        .expect("a template has resources")
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix("Alarm:"))
        .filter(|name| !name.starts_with(' '))
        .map(|name| format!("{name}Alarm"))
        .collect::<BTreeSet<_>>();
    let readme = read("infra/README.md");
    let explained = markdown::first_column(&readme, "alarm");
    assert_eq!(explained, alarms.iter().map(String::as_str).collect());
}

/// Returns the letters, digits and underscores with which `text` begins.
fn identifier(text: &str) -> &str {
    let end = text.find(|char: char| !is_of_word(char));
    &text[..end.unwrap_or(text.len())]
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !is_of_word(char))
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
