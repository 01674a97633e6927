//! The function behind the custom resource of the migration.

use chat_lambda::config::DatabaseConfig;
use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};
use migrate::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let deps: &Deps = Box::leak(Box::new(Deps {
        database: DatabaseConfig::from_env(),
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
