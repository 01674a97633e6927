//! Functions behind another Invoke API: that of a second gateway, or a fake one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use local_gateway::http::server::{response, serve};
use serde_json::json;
use tests::LocalGateway;
use tests::gateway::try_invoke;
use tests::launch::Launch;
use tests::until;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::probe::{self, Invocation, PROBE, Socket, function, invoke};

/// Limit of concurrent invocations. `cargo lambda watch` hangs with about a hundred.
const MAX_OUTSTANDING: usize = 64;

/// Starts a gateway whose functions are behind the Invoke API at `url`.
async fn start_with_endpoint(url: &str, template: &std::path::Path) -> LocalGateway {
    let launch = Launch::template(template).lambda_endpoint(url);
    launch.start().await.expect("it starts")
}

/// Starts a fake Invoke API and returns its URL. `respond` returns the status and the body for a
/// request.
async fn fake<F>(respond: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = (StatusCode, &'static str)> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handler = move |request, _| {
        let outcome = respond(request);
        async move {
            let (status, body) = outcome.await;
            response(status, Bytes::from_static(body.as_bytes()))
        }
    };
    tokio::spawn(serve(listener, CancellationToken::new(), handler));
    url
}

fn is_warm_up(request: &Request<Incoming>) -> bool {
    request.headers()["x-amz-invocation-type"] == "DryRun"
}

/// Counter of the requests in progress, and their maximum.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    max: AtomicUsize,
}

impl Gauge {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.max.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn functions_of_another_gateway_can_be_invoked() {
    // The function name is part of the invocation URL. The function posts to the other gateway.
    let properties = json!({"FunctionName": "a-name"});
    let other = probe::start(&properties, &[]).await;
    let gateway = start_with_endpoint(&other.functions, &probe::template_with(&properties)).await;
    let mut socket = Socket::open(&gateway).await;
    socket.instruct(json!({})).await;
    let event = socket.client.next().await;
    assert_eq!(event["requestContext"]["connectionId"], socket.id.as_str());
    assert_eq!(
        invoke(&gateway, json!({"return": [1]})).await,
        Ok(json!([1]))
    );

