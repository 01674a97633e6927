//! The authorizer of both APIs.

use authorizer::{Authorizer, Config, handle};
use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let authorizer: &Authorizer = Box::leak(Box::new(Authorizer::new(Config::from_env()?)));
    authorizer.fetch_keys().await;
    run_concurrent(service_fn(move |event| handle(event, authorizer))).await
}
