//! The bill, service by service.

use std::ops::{Add, Mul};

/// Dollars for each service.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bill {
    /// Invocations of functions.
    pub requests: f64,
    /// GB-seconds of functions.
    pub time: f64,
    /// Messages of the WebSocket API.
    pub messages: f64,
    /// Minutes of open connections.
    pub minutes: f64,
    /// Requests to the HTTP API.
    pub http: f64,
    /// Requests to the queue.
    pub queue: f64,
    /// The customer's MongoDB.
    pub database: f64,
    /// Ingested logs.
    pub logs: f64,
    /// Recorded traces.
    pub traces: f64,
    /// Alarms, dashboards and custom metrics.
    pub watching: f64,
    /// Data to the internet.
    pub transfer: f64,
}

impl Bill {
    /// Returns the lines of the bill, in the order of the output.
    pub fn lines(&self) -> [(&'static str, f64); 11] {
        [
            ("Lambda requests", self.requests),
            ("Lambda time", self.time),
            ("WebSocket messages", self.messages),
            ("connection minutes", self.minutes),
            ("HTTP API requests", self.http),
            ("queue requests", self.queue),
            ("database", self.database),
            ("logs", self.logs),
            ("traces", self.traces),
            ("alarms, dashboards, metrics", self.watching),
            ("data out", self.transfer),
        ]
    }

    /// Returns the sum of all lines.
    pub fn total(&self) -> f64 {
        self.lines().iter().map(|(_, dollars)| dollars).sum()
    }

    fn combine(self, other: Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            requests: with(self.requests, other.requests),
            time: with(self.time, other.time),
            messages: with(self.messages, other.messages),
            minutes: with(self.minutes, other.minutes),
            http: with(self.http, other.http),
            queue: with(self.queue, other.queue),
            database: with(self.database, other.database),
            logs: with(self.logs, other.logs),
            traces: with(self.traces, other.traces),
            watching: with(self.watching, other.watching),
            transfer: with(self.transfer, other.transfer),
        }
    }
}

impl Add for Bill {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, |a, b| a + b)
    }
}

impl Mul<f64> for Bill {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        self.combine(self, |a, _| a * times)
    }
}
