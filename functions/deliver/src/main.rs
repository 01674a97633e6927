//! The consumer of the queue of pushes.

use chat::Delivery;
use chat_lambda::telemetry;
use deliver::{Config, Deps, handle};
use lambda_runtime::{Error, run_concurrent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    // The two wait for different things: the loading of certificates and the network.
    let push = config
        .push
        .push()
        .with_concurrent_calls(config.pushes_at_once);
    let push = tokio::task::spawn_blocking(move || push.prepare());
    let store = config.database.connect_store().await?;
    let deps: &Deps = Box::leak(Box::new(Deps {
        delivery: Delivery::new(store.clone(), push.await?),
        store,
        offline: config.offline,
    }));
    run_concurrent(service_fn(move |event| handle(event, deps))).await
}
