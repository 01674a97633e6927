//! Bad HTTP requests on both ports.

use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde_json::json;
use tests::client::Http;
use tests::client::http::send;
use tests::gateway::invocation;
use tests::raw::{Raw, UPGRADE, client_frame, statuses};

use super::{MAX_GROWTH_KB, Target, claim, send_bytes};
use crate::probe::{self, PROBE};

/// The header that closes the connection after the response.
const CLOSING: &str = "Connection: close\r\n";

#[tokio::test]
async fn floods_of_headers_and_huge_urls_are_rejected() {
    let target = Target::start().await;
    let many = "X: x\r\n".repeat(10_000);
    let long = "x".repeat(1 << 20);
    let longer = long.repeat(8);
    for flood in [
        format!("GET /echo HTTP/1.1\r\n{many}\r\n"),
        format!("GET /echo HTTP/1.1\r\nX: {long}\r\n\r\n"),
        format!("GET /echo HTTP/1.1\r\n{long}: x\r\n\r\n"),
        format!("GET /echo HTTP/1.1\r\nX: {longer}"),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /echo?{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("{long} /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
        "\r\n".repeat(1 << 20),
    ] {
        for url in [target.ws(), target.http()] {
            let statuses = send_bytes(url, &flood).await;
            let shape = &flood[..20];
            assert!(
                matches!(statuses[..], [400 | 414 | 431]),
                "{shape:?}: {statuses:?}"
            );
        }
    }
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

#[tokio::test]
async fn an_endless_body_is_rejected_once_it_is_too_long() {
    let target = Target::start().await;
    let part = "x".repeat(1 << 20);
    let chunk = format!("100000\r\n{part}\r\n");
    // Without these headers, a request is rejected before its body is read.
    let management = "/prod/@connections/AAAAAAAAAAAAAAA=";
    let invoke = "/2015-03-31/functions/ProbeFunction/invocations";
    for (url, path, headers, expected) in [
        (target.http(), "/echo", String::new(), 413),
        (target.ws(), invoke, claim("lambda"), 413),
        (target.ws(), invoke, String::new(), 403),
        (target.ws(), management, claim("execute-api"), 413),
        (target.ws(), management, String::new(), 403),
    ] {
        for (length, part) in [
            ("Content-Length: 1073741824", &part),
            ("Transfer-Encoding: chunked", &chunk),
        ] {
            let mut raw = Raw::open(url).await.expect("accepted");
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n\r\n");
            raw.send(head).await;
            for _ in 0..32 {
                raw.send(part).await;
            }
            let found = statuses(&raw.rest().await);
            assert_eq!(found, [expected], "{path}, {length}");
        }
    }
    target.assert_growth_below(MAX_GROWTH_KB);
    target.shutdown().await;
}

/// Requests that two servers in a row may parse differently: `{body}` is the body for one server
/// and a further request for the other. `{length}` is its length.
const AMBIGUOUS: &[&str] = &[
    // Two lengths.
    "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{body}",
    "Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{body}",
    "Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{body}",
    "Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{body}",
    "Content-Length: 0, {length}\r\n\r\n{body}",
    // Malformed lengths.
    "Content-Length: +{length}\r\n\r\n{body}",
    "Content-Length: -1\r\n\r\n{body}",
    "Content-Length: 0x0\r\n\r\n{body}",
    "Content-Length: 18446744073709551616\r\n\r\n{body}",
    "Content-Length:\r\n\r\n{body}",
    // Encodings other than `chunked`.
    "Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n\r\n{body}",
    "Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n\r\n{body}",
    "Content-Length: {length}\r\nTransfer-Encoding: \x0Bchunked\r\n\r\n{body}",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{body}",
    // Headers with an ambiguous name or end.
    "Content-Length : {length}\r\n\r\n{body}",
    "Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n\r\n{body}",
    "Content-Length {length}\r\n\r\n{body}",
    "Content-Length:\r\n {length}\r\n\r\n{body}",
    "X: x\r\n Content-Length: {length}\r\n\r\n{body}",
    "X: x\nContent-Length: {length}\r\n\r\n{body}",
    "X: x\rContent-Length: {length}\r\n\r\n{body}",
    "X: x\0\r\nContent-Length: {length}\r\n\r\n{body}",
    ": x\r\nContent-Length: {length}\r\n\r\n{body}",
    // Malformed chunks.
    "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{body}",
    "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{body}",
    "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n{body}",
    "Transfer-Encoding: chunked\r\n\r\n1;a=\"\n{body}\"\r\nx\r\n0\r\n\r\n",
];

#[tokio::test]
async fn no_request_can_be_smuggled_in_another() {
    let target = Target::start().await;
    for (url, path) in [(target.ws(), "/_local/cut"), (target.http(), "/echo")] {
        let first = format!("POST {path} HTTP/1.1\r\nHost: x\r\n");
        let body = format!("POST {path} HTTP/1.1\r\nHost: y\r\nContent-Length: 2\r\n\r\n{{}}");
        // The response to this request is the last one.
        let last = format!("GET /last HTTP/1.1\r\nHost: x\r\n{CLOSING}\r\n");
        let statuses_of = async |rest: &str| {
            let rest = rest.replace("{length}", &body.len().to_string());
            let rest = rest.replace("{body}", &body);
            send_bytes(url, format!("{first}{rest}{last}")).await
        };
        // Well-formed: a request with a body, and two requests, each before the last request.
        let body_only = statuses_of("Content-Length: {length}\r\n\r\n{body}").await;
        assert_eq!(body_only.len(), 2, "{body_only:?}");
        let both = statuses_of("Content-Length: 2\r\n\r\n{}{body}").await;
        assert!(matches!(both[..], [200, 200, _]), "{both:?}");

        for shape in AMBIGUOUS {
            let statuses = statuses_of(shape).await;
            assert!(
                matches!(statuses.len(), 1 | 2),
                "{path} {shape:?}: {statuses:?}"
            );
        }
    }
    target.shutdown().await;
}

/// Separated by spaces.
const JUNK_PATHS: &[u8] =
    b"/echo /% /%z /%zz /%00 /%ff /%C0%AF /%25%32%35 /\xE4 /\xC3\xA4 // /./../.. \
    /..%2f..%2fetc * /# http://elsewhere/echo /rooms/%ff /rooms/%E2%82 /rooms/{id} /rooms// \
    /rooms/%7Bproxy+%7D /prod /prod/@connections/ /prod/@connections/% /prod/@connections/%ff= \
    /prod/@connections/\xC3\xA4 /prod/@connections/..%2f.. /prod/%40connections/AAAAAAAAAAAAAAA=/ \
    /2015-03-31/functions//invocations /2015-03-31/functions/%00/invocations \
    /2015-03-31/functions/%ff/invocations";

/// Separated by spaces.
const JUNK_QUERIES: &[u8] =
    b" ? ?% ?%ff=%zz ?= ?&&&=&== ?a=%00 ?\xC3\xA4=\xE4 ?a=b?c#d ?a[]=b&a[]=\xF0\x9F";

#[tokio::test]
async fn junk_in_paths_and_queries_gets_a_response_but_never_a_server_error() {
    let target = Target::start().await;
    let words = |text: &'static [u8]| text.split(|byte| *byte == b' ');
    for (path, query) in
        words(JUNK_PATHS).flat_map(|path| words(JUNK_QUERIES).map(move |query| (path, query)))
    {
        for (method, headers) in [("GET ", CLOSING), ("POST ", CLOSING), ("GET ", UPGRADE)] {
            let request = [
                method.as_bytes(),
                path,
                query,
                b" HTTP/1.1\r\nHost: x\r\n",
                headers.as_bytes(),
                b"\r\n",
                // A close frame, which is not a request.
                &client_frame(0x88, b""),
            ]
            .concat();
            for url in [target.ws(), target.http()] {
                let statuses = send_bytes(url, &request).await;
                let good = !statuses.is_empty() && statuses.iter().all(|status| *status < 500);
                assert!(good, "{statuses:?}: {}", request.escape_ascii());
            }
        }
    }
    target.shutdown().await;
}

#[tokio::test]
async fn garbage_is_rejected_before_and_after_the_handshake() {
    let target = Target::start().await;
    let mut random = fastrand::Rng::with_seed(20_261_122);
    for round in 0..200 {
        let mut garbage = vec![0; 8_192];
        random.fill(&mut garbage);
        // The end of a head, so that the server does not wait for more.
        garbage.extend(b"\r\n\r\n\r\n\r\n");
        for url in [target.ws(), target.http()] {
            let statuses = send_bytes(url, &garbage).await;
            assert!(
                matches!(statuses[..], [400] | []),
                "round {round}: {statuses:?}"
            );
        }
        // Reserved bits, so that the frame is invalid.
        garbage[0] |= 0x70;
        let mut socket = target.upgrade().await;
        socket.send(&garbage).await;
        assert_eq!(socket.close_code().await, Some(1002), "round {round}");
    }
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    for preface in [
        &hello[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /echo HTTP/0.9\r\n\r\n",
    ] {
        let statuses = send_bytes(target.http(), preface).await;
        assert!(matches!(statuses[..], [400 | 505] | []), "{statuses:?}");
    }
    target.shutdown().await;
}

#[tokio::test]
async fn pipelined_requests_get_their_responses_in_order() {
    let target = Target::start().await;
    let request = |number: usize| {
        let close = if number == 99 { CLOSING } else { "" };
        let probe = json!({"request": {"return": {"statusCode": 400 + number}}});
        format!("GET /echo HTTP/1.1\r\nHost: x\r\nx-probe: {probe}\r\n{close}\r\n")
    };
    let requests: String = (0..100).map(request).collect();
    let statuses = send_bytes(target.http(), requests).await;
    assert_eq!(statuses, (400..500).collect::<Vec<u16>>());
    target.shutdown().await;
}

/// A web page of any origin can send requests to ports of this machine.
#[tokio::test]
async fn only_the_apis_of_the_template_take_requests_of_web_pages() {
    let gateway = probe::start(&json!({}), &[]).await;
    let description = probe::invoke(&gateway, json!({"describe": true})).await;
    let description = description.expect("a description");
    let runtime_api = description["environment"]["AWS_LAMBDA_RUNTIME_API"].as_str();
    let runtime_api = runtime_api.expect("an address");
    let base = &gateway.functions;
    for (method, url) in [
        (
            Method::GET,
            format!("http://{runtime_api}/2018-06-01/runtime/invocation/next"),
        ),
        (
            Method::POST,
            format!("http://{runtime_api}/2018-06-01/runtime/invocation/x/response"),
        ),
        (Method::GET, format!("{base}/_local/processes")),
    ] {
        let response = send(method, &url, &[("origin", "https://page.example")]).await;
        assert_eq!(response.status, StatusCode::FORBIDDEN, "{url}");
    }
    let mut signed = invocation(base, PROBE, &json!({}));
    signed
        .headers_mut()
        .insert("origin", HeaderValue::from_static("https://page.example"));
    let response = Http::default().send(signed).await.expect("a response");
    assert_eq!(response.header("x-amzn-errortype"), "AccessDeniedException");
    let invoked = probe::invoke(&gateway, json!({"return": 7})).await;
    assert_eq!(invoked, Ok(json!(7)), "its process still gets its events");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_invoke_api_takes_only_signed_requests() {
    let gateway = probe::start(&json!({}), &[]).await;
    let url = format!(
        "{}/2015-03-31/functions/{PROBE}/invocations",
        gateway.functions
    );
    let response = send(Method::POST, &url, &[]).await;
    assert_eq!(response.status, StatusCode::FORBIDDEN, "{response:?}");
    let kind = response.header("x-amzn-errortype");
    assert_eq!(kind, "MissingAuthenticationTokenException");
    // The body is another one than the signed one.
    let signed = invocation(&gateway.functions, PROBE, &json!({}));
    let forged = signed.map(|_| Full::from("[]"));
    let response = Http::default().send(forged).await.expect("a response");
    assert_eq!(
        response.header("x-amzn-errortype"),
        "InvalidSignatureException"
    );
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(
        !log.contains("Invoke API"),
        "no function was invoked: {log}"
    );
}
