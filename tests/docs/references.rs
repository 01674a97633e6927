//! Links, paths and names of tests in the Markdown files.

use std::path::Path;

use crate::{files, in_repository, markdown, read};

/// Lines that the README may have.
const README_LINES: usize = 180;

/// Folders whose paths are checked where a file names them in inline code.
const FOLDERS: [&str; 4] = ["functions/", "infra/", "shared/", "tests/"];

/// Files whose tables name tests.
const WITH_TESTS: [&str; 2] = ["README.md", "infra/SECURITY.md"];

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines; it may have {README_LINES}. Details stand beside the code"
    );
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for file in files("", ".md") {
        let text = read(&file);
        for link in markdown::links(&text).filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                file.clone()
            } else {
                beside(&file, path)
            };
            if !in_repository(&target).exists() || !(anchor.is_empty() || has(&target, anchor)) {
                broken.push(format!("{file}: {link}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_path_exists() {
    let mut missing = Vec::new();
    for file in files("", ".md") {
        let text = read(&file);
        let paths = markdown::inline_code(&text).filter(|code| {
            FOLDERS.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '*', '…'])
        });
        for path in paths {
            if !in_repository(path).exists() && !in_repository(&beside(&file, path)).exists() {
                missing.push(format!("{file}: {path}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_test_that_is_named_exists() {
    let sources = ["functions", "infra", "shared", "tests"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .map(|file| (read(&file), file))
        .collect::<Vec<_>>();
    let mut missing = Vec::new();
    for file in WITH_TESTS {
        let text = read(file);
        for name in markdown::inline_code(&text) {
            let Some((module, test)) = test_name(name) else {
                continue;
            };
            let function = format!("fn {test}(");
            let exists = sources
                .iter()
                .any(|(source, path)| is_module(path, module) && source.contains(&function));
            if !exists {
                missing.push(format!("{file}: {name}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// The tests of the page have sentences as names, which SECURITY.md puts in quotation marks.
#[test]
fn every_test_of_the_page_that_is_named_exists() {
    let security = read("infra/SECURITY.md");
    let names = security
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|row| row.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('"').skip(1).step_by(2));
    let tests: String = files("tests/page", ".js")
        .iter()
        .map(|file| read(file))
        .collect();
    let missing: Vec<&str> = names
        .filter(|name| !tests.contains(&format!("\"{name}\"")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Returns the module and the function of `module::a_test_with_a_long_name`; `None` for other code.
fn test_name(code: &str) -> Option<(&str, &str)> {
    let (path, test) = code.rsplit_once("::")?;
    let module = path.rsplit("::").next()?;
    let is_snake_case = |text: &str| {
        text.chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
    };
    (is_snake_case(module) && is_snake_case(test) && test.contains('_')).then_some((module, test))
}

/// Whether `path` is a file of the module, or one below its folder.
fn is_module(path: &str, module: &str) -> bool {
    Path::new(path)
        .with_extension("")
        .iter()
        .any(|part| part == module)
}

/// Returns the path of `relative`, which stands in `file`, from the repository's root.
fn beside(file: &str, relative: &str) -> String {
    let folder = Path::new(file).parent().expect("a file is in a folder");
    folder.join(relative).to_string_lossy().into_owned()
}

fn has(file: &str, anchor: &str) -> bool {
    file.ends_with(".md") && markdown::anchors(&read(file)).any(|found| found == anchor)
}
