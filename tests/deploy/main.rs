//! The template, deployed: the real `sam build` and `sam deploy` put it on an emulator of AWS, real
//! clients use what comes of it, over a real database server.
//!
//! - [`adapt`]: the one step between the built template and the emulator, each change with its reason
//! - [`chat`]: a deployed chat, as its outputs name it
//! - [`life`]: it is deployed, used, upgraded and deleted, beside a stack that cannot be deployed
//! - [`tokens`]: who gets in, who does not, and how much they may do there
//! - [`instances`]: `send-message` on Lambda Managed Instances
//! - [`checks`]: the template as linters see it

mod adapt;
mod chat;
mod checks;
mod instances;
mod life;
mod tokens;
