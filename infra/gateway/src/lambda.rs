//! The functions as Lambda has them: a name, a payload, a result.
//!
//! - `call`: an invocation that runs
//! - [`shares`]: how many events of a caller are served at once
//! - [`pool`]: the processes of a function: started when there is work, stopped
//! - [`launch`]: the program of a process: its start, its output, its end
//! - [`queue`]: events that wait for a process, and processes that wait for an event
//! - [`turns`]: the order of events that wait
//! - [`state`]: the state of a process: its phase, and the events that it has
//! - [`runtime_api`]: the Lambda Runtime API, one for each process
//! - [`remote`]: functions behind another Invoke API
//! - [`watch`]: `cargo lambda watch` as such an API
//! - [`reload`]: restarts of functions in Node and Python when their sources change
//! - [`error`]: errors of invocations

mod call;
pub mod error;
pub mod later;
pub mod launch;
pub mod pool;
pub mod queue;
pub mod reload;
pub mod remote;
pub mod runtime_api;
pub mod shares;
pub mod state;
pub mod turns;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::faults::{Faults, Moment, Switches};
use crate::http::sigv4::AccessKey;
use crate::logs::millis;
use crate::model::{Function, Template};
use crate::process::program::Programs;
use crate::process::supervise::{Group, this_program};
use call::Call;
pub use error::{FunctionError, InvokeError};
use pool::{Concurrency, Pool, Pools};
use queue::Event;
use remote::{Names, RemoteFunction};
use shares::{Caller, Shares};
use watch::Watch;

/// Size limit of a payload, and of a result, in bytes.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The longest timeout of a function.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// Limit of the processes of a function in Node or Python where programs have one for many events.
const MAX_SCRIPTS: u32 = 10;

/// The source of the functions.
pub enum Source {
    /// Programs, which run as local processes.
    Programs(Programs),
    /// Programs of functions in Node and Python, which are restarted when their sources change; `cargo
    /// lambda watch` builds and runs the others.
    Watch {
        /// Those in Node and Python.
        scripts: Programs,
        /// Whether it builds with optimisations.
        release: bool,
    },
    /// The Invoke API at this address.
    Endpoint(String),
}

/// Settings of all functions.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Processes of a function, and events of a process.
    pub concurrency: Concurrency,
    /// Events that are served at once while several callers have some, in equal shares.
    pub fair_concurrency: u32,
    /// Least level of log lines.
    pub log_level: String,
    /// Format of log lines in Lambda's words: `Text` or `JSON`.
    pub log_format: &'static str,
    /// The X-Ray daemon, if there is one: then all events are part of a sampled trace.
    pub xray_daemon: Option<String>,
    /// Credentials.
    pub access_key: AccessKey,
}

impl Settings {
    /// Returns the settings of functions in Node and Python, whose processes take one event at a time.
    fn for_scripts(&self) -> Self {
        let concurrency = match self.concurrency {
            Concurrency::InFlight(events) => Concurrency::Processes(events.min(MAX_SCRIPTS)),
            processes => processes,
        };
        Self {
            concurrency,
            ..self.clone()
        }
    }
}

/// An event for a function.
pub struct Invocation<'a> {
    /// The function, by logical id.
    pub function: &'a str,
    /// The reason of the invocation, for the log: a route key, or `authorizer`.
    pub cause: &'a str,
    /// The connection that the event is about.
    pub connection_id: Option<&'a str>,
    /// The caller whose share it takes; none for an event of the gateway or of whoever signs.
    pub caller: Option<Caller>,
    /// The event.
    pub payload: Bytes,
    /// Timeout of the caller.
    pub timeout: Duration,
    /// Cancelled when the event is no longer to be queued.
    pub dropped: Option<&'a CancellationToken>,
}

/// Counts of the processes of a function, since the start of the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ProcessCounts {
    /// Processes that were started.
    pub started: u64,
    /// Processes that have ended with a status of their own.
    pub exited: u64,
    /// Processes that have ended by a signal.
    pub killed: u64,
}

/// A function that can be invoked.
#[derive(Clone)]
enum Backend {
    /// In local processes.
    Local(Arc<Pool>),
    /// Behind another Invoke API.
    Remote(Arc<RemoteFunction>),
}

