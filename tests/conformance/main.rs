//! Conformance with API Gateway, as clients, functions and back ends observe it.
//!
//! The tests use only URLs, so they also run against deployed stages ([`target`]). The function
//! behind all routes is `probe.rs`, which follows the instructions of the client. The doc comment
//! of a test is the behaviour that it checks. The mark \[U\] means that AWS does not document the
//! behaviour: it rests on reports and is to be checked on AWS.
//!
//! - [`handshake`]: accepted and rejected handshakes
//! - [`authorizer`]: the Lambda authorizer of `$connect`
//! - [`events`]: the events that functions receive
//! - [`routing`]: the selection of a frame's route, and error frames
//! - [`responses`]: responses of functions to frames
//! - [`frames`]: sizes and kinds of frames, timers, concurrency
//! - [`connections`]: the `@connections` API
//! - [`http`]: requests and responses of the HTTP API
//! - [`cors`]: CORS of the HTTP API
//! - [`http_authorizers`]: Lambda and JWT authorizers of the HTTP API
//! - [`queues`]: queues and their consumers
//! - [`template`]: the template reader of the local gateway
//! - [`flags`]: its flags

mod handshake;

mod authorizer;

mod events;

mod routing;

mod responses;

mod frames;

mod connections;

mod http;

mod cors;

mod http_authorizers;

mod queues;

mod template;

mod flags;

mod target;

mod socket;

mod signed;

mod sqs;

mod web;

mod issuer;
