//! Programs that the gateway runs beside itself.
//!
//! - [`build`]: builds the functions with cargo, or finds them built
//! - [`supervise`]: ties the life of a program to ours
//! - [`ports`]: free ports

pub mod build;
pub mod ports;
pub mod supervise;
