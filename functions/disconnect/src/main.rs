//! The `$disconnect` function.

use chat_lambda::telemetry;
use disconnect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let deps: &Deps = Box::leak(Box::new(Deps {
        store: config.database.connect_store().await?,
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
