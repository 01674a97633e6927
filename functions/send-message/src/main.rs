//! The function behind every frame of a client.

use chat::Delivery;
use chat::store::Limited;
use chat_lambda::rate_limiter::RateLimiter;
use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};
use send_message::refusals::Refusals;
use send_message::typing::Typing;
use send_message::{Config, Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    // The two wait for different things: the loading of certificates and the network.
    let push = tokio::task::spawn_blocking(move || config.push.push().prepare());
    let store = config.database.connect_store().await?;
    let store = store.with_group_size(config.group_size);
    let deps: &Deps = Box::leak(Box::new(Deps {
        delivery: Delivery::new(store.clone(), push.await?),
        store,
        queue: config.queue,
        offline: config.offline,
        auth: config.auth,
        rate_limiter: RateLimiter::new(Limited::Messages, config.rate),
        mark_limiter: RateLimiter::new(Limited::Marks, config.mark_rate),
        group_limiter: RateLimiter::new(Limited::Entries, config.group_rate),
        windows: config.windows,
        refusals: Refusals::default(),
        typing: Typing::default(),
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
