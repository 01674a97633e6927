//! Deployment of the template by the real `sam build` and `sam deploy` to an emulator of AWS. Real
//! clients use the deployed chat, which has a real database server.
//!
//! - [`adapt`]: changes to the built template for the emulator, each with its reason
//! - [`chat`]: a deployed chat, found by the outputs of its stack
//! - [`life`]: a chat is deployed, used, upgraded and deleted, beside stacks that fail
//! - [`tokens`]: accepted and rejected tokens, and the limits of a user
//! - [`instances`]: `send-message` on Lambda Managed Instances
//! - [`checks`]: the template has no findings of linters

mod adapt;
mod chat;
mod checks;
mod instances;
mod life;
mod tokens;
