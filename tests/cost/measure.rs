//! Measures invocations on this machine. The whole chat runs, with tokens and one process for each event,
//! as on Lambda's own capacity.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ::chat::delivery::slice::Slice;
use ::tests::client::{Http, HttpResponse, encode, get_as};
use ::tests::gateway::{durations_ms, invocation};
use ::tests::issuer::{Issuer, Key};
use ::tests::process::{children, name_and_cpu_ms};
use ::tests::{Chat, Client, messages, programs, queue, until};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::invocation::{DELIVER_PUSHES, Figures, Invocations, KINDS, Kind};
use crate::usage::Usage;

/// Invocations of each kind before the counted ones.
const WARM_UP: usize = 50;

/// The user whose list is read, and the conversations in it.
const LISTER: &str = "lister";
const LISTED: usize = 50;

/// The users whom a frame may name.
const USERS_OF_A_FRAME: usize = 49;

/// Counted invocations of each kind.
const COUNTED: usize = 1_000;

/// Flags with which the gateway and the functions log as on Lambda.
const FLAGS: [&str; 4] = ["--log", "info", "--log-format", "json"];

/// Runs the chat and measures each kind of invocation in turn.
///
/// # Panics
///
/// The chat rejects a request or loses a message.
pub async fn run(usage: &Usage) -> Figures {
    eprintln!("building …");
    programs::folder();
    let functions = programs::deployed();
    eprintln!("starting the database and the chat …");
    let issuer = Issuer::start(Key::rsa("cost"));
    let settings = Chat::with().issuer(&issuer).binaries(functions);
    let settings = settings.parameters(&["GroupSize=1000"]);
    let chat = settings.flags(&FLAGS).start().await;
    messages::fill_list(&chat.database, LISTER, LISTED as i64).await;
    eprintln!("measuring …");
    let mut cpu_ms = BTreeMap::new();
    let mut run = Run::start(chat, issuer, usage).await;
    for kind in [
        Kind::Authorize,
        Kind::Connect,
        Kind::Deliver,
        Kind::Send,
        Kind::Ping,
        Kind::Typing,
        Kind::Mark,
        Kind::History,
        Kind::List,
        Kind::Disconnect,
    ] {
        run.repeat(kind, WARM_UP).await;
        let before = run.cpu_ms(kind);
        run.repeat(kind, COUNTED).await;
        cpu_ms.insert(kind, (run.cpu_ms(kind) - before) / COUNTED as f64);
    }
    let log = run.chat.stop().await;
    figures(&log, &run.authorizations_ms, cpu_ms)
}

async fn connect(chat: &Chat, issuer: &Issuer, user_id: &str) -> Client {
    let url = format!("{}/?user_id={}", chat.ws, encode(user_id));
    let bearer = format!("Bearer {}", issuer.token(user_id));
    let headers = [
        ("authorization", bearer.as_str()),
        ("sec-websocket-protocol", "chat.v1"),
    ];
    let opened = Client::connect_with(&url, &headers).await;
    let (client, _) = opened.expect("the handshake succeeds");
    client
}

/// A chat that is being measured.
struct Run {
    chat: Chat,
    issuer: Issuer,
    /// Calls the authorizer.
    http: Http,
    /// Wall time of each of these calls, in milliseconds.
    authorizations_ms: Vec<f64>,
    sender: Client,
    receiver: Client,
    /// Opened to measure `connect`, closed to measure `disconnect`.
    connections: Vec<Client>,
    /// Those of them whose users have typed.
    typed: usize,
    /// The slice of a group of the first users of these connections; none before it is needed.
    slice: Option<String>,
    /// The number up to which the receiver has read.
    read: usize,
    text: String,
    page: String,
}

impl Run {
    async fn start(chat: Chat, issuer: Issuer, usage: &Usage) -> Self {
        let limit = usage.history_messages as usize;
        Self {
            authorizations_ms: Vec::new(),
            connections: Vec::new(),
            typed: 0,
            slice: None,
            read: 0,
            sender: connect(&chat, &issuer, "sender").await,
            receiver: connect(&chat, &issuer, "receiver").await,
            text: "m".repeat(usage.message_bytes as usize),
            page: format!("?user1=sender&user2=receiver&limit={limit}"),
            http: Http::default(),
            issuer,
            chat,
        }
    }

    async fn repeat(&mut self, kind: Kind, times: usize) {
        for _ in 0..times {
            self.once(kind).await;
        }
    }

