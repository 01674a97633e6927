//! API Gateway and Lambda on one machine, for development and tests.
//!
//! A SAM or CloudFormation template goes in; a WebSocket API, an HTTP API and the `@connections` API
//! come out, with every function running as processes of its own. What API Gateway is documented or
//! observed to do is done here; what is unsure is marked `[U]`.
//!
//! - [`template`]: what to serve
//! - [`routing`]: which route a frame or a request takes
//! - [`event`]: the events that functions get
//! - [`response`]: what they answer
//! - [`connections`]: the open sockets
//! - [`gateway`]: what the fronts share, and the calls of functions
//! - [`front`]: the handlers of the two listeners: WebSocket with `@connections`, and HTTP
//! - [`http`]: an HTTP server and an HTTP client, headers, signatures
//! - [`process`]: programs that run beside the gateway
//! - [`authorize`]: what authorizers decide
//! - [`throttle`]: how many requests a route takes
//! - [`faults`]: faults on demand
//! - [`lambda`]: the functions: processes of ours, or another Invoke API
//! - [`custom_resource`]: makes custom resources, as a deployment does
//! - [`logs`]: what the developer reads while it runs
//! - [`startup`]: from a template to a gateway that runs
//! - [`cli`]: flags and signals

pub mod template;

pub mod routing;

pub mod event;

pub mod response;

pub mod connections;

pub mod gateway;

pub mod front;

pub mod http;

pub mod process;

pub mod authorize;

pub mod throttle;

pub mod faults;

pub mod lambda;

pub mod custom_resource;

pub mod logs;

pub mod startup;

pub mod cli;
