//! Counters that the users of a crowd share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tests::client::Connect;
use tests::client::backoff::Backoff;

use crate::figures::Samples;

/// Time limit of a handshake and of an ack: a little longer than API Gateway lets a function take. A
/// message without an ack is sent again then.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(35);

/// Pauses after a handshake or a message that was refused.
pub const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(20),
};

/// Size of the read buffer of a connection: there are many.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Time limit in which a number must change, or the wait for it fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two samples of a number.
pub const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Counters that all users share, and the times that they have measured.
#[derive(Default)]
pub struct Tally {
    /// Connections that are open now.
    pub open: AtomicUsize,
    /// Handshakes that succeeded.
    pub opened: AtomicUsize,
    /// Handshakes that failed.
    pub refused: AtomicUsize,
    /// Messages sent, resends not counted.
    pub sent: AtomicUsize,
    /// Messages acknowledged.
    pub acked: AtomicUsize,
    /// Messages received for the first time.
    pub delivered: AtomicUsize,
    /// Messages sent again.
    pub resent: AtomicUsize,
    times: Mutex<Times>,
}

/// Measurements since they were last taken.
#[derive(Default)]
pub struct Times {
    /// Times from the TCP connection to the 101.
    pub handshakes: Samples,
    /// Times from the send to the receiver.
    pub deliveries: Samples,
    /// Handshakes that failed, by the reason.
    pub refusals: BTreeMap<String, usize>,
}

impl Tally {
    /// Records a handshake: its duration, or the reason of its failure.
    pub fn handshake(&self, outcome: Result<Duration, String>) {
        let mut times = self.times.lock();
        match outcome {
            Ok(elapsed) => {
                times.handshakes.add(elapsed);
                add(&self.open);
                add(&self.opened);
            }
            Err(reason) => {
                *times.refusals.entry(reason).or_default() += 1;
                add(&self.refused);
            }
        }
    }

    /// Records that an open connection has ended.
    pub fn has_ended(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Records that a message has reached its receiver.
    pub fn delivery(&self, elapsed: Duration) {
        let mut times = self.times.lock();
        times.deliveries.add(elapsed);
        add(&self.delivered);
    }

    /// Returns the measurements since the last call.
    pub fn take_times(&self) -> Times {
        std::mem::take(&mut *self.times.lock())
    }
}

/// Returns the handshake of a user of the chat at `url`.
pub fn connect(url: &str, user_id: &str) -> Connect {
    let connect = Connect::user(url, user_id).timeout(ACK_TIMEOUT);
    connect.read_buffer_bytes(READ_BUFFER_BYTES)
}

/// Increments a counter.
pub fn add(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Reads a counter.
pub fn get(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

/// Waits until `number` is `wanted`, with lines of progress; returns the time that took.
///
/// # Panics
///
/// The number stays the same for too long.
pub async fn reach(what: &str, wanted: usize, mut number: impl AsyncFnMut() -> usize) -> Duration {
    let start = Instant::now();
    let (mut last, mut changed, mut printed) = (number().await, start, start);
    while last != wanted {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = number().await;
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        assert!(
            changed.elapsed() < STALL_TIMEOUT,
            "{last} {what}, not {wanted}"
        );
        if printed.elapsed() >= PROGRESS_INTERVAL {
            printed = Instant::now();
            eprintln!("{last} of {wanted} {what} …");
        }
    }
    start.elapsed()
}
