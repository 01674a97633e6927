//! The local gateway as others use it, and misuse it. Each test has a gateway of its own.
//!
//! - [`hosts`]: what runs the functions: processes, another Invoke API, `cargo lambda watch`
//! - [`faults`]: faults on demand, by flag and by the control endpoint
//! - [`custom_resources`]: what is made before clients are served
//! - [`dependencies`]: what its package depends on
//! - [`clients`]: boto3 and the AWS CLI
//! - [`hardening`]: bad input of all kinds
//! - [`probe`]: gateways on a function that does what it is told

mod clients;
mod custom_resources;
mod dependencies;
mod faults;
mod hardening;
mod hosts;
mod probe;
