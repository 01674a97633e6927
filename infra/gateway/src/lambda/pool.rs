//! The processes of a function: started when there is work, stopped.
//!
//! As on Lambda, a process takes one event at a time, and one more is started whenever an event
//! finds all of them busy, up to a limit. Or one process takes many events at once, as on [Lambda
//! Managed
//! Instances](https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-rust.html).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::launch::{self, Launch};
use super::queue::{Event, Queue};
use super::runtime_api::RuntimeApi;
use super::state::ProcessState;
use super::{FunctionError, InvokeError, ProcessCounts, Settings};
use crate::model::{self, Template};
use crate::process::program::Programs;

/// Timeout of the start of a process.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib>
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of an event in the queue: longer than the timeout of any API. Lambda rejects such an
/// event at once.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Limits of the processes of a function, and of the events of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// Up to so many processes, each with one event at a time.
    Processes(u32),
    /// One process with up to so many events at once.
    InFlight(u32),
}

/// The processes of functions, by logical id.
pub type Pools = BTreeMap<String, Arc<Pool>>;

/// Returns the pools of the functions that have a program. Their processes join the process group `group`.
pub fn pools(template: &Template, mut programs: Programs, settings: Settings, group: i32) -> Pools {
    let scripts = Arc::new(settings.for_scripts());
    let settings = Arc::new(settings);
    let pools = template.functions.values().filter_map(|function| {
        let id = function.logical_id.clone();
        let settings = match function.binary() {
            Some(_) => &settings,
            None => &scripts,
        };
        let launch = Launch {
            function: function.clone(),
            program: programs.remove(&id)?,
            group,
        };
        Some((id, Pool::new(launch, Arc::clone(settings))))
    });
    pools.collect()
}

/// Starts a process of each program. Returns a future that waits until they ask for events, and reports
/// in the log those that do not.
pub fn start_programs(pools: &Pools) -> impl Future<Output = ()> + Send + use<> {
    let programs = pools.iter().filter(|(_, pool)| !pool.is_script());
    let starts: Vec<_> = programs
        .map(|(id, pool)| (id.clone(), pool.start_first()))
        .collect();
    report_starts(starts)
}

/// Starts a process of each function in Node and Python that no event has started yet, a few at once. It
/// takes them much longer than programs: many that start at once would exceed the init timeout.
pub async fn start_scripts(pools: Pools) {
    let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let scripts = pools.into_iter().filter(|(_, pool)| pool.is_script());
    let start = async |(id, pool): (String, Arc<Pool>)| {
        let is_needed = pool.processes.lock().is_empty() && !pool.stop.is_cancelled();
        if is_needed {
            report_starts(vec![(id, pool.start_first())]).await;
        }
    };
    stream::iter(scripts)
        .for_each_concurrent(at_once, start)
        .await;
}

async fn report_starts(starts: Vec<(String, oneshot::Receiver<Result<(), FunctionError>>)>) {
    for (id, start) in starts {
        if let Ok(Err(error)) = start.await {
            tracing::error!(
                "{id} does not start: it ended, or did not ask for an event ({}: {}); its next \
                 event tries again{}",
                error.error_type(),
                error.message(),
                error.hint()
            );
        }
    }
}

/// The processes of a function.
pub struct Pool {
    launch: Launch,
    settings: Arc<Settings>,
    queue: Arc<Queue>,
    processes: Mutex<Vec<Process>>,
    counts: Mutex<ProcessCounts>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when the processes that run are to be replaced; then there is a new one.
    outdated: Mutex<CancellationToken>,
}

/// A process that runs or starts.
struct Process {
    api: Arc<RuntimeApi>,
    pid: Option<Pid>,
}

type Started = oneshot::Sender<Result<(), FunctionError>>;

