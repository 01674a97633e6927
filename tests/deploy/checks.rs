//! The template has no findings of linters. Where a rule is suppressed, the template states the
//! reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::launch::TEMPLATE;
use tests::{server, tools};

#[test]
fn sam_validates_the_template() {
    check(Command::new(tools::sam()).args(["validate", "--lint", "--template", TEMPLATE]));
}

#[test]
fn cfn_lint_has_no_findings() {
    check(Command::new(tools::cfn_lint()).arg(TEMPLATE));
}

#[test]
fn checkov_has_no_findings() {
    check(&mut checkov(Path::new(TEMPLATE)));
}

/// checkov skips resources whose condition is false with the default parameters.
#[test]
fn checkov_has_no_findings_in_optional_resources() {
    check(&mut checkov(&without_conditions()));
}

#[test]
fn checkov_has_findings_without_the_suppressions_in_the_template() {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let bare = text.replace("CKV_AWS_173", "CKV_AWS_0");
    let result = run(&mut checkov(&write("without-suppressions.yaml", &bare)));
    let findings = result.expect_err("checkov has findings");
    assert!(findings.contains("CKV_AWS_173"), "{findings}");
}

fn checkov(template: &Path) -> Command {
    let mut command = Command::new(tools::checkov());
    command
        .args(["--compact", "--quiet", "--skip-download", "--file"])
        .arg(template);
    command
}

/// Writes a copy of the template in which no resource has a condition, and returns its path.
fn without_conditions() -> PathBuf {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let is_condition = |line: &&str| line.starts_with("    Condition: ");
    let conditions = text.lines().filter(is_condition).count();
    assert!(conditions > 0, "the template has conditions");
    let kept: Vec<_> = text.lines().filter(|line| !is_condition(line)).collect();
    write("without-conditions.yaml", &kept.join("\n"))
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = server::scratch_folder().join(name);
    std::fs::write(&path, text).expect("the target folder is writable");
    path
}

/// Checks that a linter finds nothing.
fn check(command: &mut Command) {
    if let Err(findings) = run(command) {
        panic!("{command:?} has findings:\n{findings}");
    }
}

/// Runs a linter.
///
/// # Errors
///
/// The linter fails, because it has findings: its output.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .stdin(Stdio::null())
        .output()
        .expect("the linter runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}
