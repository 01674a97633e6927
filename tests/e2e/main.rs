//! End-to-end tests: real WebSocket clients, the real local gateway, the real function binaries, a
//! real database server. Each test has a chat on its own ports with its own database.
//!
//! - [`chat`]: messages arrive on every device, from old clients and new ones
//! - [`admin`]: the operator's program
//! - [`append`]: appending by several processes: operations, hints, lost replies, conflicts
//! - [`changes`]: edits and deletions
//! - [`completion`]: what a killed sender has left undone
//! - [`groups`]: groups, their members and their fence
//! - [`deliver`]: pushes to large groups, by a queue
//! - [`log`]: numbers without holes, times that never decrease, resends
//! - [`resends`]: a `client_message_id` belongs to its first text
//! - [`offline`]: the topic for texts that no connection has got
//! - [`limits`]: limits of messages and of connections per user
//! - [`history`]: pages of the history, their links and limits
//! - [`refusals`]: every error code, on both routes and at the handshake
//! - [`hardening`]: operators, deep and large input, input that a response could repeat
//! - [`page`]: the files of the web page and their headers
//! - [`ids`]: user ids of all kinds, through query, path and database
//! - [`secrets`]: logs hold no message text, no token and no password
//! - [`auth`]: connecting, writing and reading with tokens
//! - [`auth_local`]: `cargo local --auth`, and the warning without
//! - [`connections`]: connections that are gone, and the `@connections` API
//! - [`migration`]: documents of the old system
//! - [`migrate`]: the function `migrate`, as a deployment and an operator call it
//! - [`outage`]: the database or a function exits, and comes back
//! - [`faults`]: pushes that are lost, refused or doubled
//! - [`plans`]: the store's queries use indexes
//! - [`marks`]: how far users have a conversation
//! - [`blocks`]: muted conversations and blocked users
//! - [`list`]: the list of conversations
//! - [`presence`]: who is there, and what a user shows
//! - [`protocol`]: the examples of the protocol's description
//! - [`typing`]: the news that a user writes a message
//! - [`operations`]: the database operations of each request
//! - [`telemetry`]: log lines, metrics and traces of requests
//! - [`baseline`]: the programs that the benchmarks compare the chat with
//! - [`program`]: `cargo local` as a program: arguments, start, end

mod admin;
mod append;
mod auth;
mod auth_local;
mod baseline;
mod blocks;
mod changes;
mod chat;
mod completion;
mod connections;
mod deliver;
mod faults;
mod groups;
mod hardening;
mod history;
mod ids;
mod limits;
mod list;
mod log;
mod marks;
mod migrate;
mod migration;
mod offline;
mod operations;
mod outage;
mod page;
mod plans;
mod presence;
mod program;
mod protocol;
mod refusals;
mod resends;
mod retention;
mod secrets;
mod telemetry;
mod typing;
