//! The function behind `/chat/conversations`, `GET /chat/members`, `GET /chat/presence` and `/chat/settings`.

use chat::Delivery;
use chat::store::Limited;
use chat_lambda::rate_limiter::RateLimiter;
use chat_lambda::telemetry;
use conversations::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    let store = config.database.connect_store().await?;
    let deps: &Deps = Box::leak(Box::new(Deps {
        delivery: Delivery::new(store.clone(), config.push.push()),
        store,
        auth: config.auth,
        rate_limiter: RateLimiter::new(Limited::Pages, config.rate),
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