    async fn once(&mut self, kind: Kind) {
        match kind {
            Kind::Authorize => self.authorize().await,
            Kind::Connect => {
                let user_id = format!("user-{}", self.connections.len());
                let connection = connect(&self.chat, &self.issuer, &user_id).await;
                self.connections.push(connection);
            }
            Kind::Send => self.send().await,
            Kind::Deliver => self.deliver().await,
            Kind::Ping => {
                self.sender.send(&json!({"action": "ping"})).await;
                assert_eq!(self.sender.next().await["type"], "pong");
            }
            Kind::Typing => self.type_once().await,
            Kind::Mark => self.mark().await,
            Kind::History => assert!(!self.history().await.messages().is_empty()),
            Kind::List => {
                let url = format!("{}/chat/conversations?user={LISTER}", self.chat.http);
                let list = get_as(&self.issuer.token(LISTER), &url).await.messages();
                assert_eq!(list.len(), LISTED);
            }
            Kind::Disconnect => self.disconnect().await,
        }
    }

    /// Calls the authorizer as the HTTP API does.
    async fn authorize(&mut self) {
        let event = json!({
            "version": "2.0",
            "type": "REQUEST",
            "headers": {"authorization": format!("Bearer {}", self.issuer.token("sender"))},
            "requestContext": {"http": {"method": "GET", "path": "/chat/history"}},
        });
        let base = &self.chat.gateway.functions;
        let invocation = invocation(base, function(Kind::Authorize), &event);
        let start = Instant::now();
        let response = self.http.send(invocation).await.expect("a response");
        self.authorizations_ms
            .push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(response.json()["isAuthorized"], true, "{response:?}");
    }

    async fn history(&self) -> HttpResponse {
        let url = format!("{}/chat/history{}", self.chat.http, self.page);
        get_as(&self.issuer.token("sender"), &url).await
    }

    async fn send(&mut self) {
        let frame = json!({
            "action": "sendMessage",
            "receiver_id": "receiver",
            "message": self.text,
            "client_message_id": format!("{:032x}", fastrand::u128(..)),
        });
        self.sender.send(&frame).await;
        let (pushed, ack) = tokio::join!(self.receiver.next(), self.sender.next());
        assert_eq!(pushed["message"], self.text.as_str());
        assert_eq!(ack["status"], "delivered", "{ack}");
    }

    /// Puts a slice into the queue, as `send-message` does, and waits for its pushes.
    async fn deliver(&mut self) {
        if self.slice.is_none() {
            self.slice = Some(self.create_group().await);
        }
        let url = format!("{}/123456789012/DeliveryQueue", self.chat.gateway.functions);
        let client = queue::client(&self.chat.gateway, "local");
        let message = client.send_message().queue_url(url);
        let sent = message.set_message_body(self.slice.clone()).send().await;
        sent.expect("sent");
        for connection in &mut self.connections[..DELIVER_PUSHES as usize] {
            assert_eq!(connection.next().await["type"], "entry");
        }
    }

    /// Creates a group of the sender and the users of the first connections, which has more members than get pushes
    /// within a request. Returns the slice of these users, for the last entry.
    async fn create_group(&mut self) -> String {
        let user = |number| format!("user-{number}");
        let users: Vec<String> = (0..DELIVER_PUSHES).map(user).collect();
        let mut last = Value::Null;
        for users in users.chunks(USERS_OF_A_FRAME) {
            let mut frame = json!({"action": "createGroup", "title": "t", "users": users, "client_message_id": "g"});
            if last.is_object() {
                frame["action"] = json!("invite");
                frame["client_message_id"] = json!(users[0]);
                frame["conversation_id"] = last["conversation_id"].clone();
            }
            self.sender.send(&frame).await;
            last = self.sender.next().await;
            assert_eq!(last["type"], "ack", "{last}");
        }
        for connection in &mut self.connections[..users.len()] {
            while connection.next().await["seq"] != last["seq"] {}
        }
        let id = |user: &str| ::chat::UserId::try_from(user.to_owned()).expect("a valid id");
        let group = last["conversation_id"].as_str().expect("an id").to_owned();
        let slice = Slice {
            conversation_id: group.into(),
            seq: last["seq"].as_i64().expect("a number"),
            from_user: id(&users[0]),
            to_user: id(users.iter().max().expect("one")),
            except: None,
        };
        slice.to_json()
    }

    /// Says on a connection that has not said so that its user types: of several frames in a short time one is passed
    /// on.
    async fn type_once(&mut self) {
        let frame = json!({"action": "typing", "receiver_id": "receiver"});
        self.connections[self.typed].send(&frame).await;
        self.typed += 1;
        assert_eq!(self.receiver.next().await["type"], "typing");
    }

    async fn mark(&mut self) {
        self.read += 1;
        let frame = json!({"action": "mark", "receiver_id": "sender", "read": self.read});
        self.receiver.send(&frame).await;
        assert_eq!(self.sender.next().await["read"], self.read);
    }

    /// Closes a connection and waits until its row is deleted.
    async fn disconnect(&mut self) {
        let connection = self
            .connections
            .pop()
            .expect("as many are closed as were opened");
        let user_id = format!("user-{}", self.connections.len());
        connection.close().await;
        let rows = self.chat.database.collection::<Document>("connections");
        let row = doc! {"user_id": user_id};
        until(async || rows.find_one(row.clone()).await.expect("found").is_none()).await;
    }

