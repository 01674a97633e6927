//! Functions behind another Invoke API: that of a second gateway, or one of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use local_gateway::http::server::{response, serve};
use serde_json::json;
use tests::LocalGateway;
use tests::launch::{Launch, try_invoke};
use tests::until;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::probe::{self, Invocation, PROBE, Socket, function, invoke};

/// The most invocations that may be under way at once.
const MAX_OUTSTANDING: usize = 64;

/// A gateway whose functions are behind the Invoke API at `url`.
async fn start_before(url: &str, template: &std::path::Path) -> LocalGateway {
    let launch = Launch::template(template).lambda_endpoint(url);
    launch.start().await.expect("it starts")
}

/// An Invoke API that answers each request as `answer` does, with a status and a body.
async fn fake<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = (StatusCode, &'static str)> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handler = move |request, _| {
        let answer = answer(request);
        async move {
            let (status, body) = answer.await;
            response(status, Bytes::from_static(body.as_bytes()))
        }
    };
    tokio::spawn(serve(listener, CancellationToken::new(), handler));
    url
}

fn is_warm_up(request: &Request<Incoming>) -> bool {
    request.headers()["x-amz-invocation-type"] == "DryRun"
}

/// How many requests are in hand, and the most that ever were.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn functions_of_another_gateway_are_served() {
    // With a name, which stands in the URL of the other gateway; what it calls back is that one.
    let properties = json!({"FunctionName": "a-name"});
    let other = probe::start(&properties, &[]).await;
    let gateway = start_before(&other.functions, &probe::template_with(&properties)).await;
    let mut socket = Socket::open(&gateway).await;
    socket.tell(json!({})).await;
    let event = socket.client.next().await;
    assert_eq!(event["requestContext"]["connectionId"], socket.id.as_str());
    assert_eq!(
        invoke(&gateway, json!({"return": [1]})).await,
        Ok(json!([1]))
    );

    let throw = json!({"throw": {"type": "Kaputt", "message": "as told"}});
    let error = invoke(&gateway, throw.clone()).await.expect_err("an error");
    assert_eq!(error["errorType"], "Kaputt", "{error}");
    assert_eq!(error["errorMessage"], "as told", "{error}");
    socket.tell(throw).await;
    let frame = socket.client.next().await;
    assert_eq!(frame["message"], "Internal server error", "{frame}");
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(log.contains("Kaputt: as told"), "{log}");
    other.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_endpoint_out_of_reach_and_a_function_that_it_has_not_are_internal_errors() {
    // Port 9 (discard): nobody listens there.
    let nobody = "http://127.0.0.1:9".to_owned();
    let stranger = fake(|_| async { (StatusCode::NOT_FOUND, "{}") }).await;
    for (url, start, failure) in [
        (nobody, "probe cannot be reached", "probe cannot be reached"),
        (
            stranger,
            "there is no function probe",
            "invoking probe: 404",
        ),
    ] {
        let gateway = start_before(&url, &probe::template_with(&json!({}))).await;
        assert!(gateway.log().contains(start), "{}", gateway.log());
        let ws = gateway.ws.as_deref().expect("a WebSocket API");
        let mut client = tests::Client::connect(ws).await.expect("connected");
        client.send(&json!({"action": "probe"})).await;
        let frame = client.next().await;
        assert_eq!(frame["message"], "Internal server error", "{frame}");
        let answer = try_invoke(&gateway.functions, PROBE, &json!({})).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
        assert_eq!(answer.header("x-amzn-errortype"), "ServiceException");
        drop(client);
        let (_, log) = gateway.stop().await.expect("stopped");
        assert!(log.contains(&format!("probe failed: {failure}")), "{log}");
    }
}

#[tokio::test]
async fn a_function_that_is_never_answered_times_out() {
    let silent = async |request: Request<Incoming>| {
        if !is_warm_up(&request) {
            std::future::pending::<()>().await;
        }
        (StatusCode::OK, "{}")
    };
    let url = fake(silent).await;
    let gateway = start_before(&url, &probe::template_with(&json!({"Timeout": 1}))).await;
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
async fn a_500_without_the_header_is_a_function_error_too() {
    let failing = async |request: Request<Incoming>| match is_warm_up(&request) {
        true => (StatusCode::OK, "{}"),
        false => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"errorType":"Kaputt","errorMessage":"by watch"}"#,
        ),
    };
    let url = fake(failing).await;
    let gateway = start_before(&url, &probe::template_with(&json!({}))).await;
    let error = invoke(&gateway, json!({})).await.expect_err("an error");
    assert_eq!(
        error,
        json!({"errorType": "Kaputt", "errorMessage": "by watch"})
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn no_more_invocations_are_under_way_than_cargo_lambda_watch_bears() {
    let (gauge, gate) = (Arc::new(Gauge::default()), Arc::new(Semaphore::new(0)));
    let (counted, closed) = (Arc::clone(&gauge), Arc::clone(&gate));
    let counting = move |request: Request<Incoming>| {
        let (gauge, gate) = (Arc::clone(&counted), Arc::clone(&closed));
        async move {
            if !is_warm_up(&request) {
                gauge.enter();
                let _open = gate.acquire().await.expect("it is never closed");
                gauge.leave();
            }
            (StatusCode::OK, "{}")
        }
    };
    let url = fake(counting).await;
    let gateway = start_before(&url, &probe::template_with(&json!({"Timeout": 600}))).await;
    let invocations: Vec<_> = (0..3 * MAX_OUTSTANDING)
        .map(|_| Invocation::begin(&gateway, json!({})))
        .collect();
    let in_hand = || gauge.now.load(Ordering::SeqCst);
    until(async || in_hand() >= MAX_OUTSTANDING).await;
    // One at a time, each of which lets the next one in.
    gate.add_permits(1);
    for invocation in invocations {
        assert_eq!(invocation.end().await, Ok(json!({})));
    }
    assert_eq!(gauge.most.load(Ordering::SeqCst), MAX_OUTSTANDING);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn functions_are_warmed_one_after_another() {
    let (gauge, count) = (Arc::new(Gauge::default()), Arc::new(AtomicUsize::new(0)));
    let (counted, counter) = (Arc::clone(&gauge), Arc::clone(&count));
    let slow = move |request: Request<Incoming>| {
        let (gauge, count) = (Arc::clone(&counted), Arc::clone(&counter));
        async move {
            assert!(is_warm_up(&request), "nothing is asked for yet");
            gauge.enter();
            count.fetch_add(1, Ordering::SeqCst);
            // Others that come at the same time come now.
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
    let gateway = start_before(&url, &probe::template(functions)).await;
    assert_eq!(count.load(Ordering::SeqCst), 4, "with that of the sockets");
    assert_eq!(gauge.most.load(Ordering::SeqCst), 1);
    gateway.stop().await.expect("stopped");
}
