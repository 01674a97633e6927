//! The chat itself. It knows neither Lambda nor HTTP servers.
//!
//! - [`id`]: user, conversation, connection and client message ids, and their limits
//! - [`timestamp`]: the one form in which a time is stored and sent
//! - [`secret`]: a value that no log may show
//! - [`error`]: errors, by what the caller does about them
//! - [`deadline`]: the time that a request has left
//! - [`identity`]: the user of a request, as the authorizer has verified it
//! - [`marks`]: how far a user has a conversation
//! - [`settings`]: what a user shows to others
//! - [`withheld`]: the texts that a user does not see of a conversation
//! - [`conversation`]: what a user has set for a conversation
//! - [`entry`]: the entries of a conversation's log
//! - [`group`]: who is in a group, and who may do what
//! - [`protocol`]: the JSON frames of both directions
//! - [`store`]: MongoDB: connections, the log with its delivery contract, rate limits
//! - [`migration`]: numbers for the documents of the old system
//! - [`retention`]: the removal of old entries
//! - [`erasure`]: the erasure of a user's data
//! - [`delivery`]: frames to the connections of users

pub mod id;

pub mod timestamp;

pub mod secret;

pub mod error;

pub mod deadline;

pub mod identity;

pub mod marks;

pub mod settings;

pub mod withheld;

pub mod conversation;

pub mod entry;

pub mod group;

pub mod protocol;

pub mod store;

pub mod migration;

pub mod retention;

pub mod erasure;

pub mod delivery;

pub use deadline::Deadline;
pub use delivery::Delivery;
pub use delivery::push::Push;
pub use entry::{Content, Draft, Entry, Kind, Recipient, Text};
pub use error::{Code, Error, Rejection, Result};
pub use group::{Group, History, Membership, Role, Title};
pub use id::{ClientMessageId, ConnectionId, ConversationId, UserId};
pub use identity::Identity;
pub use marks::Marks;
pub use store::{Connection, Store};
pub use withheld::{HiddenTexts, Withheld};
