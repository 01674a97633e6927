//! The template as linters see it: not one finding. What is left as it is for a reason says so in the
//! template, where it stands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::launch::TEMPLATE;
use tests::{server, tools};

#[test]
fn sam_validates_the_template() {
    check(Command::new(tools::sam()).args(["validate", "--lint", "--template", TEMPLATE]));
}

#[test]
fn cfn_lint_has_nothing_to_say() {
    check(Command::new(tools::cfn_lint()).arg(TEMPLATE));
}

#[test]
fn checkov_has_nothing_to_say() {
    check(&mut checkov(Path::new(TEMPLATE)));
}

/// It looks at no resource whose condition does not hold with the default parameters.
#[test]
fn checkov_has_nothing_to_say_about_what_is_optional_either() {
    check(&mut checkov(&without_conditions()));
}

#[test]
fn checkov_has_something_to_say_without_the_reasons_in_the_template() {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let bare = text.replace("CKV_AWS_173", "CKV_AWS_0");
    let said = run(&mut checkov(&write("without-reasons.yaml", &bare)));
    let said = said.expect_err("it has findings");
    assert!(said.contains("CKV_AWS_173"), "{said}");
}

fn checkov(template: &Path) -> Command {
    let mut command = Command::new(tools::checkov());
    command
        .args(["--compact", "--quiet", "--skip-download", "--file"])
        .arg(template);
    command
}

/// A copy of the template in which no resource has a condition.
fn without_conditions() -> PathBuf {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let is_condition = |line: &&str| line.starts_with("    Condition: ");
    let conditions = text.lines().filter(is_condition).count();
    assert!(conditions > 0, "something in the template is optional");
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
    if let Err(said) = run(command) {
        panic!("{command:?} says:\n{said}");
    }
}

/// Runs a linter that fails if it finds something; the error is what it says.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .stdin(Stdio::null())
        .output()
        .expect("the linter runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}
