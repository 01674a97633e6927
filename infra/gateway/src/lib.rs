//! API Gateway and Lambda on one machine, for development and tests.
//!
//! A SAM or CloudFormation template goes in; a WebSocket API, an HTTP API and the `@connections` API
//! come out, with every function running as processes of its own. What API Gateway is documented or
//! observed to do is done here; what is unsure is marked `[U]`.
//!
//! - [`template`]: what to serve
//! - [`edge`]: the URLs of the old chat
//! - [`routing`]: which route a frame or a request takes
//! - [`event`]: the events that functions get
//! - [`response`]: what they answer
//! - [`connections`]: the open sockets
//! - [`gateway`]: what the fronts share, and the calls of functions
//! - [`front`]: the two listeners: WebSocket with `@connections`, and HTTP
//! - [`authorize`]: what authorizers decide
//! - [`signature`]: signatures of requests
//! - [`throttle`]: how many requests a route takes
//! - [`faults`]: faults on demand
//! - [`lambda`]: the functions: processes of ours, or another Invoke API
//! - [`custom_resource`]: makes custom resources, as a deployment does
//! - [`client`]: an HTTP client
//! - [`binaries`]: builds the functions
//! - [`database`]: finds, installs and runs the chat's database
//! - [`supervise`]: ties a program's life to ours
//! - [`logs`]: what the developer reads while it runs

pub mod template;

pub mod edge;

pub mod routing;

pub mod event;

pub mod response;

pub mod connections;

pub mod gateway;

pub mod front;

pub mod authorize;

pub mod signature;

pub mod throttle;

pub mod faults;

pub mod lambda;

pub mod custom_resource;

pub mod client;

pub mod binaries;

pub mod database;

pub mod supervise;

pub mod logs;
