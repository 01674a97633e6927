//! The function behind the schedule of the removal of old entries.

use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};
use retention::{Config, Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let deps: &Deps = Box::leak(Box::new(Deps {
        store: config.database.connect_store().await?,
        retention: config.retention,
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
