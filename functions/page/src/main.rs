//! The function behind `GET /` and `GET /page/{file+}`.

use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};
use page::{Config, Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let deps: &Deps = Box::leak(Box::new(Deps::new(&Config::from_env()?)));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
