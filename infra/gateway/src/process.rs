//! Programs that the gateway runs beside itself.
//!
//! - [`build`]: builds the functions, or finds them built
//! - [`cargo`]: runs cargo
//! - [`progress`]: lines that tell how far builds are
//! - [`supervise`]: ties the life of a program to ours
//! - [`ports`]: free ports

pub mod build;
pub mod cargo;
pub mod ports;
pub mod progress;
pub mod supervise;
