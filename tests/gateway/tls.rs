//! TLS on the ports of plain HTTP, with a certificate authority that functions trust.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use local_gateway::process::ports::free_port;
use serde_json::json;
use tests::launch::Launch;
use tests::{Client, LocalGateway, in_time, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{self, Socket};
use crate::project::Project;

/// Returns the address of a base URL: `127.0.0.1:3001`.
fn address(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL");
    rest.split('/').next().unwrap_or(rest)
}

/// Sends a request over TLS as the server `name`; returns the response.
async fn get(url: &str, name: &str, path: &str) -> anyhow::Result<String> {
    let authority = tls::authority()?;
    let mut stream = in_time("TLS", tls::connect(address(url), name, authority)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    in_time("the response", stream.read_to_string(&mut response)).await?;
    Ok(response)
}

async fn gateway() -> LocalGateway {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let gateway = LocalGateway::start(&folder.join("open.yaml"), &[]).await;
    gateway.expect("it starts")
}

#[tokio::test]
async fn both_ports_speak_tls_and_plain_http() {
    let gateway = gateway().await;
    let http = gateway.http.as_deref().expect("an HTTP API");
    for (url, path) in [
        (http, "/unknown"),
        (gateway.functions.as_str(), "/_local/processes"),
    ] {
        let plain = tests::get(&format!("http://{}{path}", address(url))).await;
        for name in ["127.0.0.1", "localhost", "chat.example"] {
            let response = get(url, name, path).await.expect("a response");
            let status = format!("HTTP/1.1 {}", plain.status.as_u16());
            assert!(response.starts_with(&status), "{name}: {response}");
        }
    }

    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let url = url.replace("ws://", "wss://");
    let authority = tls::authority().expect("made at the start");
    let connected = Client::connect_trusting(&url, authority).await;
    let mut client = connected.expect("connected");
    client.send(&json!({"action": "reply"})).await;
    let event = client.next().await;
    assert_eq!(
        event["requestContext"]["domainName"],
        address(&url),
        "{event}"
    );
    gateway.stop().await.expect("stopped");
}

/// The key of the authority is worth less to a thief: no function believes that its holder is AWS.
#[tokio::test]
async fn no_certificate_stands_for_aws() {
    let gateway = gateway().await;
    for name in [
        "lambda.us-east-1.amazonaws.com",
        "amazonaws.com",
        "x.lambda-url.us-east-1.on.aws",
    ] {
        let error = get(&gateway.functions, name, "/").await.expect_err(name);
        assert!(
            format!("{error:#}").contains("NameConstraint"),
            "{name}: {error:#}"
        );
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_handshake_that_fails_does_no_harm() {
    let gateway = gateway().await;
    let http = gateway.http.as_deref().expect("an HTTP API");
    for bytes in [
        &b"\x16GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        &[0x16; 70_000],
    ] {
        let mut stream = tokio::net::TcpStream::connect(address(http))
            .await
            .expect("accepted");
        // The gateway may close the connection before all is written.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = in_time("the end of the connection", stream.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    assert_eq!(tests::get(&format!("{http}/unknown")).await.status, 404);
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(!log.contains("panicked"), "{log}");
}

/// A function that posts to `https://localhost` by the SDK for Rust, whose TLS reads `SSL_CERT_FILE`.
#[tokio::test]
async fn functions_in_rust_post_over_tls() {
    let port = free_port().expect("a port");
    let endpoint = format!("https://localhost:{port}/prod");
    let template = probe::template_with(&json!({
        "Environment": {"Variables": {"MANAGEMENT_ENDPOINT": endpoint}},
    }));
    let gateway = Launch::template(&template).ports(port, 0).start().await;
    let gateway = gateway.expect("it starts");
    let mut socket = Socket::open(&gateway).await;
    let instructions = json!({"describe": true, "report": socket.id});
    probe::invoke(&gateway, instructions)
        .await
        .expect("a result");
    let description = socket.client.next().await;
    assert_eq!(description["environment"]["MANAGEMENT_ENDPOINT"], endpoint);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn gateways_that_start_at_once_make_one_authority_whose_key_only_the_user_reads() {
    let cache = Project::new(&[("README", "")]);
    let template = probe::template_with(&json!({}));
    let start = || {
        let launch = Launch::template(&template).env("XDG_CACHE_HOME", cache.folder());
        launch.start()
    };
    let (one, two) = tokio::join!(start(), start());
    let gateways = [one.expect("it starts"), two.expect("it starts")];
    let folder = cache.folder().join("local-gateway/tls");
    for gateway in &gateways {
        let authority = tls::trusting(&folder.join("authority.pem")).expect("certificates");
        let connected = tls::connect(address(&gateway.functions), "127.0.0.1", authority);
        in_time("TLS", connected)
            .await
            .expect("signed by the authority");
    }
    let key = folder
        .join("authority.key")
        .metadata()
        .expect("it is there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // Functions trust the other authorities of this machine too.
    let bundle = std::fs::read_to_string(folder.join("bundle.pem")).expect("it is there");
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 10);
    for gateway in gateways {
        gateway.stop().await.expect("stopped");
    }
}

/// All but TLS is served if the user's cache is not writable.
#[tokio::test]
async fn without_an_authority_the_rest_is_served() {
    let file = Project::new(&[("cache", "a file")]);
    let template = probe::template_with(&json!({}));
    let launch = Launch::template(&template).env("XDG_CACHE_HOME", file.folder().join("cache"));
    let gateway = launch.start().await.expect("it starts");
    let description = probe::invoke(&gateway, json!({"describe": true})).await;
    let environment = &description.expect("a result")["environment"];
    assert!(environment["SSL_CERT_FILE"].is_null());
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(log.contains("WARN no TLS"), "{log}");
}
