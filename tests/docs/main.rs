//! Tests of the Markdown files: generated tables are up to date, links lead somewhere, named tests exist.
//!
//! `UPDATE=1 cargo test --test docs` writes the generated tables again.
//!
//! - [`generated`]: compares a generated part of a file with its source
//! - [`conformance`]: the table of the gateway's behaviour, from the doc comments of tests/conformance
//! - [`parameters`]: the tables of parameters, from infra/template.yaml
//! - [`properties`]: the table of properties that the gateway serves
//! - [`tables`]: tables that are written by hand and name things of the code
//! - [`references`]: links, paths and names of tests
//! - [`markdown`]: reads links, headings, tables and inline code

mod generated;

mod conformance;

mod parameters;

mod properties;

mod tables;

mod references;

mod markdown;

use std::path::{Path, PathBuf};

/// Returns the path of `relative` in the repository.
fn in_repository(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(relative)
}

/// Reads a text file of the repository.
fn read(relative: &str) -> String {
    let path = in_repository(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Returns the files below `folder` whose names end in `ending`, relative to the repository. Skips
/// folders of build results and hidden ones.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(in_repository(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry.path().is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
