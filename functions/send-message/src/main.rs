//! The function behind `sendMessage`, `ping` and `$default`.

use std::sync::Arc;

use chat_lambda::telemetry;
use lambda_runtime::{Error, run_concurrent, service_fn};
use send_message::limits::Limits;
use send_message::sockets::Sockets;
use send_message::{Config, Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::from_env()?;
    // The two wait for different things: the loading of certificates and the network.
    let push = tokio::task::spawn_blocking(move || config.push.push().prepare());
    let store = config.database.connect_store().await?;
    let deps = Arc::new(Deps {
        store,
        push: push.await?,
        auth: config.auth,
        limits: Limits::new(config.rate),
        sockets: Sockets::default(),
    });
    run_concurrent(service_fn(move |event| handle(event, Arc::clone(&deps)))).await
}
