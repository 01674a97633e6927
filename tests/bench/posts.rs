//! A post to a connection through the AWS SDK, and the same request signed and sent by hand.
//!
//! Both sign by the same library and send by the same HTTP library, to an endpoint in this process that
//! responds at once. The difference is what the SDK does around that.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_apigatewaymanagement::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use chat::{ConnectionId, Deadline, Push};
use chat_lambda::aws::AwsConfig;
use chat_lambda::config::PushConfig;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_gateway::http::server::{response, serve};
use tests::management;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cpu::{Cpu, Used};
use crate::figures::{Report, Samples};
use crate::messages::TEXT;

/// Turns of each. The first one is not counted.
const TURNS: usize = 6;

/// Posts of a turn.
const POSTS: usize = 2_000;

const REGION: &str = "us-east-1";

const CONNECTION_ID: &str = "PJqB0fHsqRcCHlw=";

/// Prints latency and CPU time of both.
pub async fn compare() {
    let endpoint = start_endpoint().await;
    let (push, id) = (
        push(&endpoint),
        ConnectionId::from(CONNECTION_ID.to_owned()),
    );
    let by_hand = ByHand::new(&endpoint);
    let [mut sdk, mut hand] = [Total::default(), Total::default()];
    for turn in 0..TURNS {
        // In turn, so that other load on the machine affects both alike.
        let of_sdk = Total::of(async || by_sdk(&push, &id).await).await;
        let of_hand = Total::of(async || by_hand.post().await).await;
        if turn > 0 {
            sdk.merge(of_sdk);
            hand.merge(of_hand);
        }
    }
    sdk.print("a post through the AWS SDK");
    hand.print("a post signed and sent by hand");
}

/// Starts a management API that responds with 200.
async fn start_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let respond = |_, _| async { response(StatusCode::OK, Bytes::new()) };
    tokio::spawn(serve(listener, CancellationToken::new(), respond));
    format!("http://{address}/prod")
}

/// Returns the client that the functions use.
pub fn push(endpoint: &str) -> Push {
    let aws = AwsConfig {
        region: REGION.to_owned(),
        access_key_id: "local".to_owned(),
        secret_access_key: "local".to_owned().into(),
        session_token: None,
    };
    let endpoint = endpoint.to_owned();
    PushConfig { endpoint, aws }.push()
}

async fn by_sdk(push: &Push, id: &ConnectionId) {
    let deadline = Deadline::after(Duration::from_secs(5));
    push.post(id, TEXT, deadline).await.expect("posted");
}

/// A post without the SDK.
struct ByHand {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    credentials: Credentials,
}

impl ByHand {
    fn new(endpoint: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: format!(
                "{endpoint}/@connections/{}",
                CONNECTION_ID.replace('=', "%3D")
            ),
            credentials: management::credentials("local", "local", None),
        }
    }

    async fn post(&self) {
        let mut request = Request::post(&self.url)
            .body(Full::new(Bytes::from_static(TEXT.as_bytes())))
            .expect("a request");
        let body = SignableBody::Bytes(TEXT.as_bytes());
        let signable = SignableRequest::new("POST", &self.url, std::iter::empty(), body);
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("execute-api")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .expect("complete")
            .into();
        let signed = sign(signable.expect("a request"), &params).expect("signed");
        let (instructions, _) = signed.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let response = self.client.request(request).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.expect("a body");
    }
}

/// The posts of some turns.
#[derive(Default)]
struct Total {
    latency: Samples,
    used: Used,
}

impl Total {
    /// Measures a turn.
    async fn of(post: impl AsyncFn()) -> Self {
        let mut latency = Samples::default();
        let before = Cpu::now();
        for _ in 0..POSTS {
            let start = Instant::now();
            post().await;
            latency.add(start.elapsed());
        }
        let used = before.used_since();
        Self { latency, used }
    }

    fn merge(&mut self, other: Self) {
        self.latency.merge(other.latency);
        self.used.merge(other.used);
    }

    fn print(&self, name: &str) {
        let cpu = self.used.each(self.latency.len());
        let latency = self.latency.summary();
        Report::EITHER_MODE.row(name, format_args!("{latency}, CPU time {cpu}"));
    }
}
