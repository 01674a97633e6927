//! Conformance with API Gateway: what clients, functions and back ends can see of it.
//!
//! The tests speak only to URLs, so the same ones run against a deployed stage ([`target`]). Their
//! function is `probe.rs`, which does what a client tells it. An item marked \[U\] is not documented
//! and rests on reports; it is to be re-checked on AWS.
//!
//! - [`handshake`]: what opens a socket and what refuses it
//! - [`authorizer`]: the Lambda authorizer of `$connect`
//! - [`events`]: what functions get
//! - [`routing`]: which route a frame takes, and the error frames
//! - [`responses`]: what of a function's answer goes back
//! - [`frames`]: sizes, kinds, timers, concurrency
//! - [`connections`]: the `@connections` API
//! - [`http`]: the HTTP API
//! - [`cors`]: CORS of the HTTP API
//! - [`http_authorizers`]: Lambda and JWT authorizers of the HTTP API
//! - [`template`]: what only a local gateway does with a template

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

mod template;

mod target;

mod socket;

mod signed;

mod web;

mod issuer;
