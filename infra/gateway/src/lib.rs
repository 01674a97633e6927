//! API Gateway and Lambda on one machine, for development and tests.
//!
//! A SAM or CloudFormation template goes in; a WebSocket API, an HTTP API and the `@connections`
//! API come out, with every function running as processes of its own. The gateway does what API
//! Gateway is documented or observed to do; uncertain behaviour is marked `[U]`.
//!
//! In the order of their dependencies, each on those above it:
//!
//! - [`ids`], [`logs`], [`faults`], [`model`]: request ids, the log, faults on demand, and the
//!   template as data; they use no other module
//! - [`http`]: HTTP as such, and signatures of requests
//! - [`process`]: programs that run beside the gateway
//! - [`tls`]: certificates for this machine, which functions trust
//! - [`template`]: reads a template
//! - [`lambda`]: the functions
//! - [`sqs`]: queues, and the functions that consume them
//! - [`schedule`]: functions that are invoked at times
//! - [`apigw`]: the WebSocket API and the HTTP API
//! - [`deploy`]: custom resources
//! - [`server`]: the two listeners
//! - [`cli`], [`interrupt`]: flags and signals
//! - [`startup`]: the steps from a template to a running gateway; uses the most modules

pub mod ids;
pub mod logs;

pub mod faults;
pub mod http;
pub mod model;
pub mod process;
pub mod template;
pub mod tls;

pub mod lambda;

pub mod schedule;
pub mod sqs;

pub mod apigw;
pub mod deploy;

pub mod server;

pub mod cli;
pub mod interrupt;
pub mod startup;
