//! Telemetry of requests: JSON lines with ids, metrics for CloudWatch, and traces for the X-Ray
//! daemon.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use hyper::StatusCode;
use local_gateway::lambda::queue::Queue;
use local_gateway::lambda::runtime_api::RuntimeApi;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::{Chat, Client, TIMEOUT, get, programs, server, until};
use tokio::net::{TcpListener, UdpSocket};
use tokio::process::Command;
use tokio::time::timeout;

/// Text that no output may hold.
const TEXT: &str = "xyzzy-secret-text";

/// Starts a chat with the limits of the template.
async fn start(flags: &[&str]) -> Chat {
    let limits = ["MessageRate=5", "MessageBurst=20", "SocketsPerUser=10"];
    let settings = Chat::with().host(Host::Processes).parameters(&limits);
    settings.flags(flags).start().await
}

/// Inserts the row of a connection of `user_id` that nobody holds.
async fn leave_row(chat: &Chat, id: &str, user_id: &str, endpoint: &str) {
    let time = |time: chrono::DateTime<Utc>| DateTime::from_millis(time.timestamp_millis());
    let row = doc! {
        "_id": id,
        "user_id": user_id,
        "endpoint": endpoint,
        "connected_at": time(Utc::now() - TimeDelta::minutes(10)),
        "expires_at": time(Utc::now() + TimeDelta::minutes(60)),
    };
    let connections = chat.database.collection::<Document>("connections");
    connections.insert_one(row).await.expect("inserted");
}

/// Returns what the functions have printed so far, without time and name.
fn printed(chat: &Chat) -> Vec<String> {
    let log = chat.gateway.log();
    let lines = log.lines().filter_map(|line| line.split_once(" | "));
    lines.map(|(_, line)| line.to_owned()).collect()
}

/// Returns the JSON lines of the functions: those of metrics, or the others.
fn lines(chat: &Chat, metrics: bool) -> Vec<Value> {
    let lines = printed(chat);
    let lines = lines.iter().filter_map(|line| parse(line));
    lines
        .filter(|line| line.get("_aws").is_some() == metrics)
        .collect()
}

/// Waits for the one metrics document that has a metric above zero, and returns it.
async fn metrics_with(chat: &Chat, metric: &str) -> Value {
    let found = || {
        let mut documents = lines(chat, true).into_iter();
        documents.find(|document| document[metric].as_u64() > Some(0))
    };
    until(async || found().is_some()).await;
    found().expect("it was there")
}

/// Returns the sum of a metric over all documents.
fn sum(chat: &Chat, metric: &str) -> u64 {
    let documents = lines(chat, true);
    let counts = documents
        .iter()
        .filter_map(|document| document[metric].as_u64());
    counts.sum()
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// Returns how many values a metric of durations has; all must be plausible.
fn durations(document: &Value, metric: &str) -> usize {
    let values = document[metric].as_array().expect("an array");
    let most_ms = TIMEOUT.as_secs_f64() * 1_000.0;
    for value in values {
        let value = value.as_f64().expect("a number");
        assert!(value > 0.0 && value < most_ms, "{document}");
    }
    values.len()
}

fn sent(id: &str) -> Value {
    json!({
        "action": "sendMessage", "receiver_id": "b", "message": TEXT, "client_message_id": id,
    })
}

/// A socket in place of the X-Ray daemon.
struct Daemon {
    address: String,
    socket: UdpSocket,
}

impl Daemon {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address").to_string();
        Self { address, socket }
    }

    /// Returns the document of the next datagram.
    async fn next(&self) -> Value {
        let mut datagram = [0; 64 * 1024];
        let length = timeout(TIMEOUT, self.socket.recv(&mut datagram)).await;
        let length = length.expect("it comes in time").expect("received");
        document(&datagram[..length])
    }

    /// Returns the document of a datagram that has come already.
    fn received(&self) -> Option<Value> {
        let mut datagram = [0; 64 * 1024];
        let length = self.socket.try_recv(&mut datagram).ok()?;
        Some(document(&datagram[..length]))
    }
}

