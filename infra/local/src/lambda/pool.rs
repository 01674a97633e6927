//! The processes of a function: started when there is work, stopped.
//!
//! As on Lambda, a process takes one event at a time, and one more is started whenever an event
//! finds all of them busy, up to a limit. Or one process takes many events at once, as on
//! [Lambda Managed Instances](https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-rust.html).

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::runtime::{Queue, RuntimeApi};
use super::{FunctionError, InvokeError, Lambda, Lambdas};
use crate::binaries::Binaries;
use crate::logs;
use crate::signature::AccessKey;
use crate::supervise::Group;
use crate::template::{self, Function, Template};

/// How long a process may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How long the start of a process may take, on top of the function's timeout, before an event that
/// waits for it is given up. It is Lambda's limit for an init.
const INIT_PATIENCE: Duration = Duration::from_secs(10);

/// How many processes a function has, and what each takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// So many processes, of which each takes one event at a time.
    Processes(u32),
    /// One process, which takes so many events at once.
    InFlight(u32),
}

/// What all processes are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Processes and events.
    pub concurrency: Concurrency,
    /// Least level of log lines.
    pub log_level: String,
    /// Credentials.
    pub access_key: AccessKey,
}

/// The pools of all functions of a template.
pub struct Functions {
    _group: Group,
    pools: Vec<Arc<Pool>>,
}

impl Functions {
    /// Starts a process of each function and waits until they ask for events. One that does not
    /// start is told of, and tried again with the next event.
    ///
    /// # Errors
    ///
    /// `supervisor`, the program that ends the processes if we cannot, does not start.
    pub async fn start(
        template: &Template,
        binaries: &Binaries,
        settings: Settings,
        supervisor: &Path,
    ) -> Result<Self> {
        let group = Group::start(supervisor)?;
        let settings = Arc::new(settings);
        let functions = template.functions.values();
        let pools: Vec<_> = functions
            .map(|function| {
                let binary = binaries[&function.binary].clone();
                Pool::new(function.clone(), binary, Arc::clone(&settings), group.id())
            })
            .collect();
        let starts: Vec<_> = pools
            .iter()
            .map(|pool| (pool, pool.start_first()))
            .collect();
        for (pool, start) in starts {
            let name = &pool.function.name;
            match tokio::time::timeout(INIT_PATIENCE, start).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::error!(
                    "{name} does not start: {}; its next event tries again",
                    InvokeError::Function(error)
                ),
                Ok(Err(_)) | Err(_) => tracing::error!(
                    "{name} has not asked for an event after {} s; its log may say why",
                    INIT_PATIENCE.as_secs()
                ),
            }
        }
        Ok(Self {
            _group: group,
            pools,
        })
    }

    /// The functions, by logical id, to be invoked.
    pub fn lambdas(&self) -> Lambdas {
        let pools = self.pools.iter();
        let named = pools.map(|pool| (pool.function.name.clone(), Lambda::Own(Arc::clone(pool))));
        named.collect()
    }

    /// Stops all processes and waits until they have ended.
    pub async fn end(self) {
        for pool in &self.pools {
            pool.stop.cancel();
            pool.tasks.close();
        }
        for pool in &self.pools {
            pool.tasks.wait().await;
        }
    }
}

