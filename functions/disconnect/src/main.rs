//! The `$disconnect` function.

use std::sync::Arc;

use chat::Store;
use disconnect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    chat::log::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: Store::open(&config.database).await?,
    });
    if let Err(error) = deps.store.warm().await {
        tracing::warn!(cause = error.chain(), "starting without the database");
    }
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