fn document(datagram: &[u8]) -> Value {
    let text = std::str::from_utf8(datagram).expect("UTF-8");
    assert!(!text.contains(TEXT), "{text}");
    let (header, document) = text.split_once('\n').expect("a header line");
    assert_eq!(parse(header), Some(json!({"format": "json", "version": 1})));
    parse(document).expect("JSON")
}

#[tokio::test]
async fn every_kind_of_request_has_its_metrics() {
    let chat = start(&["--log-format", "json", "--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let management = chat.gateway.management.clone().expect("it has one");
    leave_row(&chat, "AAAAAAAAAAAAAAA=", "b", &management).await;

    a.send(&sent("m-1")).await;
    let ack = a.next().await;
    assert_eq!(ack["status"], "delivered");
    b.next().await;
    let send = metrics_with(&chat, "Sends").await;
    assert_metrics_of_a_send(&send, &ack["conversation_id"]);
    assert_metrics_are_declared(&send);

    a.send(&sent("m-1")).await;
    assert_eq!(a.next().await["duplicate"], true);
    let resend = metrics_with(&chat, "Duplicates").await;
    assert_eq!(
        (&resend["Sends"], &resend["PushesGone"]),
        (&json!(0), &json!(0))
    );
    assert_ne!(resend["requestId"], send["requestId"]);

    make_refused_requests(&chat, &mut a).await;
    let history = format!("{}/chat/history?user1=a&user2=b", chat.http);
    assert_eq!(get(&history).await.messages().len(), 1);
    b.close().await;

    // Two handshakes and a refused one, a send, a resend, a refused frame, a refused history request
    // and one page, a disconnect: a document for each.
    until(async || lines(&chat, true).len() == 9).await;
    for (metric, count) in [
        ("Connects", 2),
        ("Disconnects", 1),
        ("Sends", 1),
        ("Duplicates", 1),
        ("Refusals", 3),
        ("RateLimited", 0),
        ("Failures", 0),
        ("PushesDelivered", 2),
        ("PushesGone", 1),
        ("PushesFailed", 0),
    ] {
        assert_eq!(sum(&chat, metric), count, "{metric}");
    }
    assert_metrics_of_handshakes_and_a_page(&lines(&chat, true), &ack["conversation_id"]);
    chat.stop().await;
}

/// Sends a frame, a handshake and a request for the history that are refused.
async fn make_refused_requests(chat: &Chat, client: &mut Client) {
    let frame = json!({"action": "sendMessage", "receiver_id": 7, "message": TEXT});
    client.send(&frame).await;
    assert_eq!(client.next().await["code"], "invalid_frame");
    let refused = Client::connect(&chat.ws).await.err();
    assert_eq!(refused, Some(StatusCode::BAD_REQUEST));
    let history = get(&format!("{}/chat/history?user1=a", chat.http)).await;
    assert_eq!(history.status, StatusCode::BAD_REQUEST);
}

fn assert_metrics_of_a_send(send: &Value, conversation_id: &Value) {
    let expected = json!({
        "Stack": "local", "function": "SendMessageFunction",
        "conversation_id": conversation_id, "seq": 1,
        "Sends": 1, "Duplicates": 0, "NumberConflicts": 0,
        "PushesDelivered": 1, "PushesGone": 1, "PushesFailed": 0,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(send[name], *value, "{name}: {send}");
    }
    for id in ["requestId", "connection_id", "xrayTraceId"] {
        assert!(send[id].is_string(), "{id}: {send}");
    }
    assert_eq!(durations(send, "PushLatency"), 2);
    // The newest number, the insert, the connections, the row of the one that is gone, and the
    // counting.
    assert_eq!(durations(send, "DatabaseLatency"), 5);
}

/// Checks the metadata by which CloudWatch finds the metrics in a document.
fn assert_metrics_are_declared(document: &Value) {
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "MeetMeChat");
    assert_eq!(directive["Dimensions"], json!([["Stack"]]));
    for metric in directive["Metrics"].as_array().expect("an array") {
        let name = metric["Name"].as_str().expect("a string");
        assert!(!document[name].is_null(), "{name}: {document}");
    }
    let timestamp = document["_aws"]["Timestamp"].as_i64();
    let timestamp = timestamp.expect("milliseconds");
    assert!((Utc::now().timestamp_millis() - timestamp).abs() < 60_000);
}

fn assert_metrics_of_handshakes_and_a_page(documents: &[Value], conversation_id: &Value) {
    let connects = documents.iter();
    for connect in connects.filter(|document| document["Connects"] == 1) {
        // The new row, and the user's others.
        assert_eq!(durations(connect, "DatabaseLatency"), 2);
        assert!(connect["connection_id"].is_string(), "{connect}");
    }
    let is_page = |document: &&Value| {
        document["function"] == "HistoryFunction" && document["Refusals"].is_null()
    };
    let page = documents.iter().find(is_page);
    let page = page.expect("the history has been read");
    assert_eq!(durations(page, "DatabaseLatency"), 1);
    assert_eq!(page["conversation_id"], *conversation_id);
}

#[tokio::test]
async fn a_number_that_another_writer_took_is_counted() {
    // One process with many events trusts the number that it remembers.
    let chat = start(&["--log-format", "json", "--in-flight", "8"]).await;
    let mut a = chat.connect("a").await;
    let first = a.send_message("b", TEXT).await;
    let messages = chat.database.collection::<Document>("chat_messages");
    let other = doc! {
        "conversation_id": first["conversation_id"].as_str().expect("a string"),
        "seq": 2_i64, "sender_id": "b", "receiver_id": "a", "message": TEXT,
        "timestamp": first["timestamp"].as_str().expect("a string"),
    };
    messages.insert_one(other).await.expect("inserted");
    assert_eq!(a.send_message("b", TEXT).await["seq"], 3);
    assert_eq!(metrics_with(&chat, "NumberConflicts").await["seq"], 3);
    assert_eq!(sum(&chat, "NumberConflicts"), 1);
    chat.stop().await;
}

#[tokio::test]
async fn frames_and_connections_beyond_the_limits_are_counted() {
    let limits = ["MessageRate=1", "MessageBurst=1", "SocketsPerUser=1"];
    let parameters = limits.iter().flat_map(|limit| ["--parameter", limit]);
    let flags: Vec<&str> = ["--log-format", "json", "--concurrency", "1"]
        .into_iter()
        .chain(parameters)
        .collect();
    let chat = start(&flags).await;
    let mut a = chat.connect("a").await;
    until(async || a.send_message("b", TEXT).await["code"] == "rate_limited").await;
    let refused = metrics_with(&chat, "RateLimited").await;
    assert_eq!(refused["Refusals"], 1);
    assert!(refused["DatabaseLatency"].is_null(), "it asks nobody");

    let _second = chat.connect("a").await;
    a.closed().await;
    let connect = metrics_with(&chat, "SocketsClosed").await;
    assert_eq!(
        (&connect["SocketsClosed"], &connect["Connects"]),
        (&json!(1), &json!(1))
    );
    // The new row, the user's others, and the row of the one that is closed.
    assert_eq!(durations(&connect, "DatabaseLatency"), 3);
    assert_eq!(durations(&connect, "PushLatency"), 1);
    chat.stop().await;
}

/// Sends three messages at once to a user whose one socket cannot be reached, and checks that each
/// request has its own ids in all it prints.
async fn lines_of_requests_have_their_ids(flags: &[&str], level: &str) {
    let flags = [&["--log-format", "json", "--log", level], flags].concat();
    let chat = start(&flags).await;
    let mut clients = [
        chat.connect("a1").await,
        chat.connect("a2").await,
        chat.connect("a3").await,
    ];
    // Port 9 (discard): nobody listens there.
    let dead = "http://127.0.0.1:9/prod";
    leave_row(&chat, "BBBBBBBBBBBBBBA=", "b", dead).await;
    for client in &mut clients {
        client.send(&sent("m-1")).await;
    }
    for client in &mut clients {
        assert_eq!(client.next().await["status"], "stored");
    }
    until(async || sum(&chat, "PushesFailed") == 3).await;

    let printed_lines = lines(&chat, false);
    let documents = lines(&chat, true);
    let sends = documents.iter().filter(|document| document["Sends"] == 1);
    let mut request_ids = std::collections::BTreeSet::new();
    for document in sends {
        let request_id = document["requestId"].as_str().expect("a string");
        assert!(request_ids.insert(request_id), "each has its own");
        let of_request = printed_lines
            .iter()
            .filter(|line| line["requestId"] == request_id);
        let of_request: Vec<_> = of_request.collect();
        let line = |message: &str| of_request.iter().find(|line| line["message"] == message);
        let failed = line("push failed").expect("from a task of a task");
        assert_eq!(failed["level"], "WARN");
        assert_eq!(failed["connection_id"], "BBBBBBBBBBBBBBA=");
        assert_eq!(failed["conversation_id"], document["conversation_id"]);
        let stored = line("message stored");
        assert_eq!(stored.is_some(), level != "warn");
        if let Some(stored) = stored {
            assert_eq!(stored["connection_id"], document["connection_id"]);
            assert_eq!(stored["conversation_id"], document["conversation_id"]);
            assert_eq!(stored["PushesFailed"], 1);
        }
    }
    assert_eq!(request_ids.len(), 3);
    for line in printed(&chat) {
        assert!(
            !line.contains(TEXT) && !line.contains("mongodb://"),
            "{line}"
        );
        let line = parse(&line).expect("every line is JSON");
        let is_metrics = line.get("_aws").is_some();
        for name in ["timestamp", "level", "message"] {
            assert!(is_metrics || line[name].is_string(), "{line}");
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn lines_of_a_request_have_its_ids() {
    lines_of_requests_have_their_ids(&[], "trace").await;
}

#[tokio::test]
async fn lines_of_requests_at_once_in_one_process_have_their_own_ids() {
    lines_of_requests_have_their_ids(&["--in-flight", "8"], "info").await;
}

#[tokio::test]
async fn at_a_higher_level_ids_and_metrics_are_still_there() {
    lines_of_requests_have_their_ids(&[], "warn").await;
}

#[tokio::test]
async fn lines_of_text_have_no_metrics_among_them() {
    let chat = start(&[]).await;
    assert_eq!(
        chat.connect("a").await.send_message("b", TEXT).await["seq"],
        1
    );
    let stored = || {
        let mut lines = printed(&chat).into_iter();
        lines.find(|line| line.contains("message stored"))
    };
    until(async || stored().is_some()).await;
    let stored = stored().expect("it was there");
    assert!(stored.starts_with(" INFO message stored "), "{stored}");
    assert!(stored.contains(" Sends=1"), "{stored}");
    // The next event of the process comes after all lines about the one before.
    chat.connect("a").await.expect_nothing().await;
    assert!(!chat.gateway.log().contains("_aws"));
    chat.stop().await;
}

#[tokio::test]
async fn calls_of_a_sampled_request_are_subsegments_of_its_trace() {
    let daemon = Daemon::start().await;
    let flags = ["--log-format", "json", "--xray-daemon", &daemon.address];
    let chat = start(&flags).await;
    let mut a = chat.connect("a").await;
    let _b = chat.connect("b").await;
    let dead = "http://127.0.0.1:9/prod";
    leave_row(&chat, "CCCCCCCCCCCCCCA=", "b", dead).await;
    a.send(&sent("m-1")).await;
    assert_eq!(a.next().await["status"], "delivered");
    let send = metrics_with(&chat, "Sends").await;
    let header = send["xrayTraceId"].as_str().expect("a string");
    let part = |name: &str| {
        let mut parts = header.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).expect("it is there").1
    };

    let mut calls = Vec::new();
    let expected = durations(&send, "DatabaseLatency") + durations(&send, "PushLatency");
    while calls.len() < expected {
        let call = daemon.next().await;
        // The handshakes have other traces.
        if call["trace_id"] == part("Root") {
            calls.push(call);
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    for call in &calls {
        let id = call["id"].as_str().expect("a string");
        assert!(id.len() == 16 && ids.insert(id), "{call}");
        assert_eq!(call["parent_id"], part("Parent"));
        assert_eq!(call["type"], "subsegment");
        let (start, end) = (call["start_time"].as_f64(), call["end_time"].as_f64());
        assert!(start < end, "{call}");
        let now = Utc::now().timestamp_millis() as f64 / 1_000.0;
        assert!(start > Some(now - 60.0) && end <= Some(now), "{call}");
    }
    let recorded = |name: &str, key: &str| {
        let calls = calls.iter().filter(|call| call["name"] == name);
        let recorded = calls.map(|call| (call["annotations"][key].clone(), call["fault"].clone()));
        recorded.collect::<Vec<_>>()
    };
    let mut operations = recorded("database", "operation");
    // It runs beside the others, so it may end at any place among them.
    let debit = (json!("debit of messages"), json!(false));
    let place = operations.iter().position(|operation| *operation == debit);
    operations.remove(place.expect("messages are counted"));
    assert_eq!(
        operations,
        [
            "look-up of the newest message",
            "insert of a message",
            "look-up of a user's sockets",
        ]
        .map(|operation| (json!(operation), json!(false)))
    );
    let pushes = recorded("push", "connection_id");
    assert_eq!(pushes.len(), 2);
    assert!(pushes.contains(&(json!("CCCCCCCCCCCCCCA="), json!(true))));
    chat.stop().await;
}

/// Returns the datagrams of `connect` for one handshake in a trace.
async fn datagrams_of_a_handshake(sampled: bool) -> Vec<Value> {
    let daemon = Daemon::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let queue = Arc::<Queue>::default();
    let arn = "arn:aws:lambda:us-east-1:1:function:f".to_owned();
    let api = RuntimeApi::new(arn, Duration::from_secs(10), Arc::clone(&queue), sampled);
    tokio::spawn(Arc::clone(&api).serve(listener));
    let mut child = Command::new(programs::folder().join("connect"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "connect")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_XRAY_DAEMON_ADDRESS", &daemon.address)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("MANAGEMENT_ENDPOINT", "http://127.0.0.1:9/prod")
        .env("MONGODB_URI", server::uri().await)
        .env("MONGODB_DATABASE", server::database_name())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    // A process reports an invocation before it requests the next event, so the second result comes
    // after the report of the first. The second event reads and writes nothing.
    for authorizer in [json!({"user_id": "a"}), json!({})] {
        let event = json!({
            "requestContext": {
                "connectionId": "DDDDDDDDDDDDDDA=", "connectedAt": 0, "requestTimeEpoch": 0,
                "authorizer": authorizer,
            },
        });
        let id = format!("{:032x}", fastrand::u128(..));
        let waiting = queue.push(id, event.to_string().into(), None);
        let waiting = waiting.expect("room");
        let outcome = timeout(TIMEOUT, waiting.outcome).await.expect("in time");
        outcome.expect("an outcome").expect("a result");
    }
    child.kill().await.expect("it runs");
    std::iter::from_fn(|| daemon.received()).collect()
}

#[tokio::test]
async fn a_request_that_is_not_sampled_sends_no_trace() {
    let sampled = datagrams_of_a_handshake(true).await;
    let operations = sampled.iter().map(|call| &call["annotations"]["operation"]);
    assert_eq!(
        operations.collect::<Vec<_>>(),
        ["insert of a connection", "look-up of a user's sockets"]
    );
    assert!(datagrams_of_a_handshake(false).await.is_empty());
}
