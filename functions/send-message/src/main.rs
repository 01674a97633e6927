//! The function behind `sendMessage`, `ping` and `$default`.

use std::sync::Arc;

use chat::{Push, Store};
use lambda_runtime::{Error, run_concurrent, service_fn};
use send_message::identity::Identities;
use send_message::{Config, Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    chat::log::start();
    let config = Config::from_env()?;
    let deps = Arc::new(Deps {
        store: Store::open(&config.database).await?,
        push: Push::new(config.push),
        identities: Identities::default(),
    });
    // The two wait for different things, the network and the loading of certificates.
    let push = Arc::clone(&deps);
    let warm_push = tokio::task::spawn_blocking(move || push.push.warm());
    if let Err(error) = deps.store.warm().await {
        tracing::warn!(cause = error.chain(), "starting without the database");
    }
    warm_push.await?;
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
