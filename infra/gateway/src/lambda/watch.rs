//! `cargo lambda watch`: the functions are built again and restarted when their source changes.
//!
//! <https://www.cargo-lambda.info/commands/watch.html>

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::Settings;
use crate::model::{Function, REGION, Template};
use crate::process::build::workspace_of;
use crate::process::cargo::cargo;
use crate::process::ports::free_port;
use crate::process::supervise::Supervised;

/// Timeout of the start: until its port is open.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Processes of a function. A process that has crashed is not replaced until the source changes, so
/// this is one more than the crashes that a function survives.
const PROCESSES: &str = "4";

/// A running `cargo lambda watch`.
pub struct Watch {
    /// Its Invoke API.
    pub url: String,
    program: Mutex<Supervised>,
}

impl Watch {
    /// Starts it in the workspace of the functions and waits until its port is open. Its output
    /// goes to ours.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(
        template: &Template,
        settings: &Settings,
        release: bool,
        supervisor: &Path,
    ) -> Result<Self> {
        let port = free_port()?;
        let environment = environment(template, settings);
        let arguments = [
            "lambda",
            "watch",
            "--invoke-address",
            "127.0.0.1",
            "--concurrency",
            PROCESSES,
        ];
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.extend(["--invoke-port".into(), port.to_string().into()]);
        arguments.extend(release.then(|| "--release".into()));
        let cargo = cargo();
        let mut program =
            Supervised::command(supervisor, Path::new(cargo.get_program()), &arguments);
        for (name, value) in cargo.get_envs() {
            if value.is_none() {
                program.env_remove(name);
            }
        }
        program
            .current_dir(workspace(template).await?)
            .envs(environment);
        let watch = Self {
            url: format!("http://127.0.0.1:{port}"),
            program: Mutex::new(Supervised::spawn(program, stderr()?)?),
        };
        watch.wait_until_open(port).await?;
        Ok(watch)
    }

    /// Waits until it has ended by itself; returns why.
    pub async fn wait(&self) -> anyhow::Error {
        match self.program.lock().await.wait().await {
            Ok(status) => anyhow::anyhow!("cargo lambda watch ended: {status}"),
            Err(error) => error.context("cargo lambda watch"),
        }
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn shutdown(&self) -> Result<()> {
        self.program.lock().await.shutdown().await.map(|_| ())
    }

    async fn wait_until_open(&self, port: u16) -> Result<()> {
        let open = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut program = self.program.lock().await;
        tokio::select! {
            opened = tokio::time::timeout(START_TIMEOUT, open) => {
                opened.context("cargo lambda watch does not open its port")
            }
            status = program.wait() => bail!("cargo lambda watch ended: {}", status?),
        }
    }
}

/// Checks that `cargo lambda` is installed.
///
/// # Errors
///
/// There is none; the sentence says how to install it.
pub async fn check_installed() -> Result<()> {
    let mut command = tokio::process::Command::from(cargo());
    let version = command.args(["lambda", "--version"]).output().await;
    match version {
        Ok(output) if output.status.success() => Ok(()),
        _ => bail!(
            "cargo lambda is not installed: `pip install cargo-lambda`, `brew install cargo-lambda`, \
             or see https://www.cargo-lambda.info; without --watch it is not needed"
        ),
    }
}

/// Returns the one workspace that has all functions that are programs.
async fn workspace(template: &Template) -> Result<PathBuf> {
    let mut found: Option<PathBuf> = None;
    let functions = template.functions.values();
    let programs = functions.filter(|function| function.binary().is_some());
    for folder in programs.filter_map(Function::folder) {
        let folder = workspace_of(folder).await?;
        match &found {
            Some(other) if *other != folder => bail!(
                "--watch needs all functions in one workspace; there are {} and {}",
                other.display(),
                folder.display()
            ),
            _ => found = Some(folder),
        }
    }
    found.context("the template has no programs")
}

/// Returns the environment of all functions together: `cargo lambda watch` has only one. It is
/// inherited rather than written to a file of settings, where a connection string would have to be
/// quoted.
fn environment(template: &Template, settings: &Settings) -> BTreeMap<String, String> {
    let access_key = &settings.access_key;
    let mut environment: BTreeMap<String, String> = [
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", &access_key.id),
        ("AWS_SECRET_ACCESS_KEY", &access_key.secret),
        ("AWS_SESSION_TOKEN", "local"),
        ("AWS_LAMBDA_LOG_FORMAT", settings.log_format),
        ("AWS_LAMBDA_LOG_LEVEL", &settings.log_level),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for function in template.functions.values() {
        for (name, value) in &function.environment {
            let other = environment.insert(name.clone(), value.clone());
            if other.is_some_and(|other| other != *value) {
                tracing::warn!(
                    "{name} differs between functions; cargo lambda watch has one environment for \
                     all, and the value of {} is taken",
                    function.logical_id
                );
            }
        }
    }
    environment
}

/// Returns our own standard error, so that a program can write to it too.
fn stderr() -> Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(std::io::stderr().as_fd().try_clone_to_owned()?))
}
