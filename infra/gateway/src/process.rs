//! Programs that the gateway runs beside itself.
//!
//! - [`build`]: builds the functions, or finds them built
//! - [`script`]: functions in Node and Python, with what Lambda has built in for them
//! - [`code`], [`sources`]: where their code is, and when it has changed
//! - [`interpreter`]: Node and Python on this machine
//! - [`program`]: the program of a function, of whatever language
//! - [`cache`]: what is installed once for all templates
//! - [`cargo`]: runs cargo
//! - [`progress`]: lines that tell how far builds are
//! - [`supervise`]: ties the life of a program to ours
//! - [`ports`]: free ports

pub mod build;
pub mod cache;
pub mod cargo;
pub mod code;
pub mod interpreter;
pub mod ports;
pub mod program;
pub mod progress;
pub mod script;
pub mod sources;
pub mod supervise;