    let throw = json!({"throw": {"type": "Kaputt", "message": "on purpose"}});
    let error = invoke(&gateway, throw.clone()).await.expect_err("an error");
    assert_eq!(error["errorType"], "Kaputt", "{error}");
    assert_eq!(error["errorMessage"], "on purpose", "{error}");
    socket.instruct(throw).await;
    let frame = socket.client.next().await;
    assert_eq!(frame["message"], "Internal server error", "{frame}");
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(log.contains("Kaputt: on purpose"), "{log}");
    other.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_unreachable_endpoint_and_an_unknown_function_are_internal_errors() {
    // No program listens on port 9 (discard).
    let unreachable = "http://127.0.0.1:9".to_owned();
    let empty = fake(|_| async { (StatusCode::NOT_FOUND, "{}") }).await;
    for (url, start, failure) in [
        (
            unreachable,
            "probe cannot be reached",
            "probe cannot be reached",
        ),
        (empty, "there is no function probe", "invoking probe: 404"),
    ] {
        let gateway = start_with_endpoint(&url, &probe::template_with(&json!({}))).await;
        assert!(gateway.log().contains(start), "{}", gateway.log());
        let ws = gateway.ws.as_deref().expect("a WebSocket API");
        let mut client = tests::Client::connect(ws).await.expect("connected");
        client.send(&json!({"action": "probe"})).await;
        let frame = client.next().await;
        assert_eq!(frame["message"], "Internal server error", "{frame}");
        let response = try_invoke(&gateway.functions, PROBE, &json!({})).await;
        assert_eq!(response.status, StatusCode::BAD_GATEWAY, "{response:?}");
        assert_eq!(response.header("x-amzn-errortype"), "ServiceException");
        drop(client);
        let (_, log) = gateway.stop().await.expect("stopped");
        assert!(log.contains(&format!("probe failed: {failure}")), "{log}");
    }
}

#[tokio::test]
async fn an_invocation_without_a_response_times_out() {
    let silent = async |request: Request<Incoming>| {
        if !is_warm_up(&request) {
            std::future::pending::<()>().await;
        }
        (StatusCode::OK, "{}")
    };
    let url = fake(silent).await;
    let gateway = start_with_endpoint(&url, &probe::template_with(&json!({"Timeout": 1}))).await;
    let error = invoke(&gateway, json!({})).await.expect_err("an error");
    assert_eq!(error["errorType"], "Sandbox.Timedout", "{error}");
    let message = error["errorMessage"].as_str().unwrap_or_default();
    assert!(
        message.contains("Task timed out after 1.00 seconds"),
        "{error}"
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_500_without_the_error_header_is_a_function_error_too() {
    let failing = async |request: Request<Incoming>| {
        if is_warm_up(&request) {
            return (StatusCode::OK, "{}");
        }
        let body = r#"{"errorType":"Kaputt","errorMessage":"by watch"}"#;
        (StatusCode::INTERNAL_SERVER_ERROR, body)
    };
    let url = fake(failing).await;
    let gateway = start_with_endpoint(&url, &probe::template_with(&json!({}))).await;
    let error = invoke(&gateway, json!({})).await.expect_err("an error");
    assert_eq!(
        error,
        json!({"errorType": "Kaputt", "errorMessage": "by watch"})
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn at_most_64_invocations_run_at_once() {
    let (gauge, gate) = (Arc::new(Gauge::default()), Arc::new(Semaphore::new(0)));
    let (counted, closed) = (Arc::clone(&gauge), Arc::clone(&gate));
    let counting = move |request: Request<Incoming>| {
        let (gauge, gate) = (Arc::clone(&counted), Arc::clone(&closed));
        async move {
            if !is_warm_up(&request) {
                gauge.enter();
                let _open = gate.acquire().await.expect("the semaphore is never closed");
                gauge.leave();
            }
            (StatusCode::OK, "{}")
        }
    };
    let url = fake(counting).await;
    let gateway = start_with_endpoint(&url, &probe::template_with(&json!({"Timeout": 600}))).await;
    let invocations: Vec<_> = (0..3 * MAX_OUTSTANDING)
        .map(|_| Invocation::start(&gateway, json!({})))
        .collect();
    let in_progress = || gauge.now.load(Ordering::SeqCst);
    until(async || in_progress() >= MAX_OUTSTANDING).await;
    // One invocation at a time finishes, and lets the next one finish.
    gate.add_permits(1);
    for invocation in invocations {
        assert_eq!(invocation.outcome().await, Ok(json!({})));
    }
    assert_eq!(gauge.max.load(Ordering::SeqCst), MAX_OUTSTANDING);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn functions_are_warmed_one_after_another() {
    let (gauge, count) = (Arc::new(Gauge::default()), Arc::new(AtomicUsize::new(0)));
    let (counted, counter) = (Arc::clone(&gauge), Arc::clone(&count));
    let slow = move |request: Request<Incoming>| {
        let (gauge, count) = (Arc::clone(&counted), Arc::clone(&counter));
        async move {
            assert!(is_warm_up(&request), "no function is invoked yet");
            gauge.enter();
            count.fetch_add(1, Ordering::SeqCst);
            // A concurrent request would arrive during this time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            gauge.leave();
            (StatusCode::OK, "{}")
        }
    };
    let url = fake(slow).await;
    let mut functions = json!({});
    for name in [PROBE, "Second", "Third"] {
        functions[name] = function("probe", &json!({"FunctionName": name}));
    }
    let gateway = start_with_endpoint(&url, &probe::template(functions)).await;
    assert_eq!(
        count.load(Ordering::SeqCst),
        4,
        "the three functions, and that behind the other routes"
    );
    assert_eq!(gauge.max.load(Ordering::SeqCst), 1);
    gateway.stop().await.expect("stopped");
}
