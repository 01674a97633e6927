//! One process of a function behind its own Runtime API, without a gateway.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use local_gateway::lambda::queue::{Event, Queue};
use local_gateway::lambda::runtime_api::RuntimeApi;
use local_gateway::lambda::state::Outcome;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::{in_time, programs};

/// Variables that Lambda sets, and the settings of `send-message` that are the same for all tests.
const ENVIRONMENT: [(&str, &str); 12] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "send-message"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AUTH", "open"),
    ("MESSAGE_RATE", "1000"),
    ("MESSAGE_BURST", "1000000"),
    ("GROUP_RATE", "1000"),
    ("GROUP_BURST", "1000000"),
];

/// A running process that has requested its first event. It is killed when it is dropped.
pub struct Function {
    queue: Arc<Queue>,
    api: Arc<RuntimeApi>,
    child: Child,
}

impl Function {
    /// Starts `command` with the environment of Lambda and the settings of `send-message`, without limits;
    /// returns when it requests its first event.
    ///
    /// # Panics
    ///
    /// The process exits before.
    pub async fn start(
        command: &mut Command,
        uri: &str,
        database: &str,
        management_endpoint: &str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let queue = Arc::<Queue>::default();
        let api = RuntimeApi::new(
            "arn:aws:lambda:us-east-1:1:function:f".to_owned(),
            Duration::from_secs(10),
            Arc::clone(&queue),
            false,
        );
        tokio::spawn(Arc::clone(&api).serve(listener));
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs(ENVIRONMENT)
            .env("MANAGEMENT_ENDPOINT", management_endpoint)
            .env("MONGODB_URI", uri)
            .env("MONGODB_DATABASE", database)
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let started = async {
            tokio::select! {
                () = api.process.started() => {}
                exited = child.wait() => panic!("it exited before it requested an event: {exited:?}"),
            }
        };
        in_time("a function's request for an event", started).await;
        Self { queue, api, child }
    }

    /// Starts a process of `send-message` without limits, and without a gateway to push to.
    pub async fn send_message(uri: &str, database: &str) -> Self {
        let mut command = Command::new(programs::folder().join("send-message"));
        Self::start(&mut command, uri, database, "http://127.0.0.1:9/prod").await
    }

    /// Invokes `send-message` with a frame of `user_id`; returns the reply.
    ///
    /// # Panics
    ///
    /// The function fails, or there is none.
    pub async fn reply(&self, user_id: &str, frame: &Value) -> Value {
        let event = json!({
            "requestContext": {
                "routeKey": frame["action"], "connectionId": "AAAAAAAAAAAAAAA=",
                "connectedAt": 0, "requestTimeEpoch": 0, "authorizer": {"user_id": user_id},
            },
            "body": frame.to_string(),
        });
        let response = self.invoke(&event).await.expect("it succeeds");
        let response: Value = serde_json::from_slice(&response).expect("JSON");
        let reply = response["body"].as_str().expect("a body");
        serde_json::from_str(reply).expect("JSON")
    }

    /// Invokes the function with an event and waits for the result.
    ///
    /// # Panics
    ///
    /// The process exits meanwhile.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        let waiting = self.queue.push(Event {
            id: format!("{:032x}", fastrand::u128(..)),
            connection_id: None,
            payload: Bytes::from(event.to_string()),
            kill: None,
            dropped: None,
        });
        let waiting = waiting.expect("the queue is empty");
        let outcome = in_time("the result of a function", waiting.outcome).await;
        outcome.expect("the process runs")
    }

    /// Kills the process and waits for its end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
        self.api.process_exited(None);
    }
}
