//! The data of one invocation that is reported when it ends.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::fields::Values;

/// The counters, calls and fields of one invocation.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The sum of each metric that its events have counted.
    pub(super) counters: BTreeMap<&'static str, u64>,
    /// Its calls to others.
    pub(super) calls: Vec<Call>,
    /// The fields of its spans, and of the events that count.
    pub(super) properties: Values,
}

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Call {
    /// The name of its span.
    pub(super) name: &'static str,
    /// The metric of its duration.
    pub(super) latency: &'static str,
    /// The time at which it began.
    pub(super) start: SystemTime,
    /// Its duration, with all its retries.
    pub(super) duration: Duration,
    /// The fields of its span.
    pub(super) fields: Values,
}
