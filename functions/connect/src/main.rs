//! The `$connect` function.

use std::sync::Arc;

use chat::{Push, Store};
use connect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    chat::log::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: Store::open_warm(&config.database).await?,
        // Nothing is loaded before it is needed, which it rarely is.
        push: Push::new(config.push),
        sockets_per_user: config.sockets_per_user,
    });
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