    /// Returns the CPU time of all processes of a function so far, in milliseconds.
    fn cpu_ms(&self, kind: Kind) -> f64 {
        children(self.chat.pid())
            .into_iter()
            .filter_map(name_and_cpu_ms)
            .filter(|(name, _)| name == binary(kind))
            .map(|(_, cpu_ms)| cpu_ms)
            .sum()
    }
}

/// Returns the program that serves a kind of invocation.
fn binary(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorize => "authorizer",
        Kind::Connect => "connect",
        Kind::Disconnect => "disconnect",
        Kind::Send | Kind::Ping | Kind::Typing | Kind::Mark => "send-message",
        Kind::Deliver => "deliver",
        Kind::History => "history",
        Kind::List => "conversations",
    }
}

/// Returns the function of the template that serves a kind of invocation.
fn function(kind: Kind) -> &'static str {
    match kind {
        Kind::Authorize => "AuthorizerFunction",
        Kind::Connect => "ConnectFunction",
        Kind::Disconnect => "DisconnectFunction",
        Kind::Send | Kind::Ping | Kind::Typing | Kind::Mark => "SendMessageFunction",
        Kind::Deliver => "DeliverFunction",
        Kind::History => "HistoryFunction",
        Kind::List => "ConversationsFunction",
    }
}

/// Returns the name of the route that a kind of invocation is logged with. The authorizer is measured by the
/// Invoke API.
fn route(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Authorize => None,
        Kind::Connect => Some("$connect"),
        Kind::Disconnect => Some("$disconnect"),
        Kind::Send => Some("sendMessage"),
        Kind::Deliver => Some("SQS"),
        Kind::Ping => Some("ping"),
        Kind::Typing => Some("typing"),
        Kind::Mark => Some("mark"),
        Kind::History => Some("GET /chat/history"),
        Kind::List => Some("GET /chat/conversations"),
    }
}

/// Reads what the gateway has logged.
fn figures(log: &str, authorizations_ms: &[f64], cpu_ms: BTreeMap<Kind, f64>) -> Figures {
    let mut invocations = BTreeMap::new();
    let mut log_bytes = BTreeMap::new();
    for kind in KINDS {
        let all = match route(kind) {
            None => authorizations_ms.to_vec(),
            Some(route) => durations_ms(log, route),
        };
        // The two clients connect first and leave last.
        let counted = &all[all.len() - COUNTED..];
        let measured = Invocations::Measured {
            wall_ms: counted.to_vec(),
            cpu_ms: cpu_ms[&kind],
        };
        invocations.insert(kind, measured);
        // The lines of this function are mostly those of sends; pings and typing log nothing.
        let logged: usize = match kind {
            Kind::Ping | Kind::Typing | Kind::Mark => 0,
            kind => log
                .lines()
                .filter_map(|line| logged_bytes(line, function(kind)))
                .sum(),
        };
        log_bytes.insert(kind, logged as f64 / all.len() as f64);
    }
    Figures {
        invocations,
        log_bytes,
        custom_metrics: log.lines().flat_map(metrics).collect(),
    }
}

/// Returns the names of the metrics in a log line of a function, in CloudWatch's
/// [embedded metric format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
fn metrics(line: &str) -> BTreeSet<String> {
    let logged = line.split_once(" | ").map(|(_, logged)| logged);
    let document: Value = logged
        .and_then(|logged| serde_json::from_str(logged).ok())
        .unwrap_or_default();
    let metrics = document["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
    let names = metrics.into_iter().flatten();
    names
        .filter_map(|metric| Some(metric["Name"].as_str()?.to_owned()))
        .collect()
}

/// Returns the bytes of a log line of a function, with its line break:
/// `12:00:00.000  SendMessageFunction | …`.
fn logged_bytes(line: &str, function: &str) -> Option<usize> {
    let (head, logged) = line.split_once(" | ")?;
    (head.split_whitespace().nth(1)? == function).then_some(logged.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_the_gateway_tells_bytes_and_metrics() {
        let sent = "12:00:00.000  INFO sendMessage connection_id=a function=SendMessageFunction";
        let line = "12:00:00.000  SendMessageFunction |  INFO message stored a=\" | \"";
        assert_eq!(logged_bytes(line, "SendMessageFunction"), Some(29));
        assert_eq!(logged_bytes(line, "ConnectFunction"), None);
        assert_eq!(logged_bytes(sent, "SendMessageFunction"), None);
        let counted = r#"12:00:00.000  SendMessageFunction | {"_aws": {"CloudWatchMetrics": [
            {"Metrics": [{"Name": "Sends"}, {"Name": "PushLatency"}]}]}}"#;
        let names = ["PushLatency", "Sends"].map(str::to_owned);
        assert_eq!(metrics(counted), BTreeSet::from(names));
        assert_eq!(metrics(line), BTreeSet::new());
    }
}
