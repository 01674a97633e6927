//! The authorizer of both APIs.

use std::sync::Arc;

use authorizer::{Authorizer, Config, handle};
use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let authorizer = Authorizer::new(Config::from_env()?);
    authorizer.warm().await;
    let authorizer = Arc::new(authorizer);
    run_concurrent(service_fn(move |event| {
        handle(event, Arc::clone(&authorizer))
    }))
    .await
}
