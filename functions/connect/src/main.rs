//! The `$connect` function.

use std::sync::Arc;

use chat::Store;
use connect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    chat::log::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: Store::open_warm(&config.database).await?,
        endpoint: config.endpoint,
    });
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
