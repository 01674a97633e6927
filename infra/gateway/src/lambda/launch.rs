//! The program of a process: its start with the environment of Lambda, its output, its end.

use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Settings;
use super::pool::Concurrency;
use crate::logs;
use crate::model::{self, Function};
use crate::process::program::Program;

/// Timeout of the shutdown of a process. It is killed then.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Size limit of a printed piece of a line of a function's log, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The program of a function, and what its processes need.
pub struct Launch {
    /// The function.
    pub function: Function,
    /// Its program.
    pub program: Program,
    /// The process group that its processes join.
    pub group: i32,
}

impl Launch {
    /// Starts a process that polls the Runtime API at an address.
    ///
    /// # Errors
    ///
    /// The binary cannot be started.
    pub fn spawn(&self, settings: &Settings, runtime_api: &str) -> Result<Child> {
        let Program { file, folder, .. } = &self.program;
        let mut command = Command::new(file);
        command.args(&self.program.arguments).env_clear();
        if let Some(folder) = folder {
            command.env("LAMBDA_TASK_ROOT", folder);
        }
        // As on Lambda: the folder of its code.
        if let Some(folder) = folder.as_ref().filter(|folder| folder.is_dir()) {
            command.current_dir(folder);
        }
        command
            .envs(environment(&self.function, settings))
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .envs(&self.function.environment)
            .envs(self.runtime_environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C must not reach the functions: the gateway stops them after the last frame.
            .process_group(self.group)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", file.display()))?;
        let name = &self.function.logical_id;
        forward(name, child.stdout.take());
        forward(name, child.stderr.take());
        Ok(child)
    }
}

impl Launch {
    /// Returns the variables of the runtime. Folders that are searched for packages come after those of
    /// the template.
    fn runtime_environment(&self) -> Vec<(&'static str, OsString)> {
        let variables = self.program.environment.iter();
        let joined = variables.map(|(name, value)| match self.function.environment.get(*name) {
            Some(own) => (*name, [OsStr::new(own), value].join(OsStr::new(":"))),
            None => (*name, value.clone()),
        });
        joined.collect()
    }
}

/// Returns the variables that Lambda sets, but for the address of the Runtime API:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
///
/// The environment of the developer is not passed on, so that a variable that the template lacks is
/// missing here too.
fn environment(function: &Function, settings: &Settings) -> Vec<(&'static str, String)> {
    let name = &function.function_name;
    let key = &settings.access_key;
    let mut environment = vec![
        ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            function.memory_mb.to_string(),
        ),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        // The developer reads the lines, so the flags decide and not the template.
        ("AWS_LAMBDA_LOG_FORMAT", settings.log_format.to_owned()),
        ("AWS_LAMBDA_LOG_LEVEL", settings.log_level.clone()),
        ("AWS_ACCESS_KEY_ID", key.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.clone()),
        ("_HANDLER", function.handler.clone()),
    ];
    if let Some(runtime) = function.runtime.name() {
        environment.push(("AWS_EXECUTION_ENV", format!("AWS_Lambda_{runtime}")));
    }
    let constants = CONSTANTS.iter();
    environment.extend(constants.map(|(name, value)| (*name, (*value).to_owned())));
    if let Some(address) = &settings.xray_daemon {
        environment.push(("AWS_XRAY_DAEMON_ADDRESS", address.clone()));
    }
    if let Concurrency::InFlight(events) = settings.concurrency {
        environment.push(("AWS_LAMBDA_MAX_CONCURRENCY", events.to_string()));
    }
    environment
}

/// Variables that are the same for all functions.
const CONSTANTS: [(&str, &str); 10] = [
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
    ("AWS_REGION", model::REGION),
    ("AWS_DEFAULT_REGION", model::REGION),
    ("AWS_SESSION_TOKEN", "local"),
    ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ("TZ", ":UTC"),
    ("LANG", "en_US.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
];

/// Ends a process as Lambda does; kills it if it does not end in time.
///
/// # Errors
///
/// It cannot be waited for.
pub async fn terminate(child: &mut Child) -> Result<ExitStatus> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = tokio::time::timeout(SHUTDOWN_TIMEOUT, child.wait()).await {
        return Ok(status?);
    }
    kill(child).await
}

/// Kills a process and waits for its end.
///
/// # Errors
///
/// It cannot be waited for.
pub async fn kill(child: &mut Child) -> Result<ExitStatus> {
    child.kill().await?;
    Ok(child.wait().await?)
}

/// Prints the lines of a function under its name until its output ends. If the pipe were closed
/// earlier, the function would fail to write.
fn forward(name: &str, output: Option<impl AsyncRead + Unpin + Send + 'static>) {
    let Some(output) = output else { return };
    let name = name.to_owned();
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut piece = (&mut output).take(MAX_LINE_BYTES);
            match piece.read_until(b'\n', &mut line).await {
                Ok(1..) => logs::function_line(&name, String::from_utf8_lossy(&line).trim_end()),
                Ok(0) | Err(_) => return,
            }
        }
    });
}
