//! What users do.

use clap::Args;

/// Days of a month.
pub const DAYS: f64 = 30.0;

/// Seconds of a month.
pub const SECONDS: f64 = DAYS * 86_400.0;

/// Longest life of a connection, in hours. Then its client connects again.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const CONNECTION_HOURS: f64 = 2.0;

/// What users do, on average.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What users do")]
pub struct Usage {
    /// Users
    #[arg(long, default_value_t = 1_000.0, value_parser = positive, value_name = "N")]
    pub users: f64,

    /// Messages that a user sends a day
    #[arg(long, default_value_t = 40.0, value_parser = positive, value_name = "N")]
    pub messages: f64,

    /// Bytes of a message's text
    #[arg(long, default_value_t = 80.0, value_parser = message_bytes, value_name = "N")]
    pub message_bytes: f64,

    /// Share of the messages whose receiver is online
    #[arg(long, default_value_t = 0.6, value_parser = share, value_name = "SHARE")]
    pub online_share: f64,

    /// Connections of a user who is online: phone, laptop
    #[arg(long = "sockets", default_value_t = 1.2, value_parser = at_least_one, value_name = "N")]
    pub connections: f64,

    /// Hours a day that a user is online
    #[arg(long, default_value_t = 3.0, value_parser = hours, value_name = "N")]
    pub hours_online: f64,

    /// Times a day that a user comes online; connections also end after two hours
    #[arg(long, default_value_t = 4.0, value_parser = positive, value_name = "N")]
    pub sessions: f64,

    /// Minutes between the pings that keep a connection open
    #[arg(long, default_value_t = 5.0, value_parser = positive, value_name = "N")]
    pub ping_minutes: f64,

    /// Frames that say that a user types, a day
    #[arg(long, default_value_t = 40.0, value_parser = amount, value_name = "N")]
    pub typings: f64,

    /// Read marks of a user a day
    #[arg(long, default_value_t = 20.0, value_parser = amount, value_name = "N")]
    pub marks: f64,

    /// Pages of the list of conversations that a user reads a day
    #[arg(long, default_value_t = 10.0, value_parser = amount, value_name = "N")]
    pub lists: f64,

    /// Pages of history that a user reads a day
    #[arg(long, default_value_t = 6.0, value_parser = amount, value_name = "N")]
    pub history_reads: f64,

    /// Messages of a page
    #[arg(long, default_value_t = 50.0, value_parser = page, value_name = "N")]
    pub history_messages: f64,
}

impl Usage {
    /// Returns how many connections a user opens and closes a day.
    pub fn connects(&self) -> f64 {
        self.connections * self.sessions.max(self.hours_online / CONNECTION_HOURS)
    }

    /// Returns the minutes of open connections of a user a day.
    pub fn connection_minutes(&self) -> f64 {
        self.connections * self.hours_online * 60.0
    }

    /// Returns the pings of a user a day.
    pub fn pings(&self) -> f64 {
        self.connection_minutes() / self.ping_minutes
    }

    /// Returns the authorizations of a user a day: one for each handshake and each page.
    pub fn authorizations(&self) -> f64 {
        self.connects() + self.history_reads + self.lists
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("it is not a number".to_owned()),
    }
}

fn check(text: &str, is_good: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number = number(text)?;
    if is_good(number) {
        Ok(number)
    } else {
        Err(format!("it is not {expected}"))
    }
}

/// Parses a number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    check(text, |number| number > 0.0, "above 0")
}

/// Parses a number from 0 on.
pub fn amount(text: &str) -> Result<f64, String> {
    check(text, |number| number >= 0.0, "0 or more")
}

/// Parses a number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    check(text, |number| (0.0..=1.0).contains(&number), "from 0 to 1")
}

fn at_least_one(text: &str) -> Result<f64, String> {
    check(text, |number| number >= 1.0, "1 or more")
}

fn hours(text: &str) -> Result<f64, String> {
    let is_good = |number| number > 0.0 && number <= 24.0;
    check(text, is_good, "above 0 and up to 24")
}

fn message_bytes(text: &str) -> Result<f64, String> {
    let is_good = |number| (1.0..=16_384.0).contains(&number);
    check(text, is_good, "from 1 to 16384")
}

fn page(text: &str) -> Result<f64, String> {
    let is_good = |number| (1.0..=1_000.0).contains(&number);
    check(text, is_good, "from 1 to 1000")
}
