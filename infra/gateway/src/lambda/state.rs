//! The state of a process of a function: its phase, and the events that it has.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::FunctionError;

/// The result of an invocation.
pub type Outcome = Result<Bytes, FunctionError>;

/// Takes the result of an invocation.
pub(super) type Reply = oneshot::Sender<Outcome>;

/// The state of a process.
pub struct ProcessState {
    timeout: Duration,
    state: Mutex<State>,
    /// The phase is another one, or the last event of a process that gets no more has left.
    changed: Notify,
}

struct State {
    phase: Phase,
    events: HashMap<String, InFlight>,
}

/// The phases of a process, in their order.
enum Phase {
    /// It has not asked for an event yet. The error that it has reported, if it has.
    Starting(Option<FunctionError>),
    /// It takes events.
    Running,
    /// It gets no more events.
    Retired,
    /// It gets no more events, and is to be killed.
    Killed,
    /// It has ended.
    Ended,
}

/// An event that the process has.
struct InFlight {
    deadline: Instant,
    reply: Reply,
}

impl ProcessState {
    /// Returns the state of a process that starts, and may take `timeout` for each event.
    pub fn new(timeout: Duration) -> Arc<Self> {
        let state = State {
            phase: Phase::Starting(None),
            events: HashMap::new(),
        };
        Arc::new(Self {
            timeout,
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// Returns the timeout of each event.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the process has not asked for an event yet.
    pub fn is_starting(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Starting(_))
    }

    /// Whether the process is retired.
    pub fn is_retired(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Retired)
    }

    /// Whether the process has an event.
    pub fn is_busy(&self) -> bool {
        !self.state.lock().events.is_empty()
    }

    /// Ends the start of the process: it asks for an event.
    pub(super) fn polls(&self) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Starting(_)) {
            state.phase = Phase::Running;
            self.changed.notify_waiters();
        }
    }

    /// Stores the reason why the process never asks for an event, unless it has reported one.
    pub fn fail_init(&self, error: FunctionError) {
        if let Phase::Starting(reported) = &mut self.state.lock().phase {
            reported.get_or_insert(error);
        }
    }

    /// Gives the process the event `id`.
    ///
    /// # Errors
    ///
    /// It gets no more events.
    pub(super) fn take(&self, id: &str, reply: Reply) -> Result<(), Reply> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Running) {
            return Err(reply);
        }
        let deadline = Instant::now() + self.timeout;
        let event = InFlight { deadline, reply };
        state.events.insert(id.to_owned(), event);
        Ok(())
    }

    /// Takes the event `id` from the process. Returns `None` if it does not have it.
    pub(super) fn release(&self, id: &str) -> Option<Reply> {
        let mut state = self.state.lock();
        let event = state.events.remove(id)?;
        if state.events.is_empty() && !matches!(state.phase, Phase::Running) {
            self.changed.notify_waiters();
        }
        Some(event.reply)
    }

    /// Sends the process no more events.
    pub fn retire(&self) {
        self.state.lock().phase = Phase::Retired;
        self.changed.notify_waiters();
    }

    /// Requests the kill of the process if it has the event `id`.
    pub(super) fn kill(&self, id: &str) {
        let mut state = self.state.lock();
        if state.events.contains_key(id) {
            state.phase = Phase::Killed;
            self.changed.notify_waiters();
        }
    }

    /// Ends the process, and fails its events. Returns the error of a process that never asked for
    /// an event.
    pub fn end(&self, status: Option<ExitStatus>) -> Option<FunctionError> {
        let why = exit_reason(status);
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Ended);
        for (id, event) in state.events.drain() {
            let message = format!("RequestId: {id} Error: {why}");
            let error = FunctionError::new("Runtime.ExitError", &message);
            let _ = event.reply.send(Err(error));
        }
        self.changed.notify_waiters();
        let Phase::Starting(reported) = phase else {
            return None;
        };
        let error = || FunctionError::new("Runtime.ExitError", &format!("Error: {why}"));
        Some(reported.unwrap_or_else(error))
    }

    /// Waits until the process has asked for its first event: its init is done.
    pub async fn started(&self) {
        self.until(|state| !matches!(state.phase, Phase::Starting(_)))
            .await;
    }

    /// Waits until the kill of the process is requested.
    pub async fn killed(&self) {
        self.until(|state| matches!(state.phase, Phase::Killed))
            .await;
    }

    /// Waits until the process has ended.
    pub async fn ended(&self) {
        self.until(|state| matches!(state.phase, Phase::Ended))
            .await;
    }

    /// Waits until a retired process has no event any longer.
    pub async fn drained(&self) {
        let mut is_drained = std::pin::pin!(self.until(|state| state.events.is_empty()));
        loop {
            tokio::select! {
                () = is_drained.as_mut() => return,
                () = self.overdue() => {}
            }
        }
    }

    /// Waits until an event exceeds its timeout, and fails it.
    pub async fn overdue(&self) {
        loop {
            let oldest = self.oldest_deadline();
            match oldest {
                Some(deadline) if deadline <= Instant::now() => break,
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                // An event that comes while we sleep is not overdue before we wake.
                None => tokio::time::sleep(self.timeout).await,
            }
        }
        self.fail_overdue();
    }

    fn oldest_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.events.values().map(|event| event.deadline).min()
    }

    fn fail_overdue(&self) {
        let now = Instant::now();
        let seconds = self.timeout.as_secs_f64();
        let mut state = self.state.lock();
        let late = |_: &String, event: &mut InFlight| event.deadline <= now;
        for (id, event) in state.events.extract_if(late) {
            let message =
                format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
            let error = FunctionError::new("Sandbox.Timedout", &message);
            let _ = event.reply.send(Err(error));
        }
        self.changed.notify_waiters();
    }

    /// Waits until the state fulfils a condition.
    async fn until(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if condition(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}

/// Returns the reason of a process's end as Lambda words it.
fn exit_reason(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "Runtime could not be started".to_owned();
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".to_owned(),
        (None, signal) => format!(
            "Runtime exited with error: signal: {}",
            signal.unwrap_or_default()
        ),
    }
}