/// The functions of a template.
pub struct Functions {
    /// By logical id.
    backends: BTreeMap<String, Backend>,
    faults: Arc<Switches>,
    shares: Arc<Shares>,
    /// Invocations under way.
    invocations: TaskTracker,
    /// Waits for the starts of the first processes.
    starts: Mutex<Option<JoinHandle<()>>>,
    /// The process group of the local processes.
    _group: Option<Group>,
    watch: Option<Watch>,
    /// Starts and restarts functions in Node and Python.
    background: Vec<AbortOnDropHandle<()>>,
}

impl Functions {
    /// Starts the functions; [`Functions::wait_started`] waits until they can take events. `faults`
    /// kill processes.
    ///
    /// # Errors
    ///
    /// `cargo lambda watch` or the supervisor of the processes does not start, or an address is not
    /// a URL.
    pub async fn start(
        template: &Template,
        source: Source,
        settings: Settings,
        faults: Arc<Switches>,
    ) -> Result<Self> {
        let program = this_program()?;
        let mut functions = Self {
            backends: BTreeMap::new(),
            faults,
            shares: Arc::new(Shares::new(settings.fair_concurrency)),
            invocations: TaskTracker::new(),
            starts: Mutex::default(),
            _group: None,
            watch: None,
            background: Vec::new(),
        };
        let is_watched = matches!(source, Source::Watch { .. });
        let (programs, remote) = match source {
            Source::Programs(programs) => (programs, None),
            Source::Watch { scripts, release } => {
                let is_program = |function: &Function| function.binary().is_some();
                let url = if template.functions.values().any(is_program) {
                    let watch = Watch::start(template, &settings, release, &program).await?;
                    Some(functions.watch.insert(watch).url.clone())
                } else {
                    None
                };
                (scripts, url.map(|url| (url, Names::Binaries)))
            }
            Source::Endpoint(url) => (Programs::new(), Some((url, Names::Functions))),
        };
        if let Some((url, names)) = remote {
            let remote = remote::functions(template, &url, names, &settings.access_key)?;
            remote::warm_up(template, &remote).await;
            functions.backends = by_id(remote, Backend::Remote);
        }
        let pools = functions.start_programs(template, programs, settings, &program)?;
        if is_watched {
            functions.background.push(start_task(reload::run(pools)));
        }
        Ok(functions)
    }

    /// Starts the functions that run as local processes; returns them.
    fn start_programs(
        &mut self,
        template: &Template,
        programs: Programs,
        settings: Settings,
        supervisor: &Path,
    ) -> Result<Pools> {
        if programs.is_empty() {
            return Ok(Pools::new());
        }
        let group = Group::start(supervisor)?;
        let pools = pool::pools(template, programs, settings, group.id());
        self.starts = Mutex::new(Some(tokio::spawn(pool::start_programs(&pools))));
        self.background
            .push(start_task(pool::start_scripts(pools.clone())));
        self.backends.extend(by_id(pools.clone(), Backend::Local));
        self._group = Some(group);
        Ok(pools)
    }

    /// Waits until each program has a process that asks for events; functions in Node and Python go on
    /// starting. A function that does not start is reported in the log, and starts again with its next
    /// event.
    pub async fn wait_started(&self) {
        let starts = self.starts.lock().take();
        if let Some(starts) = starts {
            // It does not panic, and is not aborted.
            let _ = starts.await;
        }
    }

