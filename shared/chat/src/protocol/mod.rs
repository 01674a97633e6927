//! The WebSocket protocol: JSON text frames.
//!
//! - [`client`]: frames from a client
//! - `fields`: the fields of these
//! - [`server`]: frames to a client
//! - [`subprotocol`]: the name of the protocol in the handshake

pub mod client;

mod fields;

pub mod server;

pub mod subprotocol;

pub use client::{
    ChangeFrame, ClientFrame, GroupChange, GroupFrame, MarkFrame, ParsedFrame, SendFrame, Target,
};
pub use server::{Ack, ErrorFrame, Receipt, ServerFrame, Status};
