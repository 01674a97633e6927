//! The glue between the chat and AWS Lambda, shared by all functions.
//!
//! - [`env`](mod@env): environment variables
//! - [`config`]: settings that several functions have in common
//! - [`event`]: the connection and the user of an event
//! - [`http_event`]: events of the HTTP API, and their responses
//! - [`query_string`]: the parameters of a query string
//! - [`problem`]: errors of the HTTP API
//! - [`deadline`]: the deadline of an invocation
//! - [`rate_limiter`]: the rate limit of a user, or of a group
//! - [`error`]: the error of a handler, as Lambda reports it
//! - [`aws`]: credentials, region and HTTP client for the AWS SDK
//! - [`secrets_manager`]: AWS Secrets Manager, which holds a deployment's connection string
//! - [`queue`]: a queue of AWS SQS, as its senders see it
//! - [`topic`]: a topic of AWS SNS, as its publishers see it
//! - [`offline`]: the topic for texts that no connection of a recipient has got
//! - [`http_client`]: HTTP client for endpoints outside AWS
//! - [`telemetry`]: log lines, metrics and traces

pub mod env;

pub mod config;

pub mod event;

pub mod http_event;

pub mod query_string;

pub mod problem;

pub mod deadline;

pub mod rate_limiter;

pub mod error;

pub mod aws;

pub mod secrets_manager;

pub mod queue;

pub mod topic;

pub mod offline;

pub mod http_client;

pub mod telemetry;

pub use error::HandlerError;