impl Pool {
    fn new(launch: Launch, settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Self {
            launch,
            settings,
            queue: Arc::default(),
            processes: Mutex::default(),
            counts: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            outdated: Mutex::default(),
        })
    }

    /// Queues an event for a process, and waits for the result. The queue fails the event if no
    /// process takes it in time.
    ///
    /// # Errors
    ///
    /// [`InvokeError::Function`], `Busy` or `Dropped`.
    pub async fn invoke(self: &Arc<Self>, event: Event) -> Result<Bytes, InvokeError> {
        let waiting = self.queue.push(event);
        let waiting = waiting.ok_or(InvokeError::Busy)?;
        if let Some(taken) = waiting.taken {
            self.grow();
            if tokio::time::timeout(QUEUE_TIMEOUT, taken).await.is_err() {
                return Err(InvokeError::Busy);
            }
            // Another event may have counted on the process that took this one.
            self.grow();
        }
        let outcome = waiting.outcome.await;
        let outcome = outcome.map_err(|_| InvokeError::Dropped)?;
        outcome.map_err(InvokeError::Function)
    }

    /// Returns how many events its processes can have at once.
    pub fn capacity(&self) -> usize {
        match self.settings.concurrency {
            Concurrency::Processes(events) | Concurrency::InFlight(events) => events as usize,
        }
    }

    /// Drops the events of a connection that wait for a process.
    pub fn drop_events(&self, connection_id: &str) {
        self.queue.drop_events(connection_id);
    }

    /// Kills the processes that have an event.
    pub fn kill_busy(&self) {
        for process in self
            .processes
            .lock()
            .iter()
            .filter(|process| process.api.process.is_busy())
        {
            if let Some(pid) = process.pid {
                // It may have ended by itself just now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Returns how many processes have started and ended so far.
    pub fn counts(&self) -> ProcessCounts {
        *self.counts.lock()
    }

    /// Stops all processes and waits until they have ended.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether its function is in Node or Python.
    pub fn is_script(&self) -> bool {
        self.launch.function.binary().is_none()
    }

    /// Returns the folder in which its program runs.
    pub fn folder(&self) -> Option<&Path> {
        self.launch.program.folder.as_deref()
    }

    /// Replaces the processes: each ends after the event that it has.
    pub fn restart(self: &Arc<Self>) {
        let name = &self.launch.function.logical_id;
        tracing::info!("{name} is restarted: its sources have changed");
        std::mem::take(&mut *self.outdated.lock()).cancel();
        let start = self.start_first();
        self.tasks.spawn(report_starts(vec![(name.clone(), start)]));
    }

    fn count(&self, change: impl FnOnce(&mut ProcessCounts)) {
        change(&mut self.counts.lock());
    }

    /// Starts a process before there is an event. The receiver gets the result of the start.
    fn start_first(self: &Arc<Self>) -> oneshot::Receiver<Result<(), FunctionError>> {
        let (started, start) = oneshot::channel();
        self.start(&mut self.processes.lock(), Some(started));
        start
    }

    /// Starts another process if an event waits for which no process starts. All that run are busy,
    /// or they would have taken it.
    fn grow(self: &Arc<Self>) {
        let limit = match self.settings.concurrency {
            Concurrency::Processes(limit) => limit as usize,
            Concurrency::InFlight(_) => 1,
        };
        let mut processes = self.processes.lock();
        let count = |is_counted: fn(&ProcessState) -> bool| {
            let states = processes.iter().map(|process| &process.api.process);
            states.filter(|state| is_counted(state)).count()
        };
        let starting = count(ProcessState::is_starting);
        let running = count(|state| !state.is_retired());
        // Counted last: a process that has just started has taken its event.
        let waiting = self.queue.waiting();
        if waiting > starting && running < limit && !self.stop.is_cancelled() {
            self.start(&mut processes, None);
        }
    }

    fn start(self: &Arc<Self>, processes: &mut Vec<Process>, started: Option<Started>) {
        let arn = model::function_arn(&self.launch.function.function_name);
        let sampled = self.settings.xray_daemon.is_some();
        let queue = Arc::clone(&self.queue);
        let api = RuntimeApi::new(arn, self.launch.function.timeout, queue, sampled);
        processes.push(Process {
            api: Arc::clone(&api),
            pid: None,
        });
        let pool = Arc::clone(self);
        self.tasks.spawn(async move {
            pool.run(&api, started).await;
            // Events that the process would have taken may still wait.
            pool.grow();
        });
    }

    /// Runs a process to its end, and reports its end.
    async fn run(self: &Arc<Self>, api: &Arc<RuntimeApi>, started: Option<Started>) {
        let outdated = self.outdated.lock().clone();
        let (started, status) = self.run_process(api, started, &outdated).await;
        let name = &self.launch.function.logical_id;
        let status = status.inspect_err(|error| tracing::error!("{name}: {error:#}"));
        let status = status.ok();
        if let Some(status) = status {
            self.count(|counts| match status.signal() {
                Some(_) => counts.killed += 1,
                None => counts.exited += 1,
            });
        }
        self.processes
            .lock()
            .retain(|process| !Arc::ptr_eq(&process.api, api));
        if let Some(error) = api.process_exited(status) {
            match started {
                // Nobody is told of a start that a shutdown has ended.
                Some(started) if self.stop.is_cancelled() => drop(started),
                Some(started) => drop(started.send(Err(error))),
                // As on Lambda, the event that needed the process gets the error of its init.
                None => self.queue.fail_one(error),
            }
        } else if let Some(status) = status
            && !self.stop.is_cancelled()
            && !outdated.is_cancelled()
        {
            tracing::warn!("{name} ended ({status}); its next event starts it again");
        }
    }

    /// Runs the process to its end. Returns `started` if the process has not asked for an event.
    async fn run_process(
        self: &Arc<Self>,
        api: &Arc<RuntimeApi>,
        mut started: Option<Started>,
        outdated: &CancellationToken,
    ) -> (Option<Started>, Result<ExitStatus>) {
        let mut child = match self.spawn(api).await {
            Ok(child) => child,
            Err(error) => return (started, Err(error)),
        };
        let name = &self.launch.function.logical_id;
        let init = tokio::time::sleep(INIT_TIMEOUT);
        let mut init = std::pin::pin!(init);
        let mut is_up = false;
        let status = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break launch::terminate(&mut child).await,
                status = child.wait() => break status.map_err(Into::into),
                () = outdated.cancelled() => {
                    self.retire(api, &mut child).await;
                    break launch::terminate(&mut child).await;
                }
                () = api.process.started(), if !is_up => {
                    is_up = true;
                    if let Some(started) = started.take() {
                        let _ = started.send(Ok(()));
                    }
                }
                () = init.as_mut(), if !is_up => {
                    api.process.fail_init(FunctionError::timed_out(INIT_TIMEOUT));
                    break launch::kill(&mut child).await;
                }
                () = api.process.killed() => break launch::kill(&mut child).await,
                () = api.process.overdue() => {
                    tracing::warn!("{name} timed out and is stopped");
                    self.retire(api, &mut child).await;
                    break launch::kill(&mut child).await;
                }
            }
        };
        (started, status)
    }

    /// Sends no more events to a process. Waits until those that it has have ended.
    async fn retire(self: &Arc<Self>, api: &RuntimeApi, child: &mut Child) {
        api.process.retire();
        self.grow();
        tokio::select! {
            () = api.process.drained() => {}
            () = self.stop.cancelled() => {}
            _ = child.wait() => {}
        }
    }

    /// Starts the program, and its Runtime API.
    async fn spawn(&self, api: &Arc<RuntimeApi>) -> Result<Child> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let child = self.launch.spawn(&self.settings, &address)?;
        self.count(|counts| counts.started += 1);
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        for process in self.processes.lock().iter_mut() {
            if Arc::ptr_eq(&process.api, api) {
                process.pid = pid;
            }
        }
        tokio::spawn(Arc::clone(api).serve(listener));
        Ok(child)
    }
}
