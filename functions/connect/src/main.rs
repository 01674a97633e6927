//! The `$connect` function.

use chat::store::Limited;
use chat_lambda::rate_limiter::RateLimiter;
use chat_lambda::telemetry;
use connect::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let deps: &Deps = Box::leak(Box::new(Deps {
        store: config.database.connect_store().await?,
        // Not prepared: few handshakes close another connection.
        push: config.push.push(),
        connections_per_user: config.connections_per_user,
        rate_limiter: RateLimiter::new(Limited::Handshakes, config.rate),
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
