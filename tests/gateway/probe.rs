//! Gateways on the function `probe` of the conformance suite, which does what an event tells it.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::launch::{self, LocalGateway};
use tests::{Client, server};
use tokio::task::JoinHandle;

/// The function that tests talk to.
pub const PROBE: &str = "ProbeFunction";

/// A function of a template, with this binary and further properties.
pub fn function(binary: &str, properties: &Value) -> Value {
    let management_endpoint =
        "https://${Sockets}.execute-api.${AWS::Region}.${AWS::URLSuffix}/prod";
    let mut all = json!({
        "CodeUri": ".",
        "Timeout": 60,
        "Environment": {"Variables": {"MANAGEMENT_ENDPOINT": {"Fn::Sub": management_endpoint}}},
    });
    for (name, value) in properties.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    json!({
        "Type": "AWS::Serverless::Function",
        "Metadata": {"BuildProperties": {"Binary": binary}},
        "Properties": all,
    })
}

/// Writes a template with these functions by their logical ids, one of them [`PROBE`], which is
/// behind the route `probe`. Behind all other routes is a function of its own.
pub fn template(functions: Value) -> PathBuf {
    let route = |function: &str| {
        json!({
            "FunctionArn": {"Fn::GetAtt": [function, "Arn"]},
            "RouteResponseSelectionExpression": "$default",
        })
    };
    let response = |route: &str| {
        json!({
            "Type": "AWS::ApiGatewayV2::RouteResponse",
            "Properties": {
                "ApiId": {"Ref": "Sockets"},
                "RouteId": {"Ref": route},
                "RouteResponseKey": "$default",
            },
        })
    };
    let mut resources = functions;
    resources["WitnessFunction"] = function("probe", &json!({}));
    resources["Sockets"] = json!({
        "Type": "AWS::Serverless::WebSocketApi",
        "Properties": {
            "StageName": "prod",
            "RouteSelectionExpression": "$request.body.action",
            "Routes": {
                "reply": route("WitnessFunction"),
                "$disconnect": route("WitnessFunction"),
                "probe": route(PROBE),
            },
        },
    });
    resources["ReplyResponse"] = response("SocketsReplyRoute");
    resources["ProbeResponse"] = response("SocketsProbeRoute");
    let template = json!({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": resources,
    });
    let name = format!("{:016x}.json", fastrand::u64(..));
    let path = server::scratch_folder().join(name);
    std::fs::write(&path, template.to_string()).expect("the folder is writable");
    path
}

/// A template with nothing but the probe, with further properties.
pub fn template_with(properties: &Value) -> PathBuf {
    template(json!({PROBE: function("probe", properties)}))
}

/// A gateway on a template with nothing but the probe.
pub async fn start(properties: &Value, flags: &[&str]) -> LocalGateway {
    let gateway = LocalGateway::start(&template_with(properties), flags).await;
    gateway.expect("it starts")
}

/// An event of the Invoke API that tells the probe what to do.
pub fn event(told: &Value) -> Value {
    json!({"headers": {"x-probe": json!({"request": told}).to_string()}})
}

/// Invokes the probe by the Invoke API: its result, or the function error.
pub async fn invoke(gateway: &LocalGateway, told: Value) -> Result<Value, Value> {
    gateway.invoke(PROBE, &event(&told)).await
}

/// An invocation in the background.
pub struct Invocation(JoinHandle<Result<Value, Value>>);

impl Invocation {
    /// Begins to invoke the probe.
    pub fn begin(gateway: &LocalGateway, told: Value) -> Self {
        let base = gateway.functions.clone();
        let invocation = async move { launch::invoke(&base, PROBE, &event(&told)).await };
        Self(tokio::spawn(invocation))
    }

    /// Waits for the result, or the function error.
    pub async fn end(self) -> Result<Value, Value> {
        self.0.await.expect("the function was invoked")
    }
}

/// A socket to which events report, and for whose end they wait.
pub struct Socket {
    /// Its connection id.
    pub id: String,
    /// What is sent and received on it.
    pub client: Client,
}

impl Socket {
    /// Opens a socket that tells the function behind `$disconnect` nothing.
    pub async fn open(gateway: &LocalGateway) -> Self {
        Self::open_telling(gateway, &json!({})).await
    }

    /// Opens a socket that tells the functions behind `connect` and `disconnect` what to do.
    pub async fn open_telling(gateway: &LocalGateway, told: &Value) -> Self {
        let url = gateway.ws.as_deref().expect("a WebSocket API");
        let client = Client::connect_as(url, &told.to_string()).await;
        let mut client = client.expect("connected");
        client.send(&json!({"action": "reply"})).await;
        let event = client.next().await;
        let id = event["requestContext"]["connectionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no event: {event}")).to_owned();
        Self { id, client }
    }

    /// Sends a frame that tells the probe what to do.
    pub async fn tell(&mut self, told: Value) {
        let frame = json!({"action": "probe", "probe": told});
        self.client.send(&frame).await;
    }

    /// Checks that nothing has been sent to this socket: the next frame answers what is asked now.
    pub async fn expect_nothing(&mut self) {
        let fence = json!({"fence": fastrand::u32(..)});
        let told = json!({"return": {"statusCode": 200, "body": fence.to_string()}});
        let frame = json!({"action": "reply", "probe": told});
        self.client.send(&frame).await;
        assert_eq!(self.client.next().await, fence);
    }
}
