//! End-to-end tests: real WebSocket clients, the real local gateway, the real function binaries, a
//! real database server. Each test has a chat of its own on ports and a database of its own.
//!
//! - [`chat`]: messages arrive, on every device, from old clients and new ones
//! - [`log`]: numbers without holes, times that never go back, resends
//! - [`limits`]: how fast a user may send, and how many sockets they may have
//! - [`history`]: pages, links, limits
//! - [`refusals`]: every error code, on both routes and at the handshake
//! - [`hardening`]: operators, deep and large input, input that an answer could repeat
//! - [`page`]: the files of the web page and their headers
//! - [`ids`]: user ids of all kinds, through query, path and database
//! - [`secrets`]: what a run writes down, and what not
//! - [`tokens`]: which tokens are good
//! - [`auth`]: who gets in, writes and reads, by tokens
//! - [`auth_local`]: `cargo local --auth`, and the warning without
//! - [`sockets`]: sockets that are gone, and the `@connections` API
//! - [`migration`]: documents of the old system
//! - [`migrate`]: the function that runs the migration, as a deployment and an operator call it
//! - [`outage`]: the database or a function ends, and comes back
//! - [`faults`]: pushes that are lost, refused or doubled
//! - [`plans`]: the queries that the store really sends use indexes
//! - [`operations`]: how often a request asks the database
//! - [`telemetry`]: log lines, metrics and traces of requests
//! - [`baseline`]: what the benchmarks compare the chat with does what it is compared for
//! - [`program`]: `cargo local` as a program: arguments, start, end

mod auth;
mod auth_local;
mod baseline;
mod chat;
mod faults;
mod hardening;
mod history;
mod ids;
mod limits;
mod log;
mod migrate;
mod migration;
mod operations;
mod outage;
mod page;
mod plans;
mod program;
mod refusals;
mod secrets;
mod sockets;
mod telemetry;
mod tokens;
