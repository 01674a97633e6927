//! Executes a schedule, and records it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_gateway::faults::Faults;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, TIMEOUT};
use crate::fault::{Action, Kind, Planned};

/// A fault that was executed. Times are since the start of the run.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// The time at which it began.
    pub began: Duration,
    /// The time at which it had been undone.
    pub ended: Duration,
    /// The time at which everything responded again.
    pub healthy: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [began, ended, healthy] =
            [self.began, self.ended, self.healthy].map(|time| time.as_secs_f64());
        let kind = self.kind;
        write!(
            formatter,
            "{began:8.2} s to {ended:8.2} s, healthy {healthy:8.2} s  {kind}"
        )
    }
}

/// Executes faults on a chat.
pub struct Nemesis {
    cluster: Arc<Cluster>,
    start: Instant,
    stop: CancellationToken,
    /// The active faults, by their index in the schedule.
    active: Mutex<BTreeMap<usize, Planned>>,
    done: Mutex<Vec<Fault>>,
}

impl Nemesis {
    /// A nemesis for a run that began at `start`. It ends all faults early when `stop` is
    /// cancelled.
    pub fn new(cluster: Arc<Cluster>, start: Instant, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            start,
            stop,
            active: Mutex::default(),
            done: Mutex::default(),
        })
    }

    /// Executes a schedule, and waits for the end of the run. The chat is healthy then.
    ///
    /// # Errors
    ///
    /// A process does not come back.
    pub async fn execute(
        self: &Arc<Self>,
        schedule: Vec<Planned>,
        length: Duration,
    ) -> Result<Vec<Fault>> {
        let all = timeout(length + TIMEOUT, self.execute_all(schedule)).await;
        all.context("the chat does not recover")??;
        self.wait_until(length).await;
        let mut done = self.done.lock();
        Ok(std::mem::take(&mut done))
    }

    async fn execute_all(self: &Arc<Self>, schedule: Vec<Planned>) -> Result<()> {
        let mut faults = JoinSet::new();
        for (place, planned) in schedule.into_iter().enumerate() {
            let nemesis = Arc::clone(self);
            faults.spawn(async move {
                let done = nemesis.execute_one(place, &planned).await;
                done.with_context(|| planned.kind.to_string())
            });
        }
        while let Some(outcome) = faults.join_next().await {
            outcome??;
        }
        Ok(())
    }

    /// Returns the kinds of the active faults.
    pub fn active(&self) -> Vec<Kind> {
        let active = self.active.lock();
        active.values().map(|planned| planned.kind).collect()
    }

    async fn execute_one(&self, place: usize, planned: &Planned) -> Result<()> {
        self.wait_until(planned.at).await;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        let began = self.act(place, planned).await?;
        let ended = self.start.elapsed();
        self.cluster.until_healthy().await;
        self.done.lock().push(Fault {
            kind: planned.kind,
            began,
            ended,
            healthy: self.start.elapsed(),
        });
        Ok(())
    }

    /// Begins a fault, waits, and undoes it. Returns the time at which it began.
    async fn act(&self, place: usize, planned: &Planned) -> Result<Duration> {
        let (begin, lasts) = (|| self.begin(place, planned), planned.lasts);
        match &planned.action {
            Action::KillDatabase => self.kill_database(lasts, begin).await,
            Action::KillGateway => self.kill_gateway(lasts, begin).await,
            Action::PauseDatabase => {
                let database = self.cluster.database().await?;
                self.pause(database.pid()?, lasts, begin()).await
            }
            Action::PauseGateway => {
                let mut gateway = self.cluster.gateway().await;
                self.pause(gateway.pid()?, lasts, begin()).await
            }
            Action::PauseFunction { program, number } => {
                // The gateway is not locked: other faults may need it meanwhile.
                let pid = self.cluster.process(program, *number).await?;
                self.pause(pid, lasts, begin()).await
            }
            Action::Cut => {
                let gateway = self.cluster.gateway().await;
                let fault = begin();
                gateway.cut().await?;
                Ok(fault.began)
            }
            Action::Switch { cut, .. } => {
                let fault = begin();
                self.switch(*cut).await?;
                self.wait(lasts).await;
                let began = fault.began;
                drop(fault);
                self.switch(false).await?;
                Ok(began)
            }
        }
    }

    async fn kill_database<'a>(
        &self,
        lasts: Duration,
        begin: impl FnOnce() -> Active<'a>,
    ) -> Result<Duration> {
        let mut database = self.cluster.database().await?;
        let fault = begin();
        database.kill().await?;
        self.wait(lasts).await;
        database.restart().await?;
        Ok(fault.began)
    }

    async fn kill_gateway<'a>(
        &self,
        lasts: Duration,
        begin: impl FnOnce() -> Active<'a>,
    ) -> Result<Duration> {
        let mut gateway = self.cluster.gateway().await;
        let fault = begin();
        gateway.kill().await?;
        self.wait(lasts).await;
        gateway.restart().await?;
        Ok(fault.began)
    }

    /// Stops a process for a while.
    async fn pause(&self, pid: Pid, lasts: Duration, fault: Active<'_>) -> Result<Duration> {
        // A process of a function may exit by itself, before or meanwhile.
        let _ = kill_process(pid, Signal::STOP);
        self.wait(lasts).await;
        let _ = kill_process(pid, Signal::CONT);
        Ok(fault.began)
    }

    /// Marks a fault as active, as long as the result lives.
    fn begin(&self, place: usize, planned: &Planned) -> Active<'_> {
        let mut active = self.active.lock();
        active.insert(place, planned.clone());
        Active {
            nemesis: self,
            place,
            began: self.start.elapsed(),
        }
    }

    /// Sets the gateway's switches for all active faults, and cuts all connections if asked to.
    async fn switch(&self, cut: bool) -> Result<()> {
        let mut gateway = self.cluster.gateway().await;
        // The active faults are known only with the lock.
        let switches = {
            let active = self.active.lock();
            let actions = active.values().map(|planned| &planned.action);
            let faults = actions.filter_map(|action| match action {
                Action::Switch { faults, .. } => Some(faults),
                _ => None,
            });
            faults.fold(Faults::default(), merge)
        };
        gateway.set(switches).await?;
        if cut {
            gateway.cut().await?;
        }
        Ok(())
    }

    /// Waits until a time of the run.
    async fn wait_until(&self, at: Duration) {
        self.wait(at.saturating_sub(self.start.elapsed())).await;
    }

    /// Waits, but not longer than the run lasts.
    async fn wait(&self, time: Duration) {
        let _ = timeout(time, self.stop.cancelled()).await;
    }
}

/// An active fault.
struct Active<'a> {
    nemesis: &'a Nemesis,
    place: usize,
    began: Duration,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut active = self.nemesis.active.lock();
        active.remove(&self.place);
    }
}

/// Combines two sets of switches; where both set one, takes the larger.
fn merge(mut all: Faults, more: &Faults) -> Faults {
    all.seed = more.seed;
    all.disconnect.drop = all.disconnect.drop.max(more.disconnect.drop);
    all.disconnect.delay_ms = all.disconnect.delay_ms.max(more.disconnect.delay_ms);
    all.pushes.drop = all.pushes.drop.max(more.pushes.drop);
    all.pushes.duplicate = all.pushes.duplicate.max(more.pushes.duplicate);
    all.pushes.delay_ms = all.pushes.delay_ms.max(more.pushes.delay_ms);
    all.posts.extend(&more.posts);
    all.kill.extend_from_slice(&more.kill);
    all.cut = all.cut.max(more.cut);
    all
}
