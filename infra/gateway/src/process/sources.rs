//! The source files of functions in Node and Python: which there are, and when they have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Source files, with the times of their last change.
pub type Sources = BTreeSet<(PathBuf, SystemTime)>;

/// Folders without sources of a function.
const SKIPPED: [&str; 8] = [
    ".aws-sam",
    ".git",
    ".venv",
    "__pycache__",
    "cdk.out",
    "node_modules",
    "target",
    "venv",
];

/// Endings of the names of source files.
const ENDINGS: [&str; 6] = ["cjs", "js", "json", "mjs", "py", "ts"];

/// Limit of the files and folders of a function that are looked at.
const MAX_ENTRIES: usize = 20_000;

/// Size limit of a file that is searched, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Returns the source files of a folder and the folders in it, with the times of their last change.
pub fn list(folder: &Path) -> Sources {
    let mut found = Sources::new();
    let (mut folders, mut entries) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            entries += 1;
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(data) = entry.metadata() else { continue };
            let is_skipped = SKIPPED.iter().any(|skipped| name == *skipped);
            if entries > MAX_ENTRIES {
                return found;
            }
            if data.is_dir() && !is_skipped {
                folders.push(path);
            } else if is_source(&path) {
                found.insert((path, data.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
            }
        }
    }
    found
}

fn is_source(path: &Path) -> bool {
    let ending = path.extension();
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Returns the time of the last change of a folder's sources.
pub fn last_change(folder: &Path) -> Option<SystemTime> {
    list(folder).into_iter().map(|(_, time)| time).max()
}

/// Returns the packages of AWS (`@aws-sdk/client-lambda`, `aws-sdk`) that JavaScript of a folder names
/// and that no `node_modules` of it or above it has.
pub fn missing_sdk_packages(folder: &Path) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    for (path, _) in list(folder) {
        let is_script = path
            .extension()
            .is_some_and(|ending| ending != "json" && ending != "py");
        let is_small = path
            .metadata()
            .is_ok_and(|data| data.len() <= MAX_FILE_BYTES);
        if is_script
            && is_small
            && let Ok(text) = std::fs::read_to_string(path)
        {
            packages.extend(sdk_packages(&text));
        }
    }
    packages.retain(|name| !is_installed(folder, name));
    packages
}

/// Returns the packages of AWS that a source names in quotes.
fn sdk_packages(text: &str) -> BTreeSet<String> {
    let quoted = text.split(['"', '\'', '`']);
    let packages = quoted.filter_map(|quoted| {
        let (scope, rest) = quoted.split_once('/').unwrap_or((quoted, ""));
        let name = rest.split('/').next().unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match scope {
            "aws-sdk" if rest.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("aws-sdk".to_owned())
            }
            "@aws-sdk" if !name.is_empty() && name.bytes().all(is_word) => {
                Some(format!("@aws-sdk/{name}"))
            }
            _ => None,
        }
    });
    packages.collect()
}

/// Whether Node finds a package from a folder on.
fn is_installed(folder: &Path, name: &str) -> bool {
    let mut folders = folder.ancestors();
    folders.any(|folder| folder.join("node_modules").join(name).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_aws_are_found_in_sources() {
        let text = r#"
            import { LambdaClient } from "@aws-sdk/client-lambda";
            const { marshall } = require('@aws-sdk/util-dynamodb/dist');
            const AWS = require('aws-sdk'), S3 = require("aws-sdk/clients/s3");
            // "@aws-sdk/" "@aws-sdk/Client x" "@smithy/core" aws-sdk
        "#;
        let packages: Vec<_> = sdk_packages(text).into_iter().collect();
        assert_eq!(
            packages,
            [
                "@aws-sdk/client-lambda",
                "@aws-sdk/util-dynamodb",
                "aws-sdk"
            ]
        );
    }
}
