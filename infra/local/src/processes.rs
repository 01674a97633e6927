//! The function processes: started, restarted when they end, stopped.
//!
//! A function runs in one process. With a concurrency above 1 it is told so and takes that many
//! events at once, as on Lambda Managed Instances; with 1 it takes them one by one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::logs;
use crate::runtime::{Invocation, RuntimeApi};
use crate::template::{self, Function};

/// How long a process may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The longest pause before a process that keeps ending is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A function and how to run it.
pub struct Process {
    /// The function.
    pub function: Function,
    /// Its binary.
    pub binary: PathBuf,
    /// Events that it takes at once.
    pub concurrency: u32,
    /// Least level of its log lines.
    pub log_level: String,
    /// Where its events wait.
    pub queue: async_channel::Receiver<Invocation>,
}

impl Process {
    /// Runs the process, again whenever it ends, until `stop`. `started` hears when it first asks
    /// for an event, or why it never does.
    pub async fn run(self, started: oneshot::Sender<Result<()>>, stop: CancellationToken) {
        let mut started = Some(started);
        let mut pause = Duration::from_millis(100);
        loop {
            let ended = self.run_once(&mut started, &stop).await;
            if stop.is_cancelled() {
                return;
            }
            let problem = match ended {
                Ok(status) => anyhow!("{} ended: {status}", self.function.name),
                Err(error) => error,
            };
            if let Some(started) = started.take() {
                let _ = started.send(Err(problem.context("it is needed before anything works")));
                return;
            }
            tracing::warn!("{problem:#}; starting it again in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_once(
        &self,
        started: &mut Option<oneshot::Sender<Result<()>>>,
        stop: &CancellationToken,
    ) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arn = template::function_arn(&self.function.name);
        let api = RuntimeApi::new(arn, self.queue.clone());
        tokio::spawn(std::sync::Arc::clone(&api).serve(listener));
        let mut child = self.spawn(&address.to_string())?;
        let mut polled = std::pin::pin!(api.first_poll());
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?.to_string(),
                () = polled.as_mut(), if started.is_some() => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Ok(()));
                    }
                }
                () = stop.cancelled() => {
                    terminate(&mut child).await;
                    break "stopped".to_owned();
                }
            }
        };
        api.process_exited(&status);
        Ok(status)
    }

    fn spawn(&self, runtime_api: &str) -> Result<Child> {
        let name = &self.function.name;
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .envs(self.lambda_environment(runtime_api))
            .envs(&self.function.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: we stop the functions when the last frame is done.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        forward(name, child.stdout.take());
        forward(name, child.stderr.take());
        Ok(child)
    }

    /// What Lambda sets: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
    ///
    /// The environment of the developer is not passed on, so a variable that the template forgets
    /// is missed here already.
    fn lambda_environment(&self, runtime_api: &str) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.function.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            (
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                self.function.memory_mb.to_string(),
            ),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT", "Text".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL", self.log_level.clone()),
            ("AWS_REGION", template::REGION.to_owned()),
            ("AWS_DEFAULT_REGION", template::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("TZ", ":UTC".to_owned()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ];
        if self.concurrency > 1 {
            environment.push(("AWS_LAMBDA_MAX_CONCURRENCY", self.concurrency.to_string()));
        }
        environment
    }
}

async fn terminate(child: &mut Child) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(STOP_PATIENCE, child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}

/// Prints the lines of a function under its name.
fn forward(name: &str, output: Option<impl AsyncRead + Unpin + Send + 'static>) {
    let Some(output) = output else { return };
    let name = name.to_owned();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            logs::function_line(&name, &line);
        }
    });
}
