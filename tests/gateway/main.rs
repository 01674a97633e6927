//! Use and misuse of the local gateway by other programs. Each test starts a gateway of its own.
//!
//! - [`hosts`]: where functions run: processes, another Invoke API, `cargo lambda watch`
//! - [`faults`]: faults on demand, by flag and by the control endpoint
//! - [`custom_resources`]: custom resources, which are created before clients are served
//! - [`dependencies`]: the packages that the gateway may depend on
//! - [`clients`]: boto3 and the AWS CLI
//! - [`hardening`]: bad input of all kinds
//! - [`languages`]: functions in Node and Python
//! - [`tls`]: TLS on the ports of plain HTTP
//! - [`project`]: folders with a template and the code of its functions
//! - [`differential`]: SAM templates, as they are and as the SAM translator expands them
//! - [`guards`]: authorizers that let nobody in, and `AWS_IAM`
//! - [`templates`]: gateways on templates of other people's shapes
//! - [`probe`]: gateways on a function that follows instructions

mod clients;
mod custom_resources;
mod dependencies;
mod differential;
mod faults;
mod guards;
mod hardening;
mod hosts;
mod languages;
mod probe;
mod project;
mod templates;
mod tls;
