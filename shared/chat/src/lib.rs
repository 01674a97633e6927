//! The chat itself. It knows neither Lambda nor HTTP servers.
//!
//! - [`id`]: user, conversation, connection and client message ids, and what makes one valid
//! - [`identity`]: who a request comes from, as the authorizer has found out
//! - [`time`]: the one form in which a time is stored and sent, and the [`Deadline`] of a request
//! - [`message`]: a message before and after it has its place in a conversation
//! - [`frame`]: the JSON frames of both directions
//! - [`store`]: MongoDB: open sockets, and the log of messages with its delivery contract
//! - [`migration`]: indexes, and places in their conversations for documents of the old system
//! - [`push`]: the `@connections` management API
//! - [`secret`]: a value that no log may show
//! - [`error`]: what can go wrong, by what the caller does about it

pub mod id;
pub mod identity;
pub mod time;

pub mod message;

pub mod frame;

pub mod store;

pub mod migration;

pub mod push;

pub mod secret;

pub mod error;

pub use error::{Code, Error, Rejection, Result};
pub use id::{ClientMessageId, ConnectionId, ConversationId, UserId};
pub use identity::Identity;
pub use message::{Draft, Message};
pub use push::Push;
pub use store::{Connection, Store};
pub use time::Deadline;
