//! Shares of the cores: while several callers have events, each has only so many of them served at once.
//!
//! All processes share the cores of this machine. A caller whose events keep ten processes busy would leave
//! the others a tenth of them. On Lambda, each event has a CPU share of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::InvokeError;

/// A caller is active until so long after its last event.
const ACTIVE: Duration = Duration::from_secs(1);

/// An event that takes longer leaves its place to the next: it waits for something else than a core.
const LONG: Duration = Duration::from_millis(100);

/// Permits of a caller. An event takes as many of them as leave room for the share of the caller.
const PERMITS: u32 = 1 << 20;

/// Limit of the events that wait for their place, in bytes.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The least that an event counts of these: its task takes memory too.
const LEAST_BYTES: usize = 8 * 1024;

/// The cause of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A user, by the principal or the context that an authorizer has returned.
    User(String),
    /// A connection that no authorizer guards.
    Connection(String),
    /// The address of a client that no authorizer has allowed yet.
    Address(String),
    /// A queue whose messages a function consumes.
    Queue(String),
}

/// The shares of all callers.
pub struct Shares {
    /// Events that are served at once, of all callers together.
    events: u32,
    callers: Mutex<Callers>,
    waiting: Semaphore,
}

/// The place of an event that is served. It is free again when this is dropped.
type Place = OwnedSemaphorePermit;

impl Shares {
    /// Returns shares of `events` events at once.
    pub fn new(events: u32) -> Self {
        Self {
            events,
            callers: Mutex::default(),
            waiting: Semaphore::new(WAITING_BYTES),
        }
    }

    /// Serves an event of a caller, with `bytes` in it, when it has a place.
    ///
    /// # Errors
    ///
    /// `Busy` if too many events wait, `Dropped` if the event is dropped while it waits, and those of
    /// `serve`.
    pub async fn serve<T>(
        &self,
        caller: Caller,
        bytes: usize,
        dropped: Option<&CancellationToken>,
        serve: impl Future<Output = Result<T, InvokeError>>,
    ) -> Result<T, InvokeError> {
        let place = self.place(caller, bytes, dropped).await?;
        let mut serve = std::pin::pin!(serve);
        if let Ok(served) = tokio::time::timeout(LONG, serve.as_mut()).await {
            return served;
        }
        drop(place);
        serve.await
    }

    /// Waits for a place. Events of a caller get theirs in the order in which they came.
    async fn place(
        &self,
        caller: Caller,
        bytes: usize,
        dropped: Option<&CancellationToken>,
    ) -> Result<Place, InvokeError> {
        let (permits, share) = self
            .callers
            .lock()
            .share(caller, self.events, Instant::now());
        let needed = PERMITS / share;
        if let Ok(place) = Arc::clone(&permits).try_acquire_many_owned(needed) {
            return Ok(place);
        }
        let bytes = u32::try_from(bytes.max(LEAST_BYTES)).map_err(|_| InvokeError::TooLarge)?;
        let room = self.waiting.try_acquire_many(bytes);
        let _room = room.map_err(|_| InvokeError::Busy)?;
        let is_dropped = async {
            match dropped {
                Some(dropped) => dropped.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            place = permits.acquire_many_owned(needed) => Ok(place.expect("it is never closed")),
            () = is_dropped => Err(InvokeError::Dropped),
        }
    }
}

/// The callers that are active, and some that were so until lately.
#[derive(Default)]
struct Callers {
    active: HashMap<Caller, Active>,
    /// Time of the last removal of the others.
    swept: Option<Instant>,
}

struct Active {
    permits: Arc<Semaphore>,
    last_event: Instant,
}

impl Callers {
    /// Counts an event of a caller. Returns the permits of the caller, and how many of its events may be
    /// served at once: any number if no other is active.
    fn share(&mut self, caller: Caller, events: u32, now: Instant) -> (Arc<Semaphore>, u32) {
        self.sweep(now);
        let active = self.active.entry(caller).or_insert_with(|| Active {
            permits: Arc::new(Semaphore::new(PERMITS as usize)),
            last_event: now,
        });
        active.last_event = now;
        let permits = Arc::clone(&active.permits);
        let share = match u32::try_from(self.active.len()) {
            Ok(1) => PERMITS,
            Ok(callers) => (events / callers).max(1),
            Err(_) => 1,
        };
        (permits, share)
    }

    /// Removes callers that are no longer active, if the last time is long enough ago.
    fn sweep(&mut self, now: Instant) {
        let is_young = |time: Instant| now.duration_since(time) < ACTIVE;
        if self
            .swept
            .is_some_and(|swept| now.duration_since(swept) < ACTIVE / 4)
        {
            return;
        }
        self.swept = Some(now);
        let has_events = |active: &Active| Arc::strong_count(&active.permits) > 1;
        self.active
            .retain(|_, active| is_young(active.last_event) || has_events(active));
    }
}

#[cfg(test)]
mod tests;
