//! The database: `MONGODB_URI`; else `mongod`, if it is on the PATH; else the embedded server.
//!
//! - [`choice`]: chooses and starts the database
//! - [`server`]: the program of a server of our own
//! - [`install`]: builds the embedded server
//! - [`own`]: a server of our own that runs

pub mod choice;
pub mod install;
pub mod own;
pub mod server;
