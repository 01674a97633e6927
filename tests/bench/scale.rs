//! The gateway with a function that does nothing: memory of an idle connection, round trips of frames
//! beside a bare echo, and the effect of a client that does not read on the others.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_apigatewaymanagement::Client as ManagementApi;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tests::LocalGateway;
use tests::raw::Raw;
use tests::{Client, management, process};
use tokio::time::MissedTickBehavior;

use crate::echo::Echo;
use crate::figures::{Report, Samples};
use crate::messages::TEXT;
use crate::mode::Mode;

/// Idle connections.
const IDLE: usize = 10_000;

/// Concurrent handshakes.
const HANDSHAKES: usize = 100;

/// Files that each process opens besides connections, with some to spare.
const OTHER_FILES: usize = 500;

/// Connections that send at full speed.
const BUSY: usize = 32;

/// Time of a measurement.
const TIME: Duration = Duration::from_secs(5);

/// Time before it.
const WARM_UP: Duration = Duration::from_secs(1);

/// Interval between two posts to the client that does not read.
const POST_INTERVAL: Duration = Duration::from_millis(10);

/// Prints the resident memory of the gateway for an idle connection.
pub async fn idle_connections() {
    let files = process::raise_file_limit() as usize;
    let count = IDLE.min(files.saturating_sub(OTHER_FILES));
    if count < IDLE {
        eprintln!("a process may open {files} files: measuring {count} connections only");
    }
    // Its API has no $connect, so that no function runs.
    let gateway = start("bare", &["--parameter", "RateLimit=1000000"]).await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    // The first connection allocates what all share.
    let first = Raw::upgrade(url).await.expect("connected");
    let before = process::memory_kb(gateway.id());
    let start = Instant::now();
    let connections: Vec<Raw> = stream::iter(0..count)
        .map(|_| async { Raw::upgrade(url).await.expect("connected") })
        .buffer_unordered(HANDSHAKES)
        .collect()
        .await;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let after = process::memory_kb(gateway.id());
    let value = format!(
        "{:.1} KB, of {count}: {:.1} MB before, {:.1} MB with them; {rate:.0} handshakes a second",
        (after - before) as f64 / count as f64,
        before as f64 / 1024.0,
        after as f64 / 1024.0
    );
    Report::EITHER_MODE.row("gateway: memory of an idle connection", value);
    drop((first, connections));
    stop(gateway).await;
}

/// Prints round trips a second to a function, and to a bare echo.
pub async fn full_speed(mode: Mode) {
    let gateway = start("open", &mode.flags()).await;
    let bare = Echo::start().await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let trips = round_trips(url).await;
    let echoes = round_trips(&bare.url).await;
    let figure =
        format!("gateway: frames through a function that does nothing, {BUSY} connections");
    let value = format!(
        "{:.0} a second, {} ({:.2} of a bare echo: {:.0} a second, {})",
        rate(&trips),
        trips.summary(),
        rate(&trips) / rate(&echoes),
        rate(&echoes),
        echoes.summary()
    );
    mode.report().row(figure, value);
    stop(gateway).await;
}

/// Prints round trips a second beside a client that is posted to and does not read.
pub async fn slow_client(mode: Mode) {
    let gateway = start("open", &mode.flags()).await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let endpoint = gateway.management.as_deref().expect("an address");
    let credentials = management::credentials("local", "local", None);
    let api = management::client(endpoint, "us-east-1", credentials);

    let without = round_trips(url).await;
    let mut silent = Client::connect(url).await.expect("connected");
    silent.send(&json!({"action": "reply"})).await;
    let event = silent.next().await;
    let id = event["requestContext"]["connectionId"].as_str();
    let id = id.expect("the function returns the event");
    while is_posted(&api, id, "x".repeat(128 * 1_024)).await {}
    let mut refused = 0;
    let with = tokio::select! {
        trips = round_trips(url) => trips,
        () = post_on(&api, id, &mut refused) => unreachable!("it goes on"),
    };
    let value = format!(
        "{:.0} a second instead of {:.0} ({:.2} times); {refused} posts to it refused",
        rate(&with),
        rate(&without),
        rate(&with) / rate(&without)
    );
    let figure = "gateway: the same beside a client that does not read";
    mode.report().row(figure, value);
    stop(gateway).await;
}

async fn post_on(api: &ManagementApi, id: &str, refused: &mut usize) {
    let mut ticks = tokio::time::interval(POST_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        *refused += usize::from(!is_posted(api, id, TEXT.to_owned()).await);
    }
}

/// Posts a text. Returns whether it was accepted; any error but 429 ends the benchmark.
async fn is_posted(api: &ManagementApi, id: &str, text: String) -> bool {
    let post = api.post_to_connection().connection_id(id);
    match post.data(Blob::new(text)).send().await {
        Ok(_) => true,
        Err(error) => {
            let error = error.into_service_error();
            assert!(error.is_limit_exceeded_exception(), "{error:?}");
            false
        }
    }
}

/// Measures round trips on [`BUSY`] connections, each of which sends when its last reply has come.
async fn round_trips(url: &str) -> Samples {
    let start = Instant::now() + WARM_UP;
    let connections: Vec<_> = (0..BUSY)
        .map(|_| tokio::spawn(round_trips_of_one(url.to_owned(), start)))
        .collect();
    let mut samples = Samples::default();
    for connection in connections {
        samples.merge(connection.await.expect("it does not panic"));
    }
    samples
}

async fn round_trips_of_one(url: String, start: Instant) -> Samples {
    let response = json!({"statusCode": 200, "body": TEXT});
    let frame = json!({"action": "reply", "probe": {"return": response}}).to_string();
    let mut client = Client::connect(&url).await.expect("connected");
    let mut samples = Samples::default();
    loop {
        let sent = Instant::now();
        client.send_text(&frame).await;
        let reply = client.next_raw().await;
        // A bare echo sends the frame back, the text included.
        assert!(reply.to_text().is_ok_and(|text| text.contains(TEXT)));
        if sent > start + TIME {
            return samples;
        }
        if sent > start {
            samples.add(sent.elapsed());
        }
    }
}

fn rate(samples: &Samples) -> f64 {
    samples.len() as f64 / TIME.as_secs_f64()
}

async fn start(template: &str, flags: &[&str]) -> LocalGateway {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");
    let template = Path::new(folder).join(template).with_extension("yaml");
    let flags = [flags, &["--log", "warn"]].concat();
    let gateway = LocalGateway::start(&template, &flags).await;
    gateway.expect("the gateway starts")
}

async fn stop(gateway: LocalGateway) {
    let (status, log) = gateway.stop().await.expect("it is waited for");
    assert!(status.success(), "{status}: {log}");
}
