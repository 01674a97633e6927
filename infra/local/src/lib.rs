//! API Gateway and Lambda on one machine, for development and tests.
//!
//! A SAM template goes in, a WebSocket API, an HTTP API and the `@connections` API come out, with
//! every function running as a process of its own.
//!
//! - [`template`]: what to serve, read from `infra/template.yaml`
//! - [`routing`]: which route a frame or a request takes
//! - [`event`]: the events that functions get
//! - [`connections`]: the open sockets
//! - [`gateway`]: what the fronts share, and the calls of functions
//! - [`front`]: the two listeners: WebSocket with `@connections`, and HTTP
//! - [`runtime`]: the Lambda Runtime API, one for each process
//! - [`processes`]: the function processes: started, restarted, stopped
//! - [`binaries`]: builds the functions
//! - [`database`]: finds, installs and runs the database
//! - [`supervise`]: ties a program's life to ours
//! - [`logs`]: what the developer reads while it runs

pub mod template;

pub mod routing;

pub mod event;

pub mod connections;

pub mod gateway;

pub mod front;

pub mod runtime;

pub mod processes;

pub mod binaries;

pub mod database;

pub mod supervise;

pub mod logs;