/// The processes of a function.
pub struct Pool {
    function: Function,
    binary: PathBuf,
    settings: Arc<Settings>,
    /// The process group that they join.
    group: i32,
    queue: Arc<Queue>,
    processes: Mutex<Processes>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Processes {
    /// Those that get events, or soon will.
    running: u32,
    /// Those of them that have not asked for an event yet.
    starting: usize,
    /// All that live.
    alive: Vec<(Pid, Arc<RuntimeApi>)>,
}

/// What has become of a process so far.
struct Life {
    /// Hears that it has started.
    started: Option<Started>,
    has_started: bool,
    /// It gets no more events, and no longer counts as running.
    is_retired: bool,
}

type Started = oneshot::Sender<Result<(), FunctionError>>;

impl Pool {
    fn new(function: Function, binary: PathBuf, settings: Arc<Settings>, group: i32) -> Arc<Self> {
        Arc::new(Self {
            function,
            binary,
            settings,
            group,
            queue: Queue::new(),
            processes: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Hands an event to a process and waits for the result.
    ///
    /// # Errors
    ///
    /// [`InvokeError::Function`], or `NotInvocable` if too many events wait.
    pub async fn invoke(self: &Arc<Self>, payload: Bytes) -> Result<Bytes, InvokeError> {
        let Some(waiting) = self.queue.push(payload) else {
            let name = &self.function.name;
            return Err(InvokeError::NotInvocable(format!(
                "too many events wait for {name}"
            )));
        };
        self.grow();
        let patience = INIT_PATIENCE + self.function.timeout;
        if tokio::time::timeout(patience, waiting.taken).await.is_err() {
            let seconds = patience.as_secs_f64();
            let message = format!("Error: Task timed out after {seconds:.2} seconds");
            return Err(InvokeError::Function(FunctionError::new(
                "Sandbox.Timedout",
                &message,
            )));
        }
        let stopped = || FunctionError::new("Runtime.ExitError", "the function is being stopped");
        let outcome = waiting.outcome.await.unwrap_or_else(|_| Err(stopped()));
        outcome.map_err(InvokeError::Function)
    }

    /// Kills the processes that have an event in hand.
    pub fn kill_busy(&self) {
        for (pid, api) in &self.lock().alive {
            if api.is_busy() {
                // It may have ended by itself just now.
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
    }

    /// Starts a process before there is work; the receiver hears how that went.
    fn start_first(self: &Arc<Self>) -> oneshot::Receiver<Result<(), FunctionError>> {
        let (started, start) = oneshot::channel();
        self.start(&mut self.lock(), Some(started));
        start
    }

    /// Starts another process if there is an event for which none is free.
    fn grow(self: &Arc<Self>) {
        let limit = match self.settings.concurrency {
            Concurrency::Processes(limit) => limit,
            Concurrency::InFlight(_) => 1,
        };
        let mut processes = self.lock();
        let idle: usize = processes.alive.iter().map(|(_, api)| api.idle()).sum();
        let is_needed = self.queue.len() > idle + processes.starting;
        if is_needed && processes.running < limit && !self.stop.is_cancelled() {
            self.start(&mut processes, None);
        }
    }

    fn start(self: &Arc<Self>, processes: &mut Processes, started: Option<Started>) {
        processes.running += 1;
        processes.starting += 1;
        let pool = Arc::clone(self);
        self.tasks.spawn(async move {
            pool.run(started).await;
            // The events that it might have taken are still there.
            pool.grow();
        });
    }

    /// The life of a process.
    async fn run(self: &Arc<Self>, started: Option<Started>) {
        let arn = template::function_arn(&self.function.name);
        let api = RuntimeApi::new(arn, self.function.timeout, Arc::clone(&self.queue));
        let mut life = Life {
            started,
            has_started: false,
            is_retired: false,
        };
        let status = self.run_process(&api, &mut life).await;
        let name = &self.function.name;
        let status = status
            .inspect_err(|error| tracing::error!("{name}: {error:#}"))
            .ok();
        {
            let mut processes = self.lock();
            processes
                .alive
                .retain(|(_, other)| !Arc::ptr_eq(other, &api));
            processes.running -= u32::from(!life.is_retired);
            processes.starting -= usize::from(!life.has_started);
        }
        if let Some(error) = api.process_exited(status) {
            match life.started {
                Some(started) => drop(started.send(Err(error))),
                // On Lambda too the event that needed the process gets the error of its init.
                None => self.queue.fail_one(error),
            }
        } else if let Some(status) = status
            && !self.stop.is_cancelled()
        {
            tracing::warn!("{name} ended ({status}); its next event starts it again");
        }
    }

    async fn run_process(
        self: &Arc<Self>,
        api: &Arc<RuntimeApi>,
        life: &mut Life,
    ) -> Result<ExitStatus> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut child = self.spawn(&address.to_string())?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.context("the process has no id")?;
        self.lock().alive.push((pid, Arc::clone(api)));
        tokio::spawn(Arc::clone(api).serve(listener));
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                () = api.first_poll(), if !life.has_started => {
                    life.has_started = true;
                    self.lock().starting -= 1;
                    if let Some(started) = life.started.take() {
                        let _ = started.send(Ok(()));
                    }
                }
                () = api.overdue() => {
                    tracing::warn!("{} timed out and is stopped", self.function.name);
                    self.lock().running -= 1;
                    life.is_retired = true;
                    self.grow();
                    tokio::select! {
                        () = api.retire() => {}
                        () = self.stop.cancelled() => {}
                    }
                    child.kill().await?;
                }
                () = self.stop.cancelled() => return terminate(&mut child).await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Processes> {
        self.processes.lock().expect("no holder panics")
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
            (
                "AWS_LAMBDA_LOG_GROUP_NAME",
                format!("/aws/lambda/{}", self.function.name),
            ),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
            // The lines are for the developer, whatever the template says.
            ("AWS_LAMBDA_LOG_FORMAT", "Text".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL", self.settings.log_level.clone()),
            ("AWS_REGION", template::REGION.to_owned()),
            ("AWS_DEFAULT_REGION", template::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.settings.access_key.id.clone()),
            (
                "AWS_SECRET_ACCESS_KEY",
                self.settings.access_key.secret.clone(),
            ),
            ("AWS_SESSION_TOKEN", "local".to_owned()),
            (
                "LAMBDA_TASK_ROOT",
                self.function.folder.display().to_string(),
            ),
            ("_HANDLER", "bootstrap".to_owned()),
            ("TZ", ":UTC".to_owned()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ];
        if let Concurrency::InFlight(events) = self.settings.concurrency {
            environment.push(("AWS_LAMBDA_MAX_CONCURRENCY", events.to_string()));
        }
        environment
    }
}

async fn terminate(child: &mut Child) -> Result<ExitStatus> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = tokio::time::timeout(STOP_PATIENCE, child.wait()).await {
        return Ok(status?);
    }
    child.kill().await?;
    Ok(child.wait().await?)
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
