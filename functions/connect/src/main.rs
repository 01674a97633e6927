//! The `$connect` function.

use std::sync::Arc;

use chat_lambda::telemetry;
use connect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: config.database.connect_store().await?,
        // Nothing is loaded before it is needed, which it rarely is.
        push: config.push.push(),
        sockets_per_user: config.sockets_per_user,
    });
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