    /// Invokes a function and waits for its result. The event is handled even if the caller drops
    /// the future, as the handler of a request is when its client leaves. Logs one line with the
    /// fields `function`, `request_id` and `duration_ms`, unless the event is dropped.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(&self, invocation: Invocation<'_>) -> Result<Bytes, InvokeError> {
        let in_a_task = async |call: Call| {
            let aborted = |error| Err(InvokeError::NotInvocable(format!("it ended: {error}")));
            let invoked = self.invocations.spawn(call.run());
            invoked.await.unwrap_or_else(aborted)
        };
        self.logged(invocation, in_a_task).await
    }

    /// Invokes a function as [`Functions::invoke`] does, for a caller that is a task of its own and
    /// never drops the future: it saves another task.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke_from_task(&self, invocation: Invocation<'_>) -> Result<Bytes, InvokeError> {
        let _pending = self.invocations.token();
        self.logged(invocation, Call::run).await
    }

    async fn logged<F>(
        &self,
        invocation: Invocation<'_>,
        run: impl FnOnce(Call) -> F,
    ) -> Result<Bytes, InvokeError>
    where
        F: Future<Output = Result<Bytes, InvokeError>>,
    {
        let Invocation {
            function,
            cause,
            connection_id,
            caller,
            payload,
            timeout,
            dropped,
        } = invocation;
        let Some(backend) = self.backends.get(function).cloned() else {
            let why = format!("{function} does not run here: a warning at the start says why");
            return Err(InvokeError::NotInvocable(why));
        };
        let kills = self.faults.kills(Moment::Invoke, Some(function));
        let request_id = uuid::Uuid::new_v4().to_string();
        let call = Call {
            backend,
            share: caller.map(|caller| (Arc::clone(&self.shares), caller)),
            event: Event {
                id: request_id.clone(),
                connection_id: connection_id.map(str::to_owned),
                payload,
                kill: kills.first().map(|(_, delay)| *delay),
                dropped: dropped.cloned(),
            },
            timeout,
        };
        let start = Instant::now();
        let result = run(call).await;
        if let Err(InvokeError::Dropped) = result {
            return result;
        }
        let duration_ms = millis(start);
        let connection_id = connection_id.map(tracing::field::display);
        tracing::info!(connection_id, %function, %request_id, duration_ms, "{cause}");
        result
    }

    /// Returns how many events a function can have at once.
    pub fn capacity(&self, function: &str) -> usize {
        match self.backends.get(function) {
            Some(Backend::Local(pool)) => pool.capacity(),
            Some(Backend::Remote(_)) | None => remote::MAX_OUTSTANDING,
        }
    }

    /// Drops the events of a connection that wait for a process.
    pub fn drop_events(&self, connection_id: &str) {
        for backend in self.backends.values() {
            if let Backend::Local(pool) = backend {
                pool.drop_events(connection_id);
            }
        }
    }

    /// Checks that the functions that `faults` kill run in local processes.
    ///
    /// # Errors
    ///
    /// There is no such function, or it runs elsewhere.
    pub fn check_kills(&self, faults: &Faults) -> Result<()> {
        for kill in &faults.kill {
            match self.backends.get(&kill.function) {
                Some(Backend::Local(_)) => {}
                Some(Backend::Remote(_)) => bail!("{} runs elsewhere", kill.function),
                None => bail!("there is no function {}", kill.function),
            }
        }
        Ok(())
    }

    /// Kills the processes of a function that have an event; false if there is no such function, or
    /// it runs elsewhere.
    pub fn kill_busy(&self, function: &str) -> bool {
        let backend = self.backends.get(function);
        if let Some(Backend::Local(pool)) = backend {
            pool.kill_busy();
        }
        matches!(backend, Some(Backend::Local(_)))
    }

    /// Returns the counts of processes by logical id, of the functions that run in local
    /// processes.
    pub fn process_counts(&self) -> BTreeMap<&str, ProcessCounts> {
        let backends = self.backends.iter();
        backends
            .filter_map(|(id, backend)| match backend {
                Backend::Local(pool) => Some((id.as_str(), pool.counts())),
                Backend::Remote(_) => None,
            })
            .collect()
    }

    /// Waits until no invocation is under way.
    pub async fn wait_idle(&self) {
        self.invocations.close();
        self.invocations.wait().await;
    }

    /// Waits until `cargo lambda watch` has ended by itself; returns why.
    pub async fn wait(&self) -> anyhow::Error {
        match &self.watch {
            Some(watch) => watch.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Stops all processes and waits until they have ended.
    ///
    /// # Errors
    ///
    /// `cargo lambda watch` cannot be waited for.
    pub async fn shutdown(&self) -> Result<()> {
        let backends = self.backends.values();
        let pools = backends.filter_map(|backend| match backend {
            Backend::Local(pool) => Some(pool.shutdown()),
            Backend::Remote(_) => None,
        });
        futures_util::future::join_all(pools).await;
        match &self.watch {
            Some(watch) => watch.shutdown().await,
            None => Ok(()),
        }
    }
}

fn start_task(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

fn by_id<T>(
    functions: BTreeMap<String, Arc<T>>,
    backend: fn(Arc<T>) -> Backend,
) -> BTreeMap<String, Backend> {
    let functions = functions.into_iter();
    functions
        .map(|(id, function)| (id, backend(function)))
        .collect()
}
