//! The function processes: started, restarted when they end, stopped.
//!
//! A function runs in one process. With a concurrency above 1 it is told so and takes that many
//! events at once, as on Lambda Managed Instances; with 1 it takes them one by one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::binaries::Binaries;
use crate::logs;
use crate::runtime::{Invocation, Lambda, RuntimeApi};
use crate::supervise::Group;
use crate::template::{self, Function, Template};

/// How long a process may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How long the start of a process may take. Lambda allows 10 seconds; a laptop that is busy with
/// a build deserves more.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The pause before a process that ended is started again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A process that has run for this long has started well.
const HEALTHY: Duration = Duration::from_secs(10);

/// The longest pause before a process that keeps ending is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The running functions of a template.
pub struct Functions {
    group: Group,
    lambdas: BTreeMap<String, Lambda>,
    processes: TaskTracker,
    stop: CancellationToken,
}

impl Functions {
    /// Starts all functions at once and waits until each asks for its first event.
    ///
    /// `concurrency` is how many events a process takes at once, `log_level` the least level of its
    /// log lines, `supervisor` the `local` binary.
    ///
    /// # Errors
    ///
    /// A process ends instead of asking for an event.
    pub async fn start(
        template: &Template,
        binaries: &Binaries,
        concurrency: u32,
        log_level: &str,
        supervisor: &Path,
    ) -> Result<Self> {
        let mut functions = Self {
            group: Group::start(supervisor)?,
            lambdas: BTreeMap::new(),
            processes: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let mut starts = Vec::new();
        for function in template.functions.values() {
            let (lambda, queue) = Lambda::new(function);
            let process = Process {
                function: function.clone(),
                binary: binaries[&function.binary].clone(),
                concurrency,
                log_level: log_level.to_owned(),
                group: functions.group.id(),
                queue,
            };
            let (started, start) = oneshot::channel();
            let run = process.run(started, functions.stop.clone());
            functions.processes.spawn(run);
            functions.lambdas.insert(function.name.clone(), lambda);
            starts.push(start);
        }
        for (name, start) in functions.lambdas.keys().zip(starts) {
            tokio::time::timeout(START_PATIENCE, start)
                .await
                .with_context(|| format!("{name} does not ask for events"))?
                .context("a function process is not looked after any more")??;
        }
        Ok(functions)
    }

    /// The functions, by name, to be invoked.
    pub fn lambdas(&self) -> BTreeMap<String, Lambda> {
        self.lambdas.clone()
    }

    /// Stops all processes and waits until they have ended.
    pub async fn end(self) {
        self.stop.cancel();
        self.processes.close();
        self.processes.wait().await;
    }
}

/// A function and how to run it.
struct Process {
    function: Function,
    binary: PathBuf,
    concurrency: u32,
    log_level: String,
    group: i32,
    queue: async_channel::Receiver<Invocation>,
}

impl Process {
    /// Runs the process, again whenever it ends, until `stop`. `started` hears when it first asks
    /// for an event, or why it never does.
    async fn run(self, started: oneshot::Sender<Result<()>>, stop: CancellationToken) {
        let mut started = Some(started);
        let mut pause = FIRST_PAUSE;
        loop {
            let start = Instant::now();
            let ended = self.run_once(&mut started, &stop).await;
            if stop.is_cancelled() {
                return;
            }
            let problem = match ended {
                Ok(status) => anyhow!("{} ended: {status}", self.function.name),
                Err(error) => error,
            };
            if let Some(started) = started.take() {
                let _ = started.send(Err(problem));
                return;
            }
            if start.elapsed() > HEALTHY {
                pause = FIRST_PAUSE;
            }
            tracing::warn!("{problem:#}; starting it again in {pause:?}");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
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
        let mut child = self.spawn(&address.to_string())?;
        tokio::spawn(Arc::clone(&api).serve(listener));
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
            // Not in our group: Ctrl-C is for us, who stop the functions after the last frame.
            .process_group(self.group)
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
