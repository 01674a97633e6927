//! The local gateway as others use it, and misuse it. Each test has a gateway of its own.
//!
//! - [`clients`]: boto3 and the AWS CLI
//! - [`hardening`]: bad input of all kinds

mod clients;
mod hardening;
