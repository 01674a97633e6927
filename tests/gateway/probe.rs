//! Gateways on the function `probe` of the conformance suite, which follows the instructions in its
//! event.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::gateway::{self, LocalGateway};
use tests::{Client, server};
use tokio::task::JoinHandle;

/// The logical id of the function that the tests invoke.
pub const PROBE: &str = "ProbeFunction";

/// Returns a function of a template, with this binary and further properties.
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

/// Writes a template with these functions, by their logical ids. [`PROBE`] must be one of them, and
/// is behind the route `probe`. A further function is behind all other routes.
pub fn template(functions: Value) -> PathBuf {
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
    resources["ReplyResponse"] = route_response("SocketsReplyRoute");
    resources["ProbeResponse"] = route_response("SocketsProbeRoute");
    let template = json!({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": resources,
    });
    let name = format!("{:016x}.json", fastrand::u64(..));
    let path = server::scratch_folder().join(name);
    std::fs::write(&path, template.to_string()).expect("the folder is writable");
    path
}

fn route(function: &str) -> Value {
    json!({
        "FunctionArn": {"Fn::GetAtt": [function, "Arn"]},
        "RouteResponseSelectionExpression": "$default",
    })
}

fn route_response(route: &str) -> Value {
    json!({
        "Type": "AWS::ApiGatewayV2::RouteResponse",
        "Properties": {
            "ApiId": {"Ref": "Sockets"},
            "RouteId": {"Ref": route},
            "RouteResponseKey": "$default",
        },
    })
}

/// Writes a template whose only function is the probe, with further properties.
pub fn template_with(properties: &Value) -> PathBuf {
    template(json!({PROBE: function("probe", properties)}))
}

/// Starts a gateway on a template whose only function is the probe.
pub async fn start(properties: &Value, flags: &[&str]) -> LocalGateway {
    let gateway = LocalGateway::start(&template_with(properties), flags).await;
    gateway.expect("it starts")
}

/// Returns an event of the Invoke API with instructions for the probe.
pub fn event(instructions: &Value) -> Value {
    json!({"headers": {"x-probe": json!({"request": instructions}).to_string()}})
}

/// Invokes the probe by the Invoke API. Returns its result, or the function error.
pub async fn invoke(gateway: &LocalGateway, instructions: Value) -> Result<Value, Value> {
    gateway.invoke(PROBE, &event(&instructions)).await
}

/// An invocation in the background.
pub struct Invocation(JoinHandle<Result<Value, Value>>);

impl Invocation {
    /// Invokes the probe in the background.
    pub fn start(gateway: &LocalGateway, instructions: Value) -> Self {
        let base = gateway.functions.clone();
        let invocation = async move { gateway::invoke(&base, PROBE, &event(&instructions)).await };
        Self(tokio::spawn(invocation))
    }

    /// Waits for the result, or the function error.
    pub async fn outcome(self) -> Result<Value, Value> {
        self.0.await.expect("the function was invoked")
    }
}

/// A connection to which the probe reports events, and whose end it can wait for.
pub struct Socket {
    /// Its connection id.
    pub id: String,
    /// The client of the connection.
    pub client: Client,
}

impl Socket {
    /// Opens a connection without instructions for the function behind `$disconnect`.
    pub async fn open(gateway: &LocalGateway) -> Self {
        Self::open_with(gateway, &json!({})).await
    }

    /// Opens a connection with instructions for the functions behind `$connect` and `$disconnect`.
    pub async fn open_with(gateway: &LocalGateway, instructions: &Value) -> Self {
        let url = gateway.ws.as_deref().expect("a WebSocket API");
        let client = Client::connect_as(url, &instructions.to_string()).await;
        let mut client = client.expect("connected");
        client.send(&json!({"action": "reply"})).await;
        let event = client.next().await;
        let id = event["requestContext"]["connectionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no event: {event}")).to_owned();
        Self { id, client }
    }

    /// Sends a frame with instructions for the probe.
    pub async fn instruct(&mut self, instructions: Value) {
        let frame = json!({"action": "probe", "probe": instructions});
        self.client.send(&frame).await;
    }

    /// Checks that nothing has been sent to this connection: the next frame is the response to the
    /// request that is sent now.
    pub async fn expect_nothing(&mut self) {
        let fence = json!({"fence": fastrand::u32(..)});
        let instructions = json!({"return": {"statusCode": 200, "body": fence.to_string()}});
        let frame = json!({"action": "reply", "probe": instructions});
        self.client.send(&frame).await;
        assert_eq!(self.client.next().await, fence);
    }
}
