//! The function behind `GET /chat/history`.

use std::sync::Arc;

use chat_lambda::telemetry;
use history::{Config, Deps, handle};
use lambda_http::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: config.database.connect_store().await?,
        auth: config.auth,
    });
    run_concurrent(service_fn(move |request| {
        handle(request, Arc::clone(&deps))
    }))
    .await
}
