//! What the fronts share: the template, the sockets, and the calls of functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::Connections;
use crate::front;
use crate::runtime::{InvokeError, Lambda};
use crate::template::Template;

/// A running gateway.
pub struct Gateway {
    /// What it serves.
    pub template: Template,
    /// The open sockets.
    pub connections: Connections,
    /// Tasks of sockets and frames, which a clean end waits for.
    pub sockets: TaskTracker,
    /// Cancelled when the gateway is to end.
    pub stop: CancellationToken,
    functions: BTreeMap<String, Lambda>,
}

impl Gateway {
    /// A gateway for `template`, whose functions can be invoked by `functions`.
    pub fn new(template: Template, functions: BTreeMap<String, Lambda>) -> Arc<Self> {
        Arc::new(Self {
            template,
            connections: Connections::default(),
            sockets: TaskTracker::new(),
            stop: CancellationToken::new(),
            functions,
        })
    }

    /// Serves both listeners in the background until [`Gateway::stop`] is cancelled.
    pub fn serve(self: &Arc<Self>, websocket: TcpListener, http: TcpListener) {
        let gateway = Arc::clone(self);
        tokio::spawn(front::serve(
            websocket,
            self.stop.clone(),
            move |request, peer| front::websocket::answer(Arc::clone(&gateway), request, peer),
        ));
        let gateway = Arc::clone(self);
        tokio::spawn(front::serve(
            http,
            self.stop.clone(),
            move |request, peer| front::http::answer(Arc::clone(&gateway), request, peer),
        ));
    }

    /// Closes all sockets with 1001, runs their `$disconnect`, and waits for frames in flight.
    pub async fn end(&self) {
        self.stop.cancel();
        self.sockets.close();
        self.sockets.wait().await;
    }

    /// The key of the route for a frame: the selected one, else `$default` if there is one. The
    /// routes of connections cannot be selected by a frame.
    pub fn route_of(&self, frame: &str) -> Option<String> {
        let api = &self.template.websocket;
        api.selection
            .select(frame)
            .filter(|key| !key.starts_with('$') && api.routes.contains_key(key))
            .or_else(|| {
                api.routes
                    .contains_key("$default")
                    .then(|| "$default".to_owned())
            })
    }

    /// Invokes the function of a WebSocket route; `None` if the API has no such route.
    pub async fn invoke_route(
        &self,
        key: &str,
        event: &Value,
    ) -> Option<Result<Bytes, InvokeError>> {
        let route = self.template.websocket.routes.get(key)?;
        Some(self.invoke(&route.function, event).await)
    }

    /// Invokes a function by its name.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Bytes, InvokeError> {
        let lambda = &self.functions[function];
        lambda.invoke(event).await
    }
}
