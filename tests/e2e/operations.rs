//! How often a request asks the database, and what if there is no answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tests::local_gateway::Host;
use tests::{Chat, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::sockets::age_rows;

/// Commands by their names.
type Counts = BTreeMap<String, usize>;

/// What a driver says to keep its connections, whether or not there are requests.
const UPKEEP: [&str; 4] = ["hello", "isMaster", "ping", "endSessions"];

/// A way to the database on which commands are counted, and may be held up.
struct Meter {
    uri: String,
    way: Way,
}

/// What happens to commands.
#[derive(Clone, Default)]
struct Way {
    counts: Arc<Mutex<Counts>>,
    /// Those that never arrive, and let their connection hang.
    held: Arc<Mutex<Option<&'static str>>>,
}

impl Way {
    fn holds(&self, command: &str) -> bool {
        *self.held.lock().expect("no holder panics") == Some(command)
    }

    fn count(&self, command: String) {
        let mut counts = self.counts.lock().expect("no holder panics");
        *counts.entry(command).or_default() += 1;
    }
}

impl Meter {
    /// One to the run's server.
    async fn start() -> Self {
        let uri = server::uri().await;
        let address = server::address(uri);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").to_string();
        let meter = Self {
            uri: uri.replace(address, &own),
            way: Way::default(),
        };
        let (address, way) = (address.to_owned(), meter.way.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&address).await.expect("it listens");
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, way.clone()));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        meter
    }

    /// Starts a chat whose functions reach the database this way.
    async fn chat(&self, flags: &[&str]) -> Chat {
        let settings = Chat::with().host(Host::Processes).flags(flags);
        let settings = settings.database(&self.uri, &server::database_name());
        settings.start().await
    }

    /// Lets commands of this name hang from now on.
    fn hold(&self, command: &'static str) {
        *self.way.held.lock().expect("no holder panics") = Some(command);
    }

    /// What has been asked since the last time.
    fn take(&self) -> Counts {
        let mut counts = std::mem::take(&mut *self.way.counts.lock().expect("no holder panics"));
        counts.retain(|command, _| !UPKEEP.contains(&command.as_str()));
        counts
    }
}

/// Forwards messages of the [wire protocol] until the connection ends, and counts their commands.
///
/// [wire protocol]: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
async fn forward(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, way: Way) {
    while let Ok(length) = client.read_u32_le().await {
        let mut rest = vec![0; length as usize - 4];
        if client.read_exact(&mut rest).await.is_err() {
            return;
        }
        if let Some(command) = command(&rest) {
            if way.holds(&command) {
                return std::future::pending().await;
            }
            way.count(command);
        }
        if server.write_all(&length.to_le_bytes()).await.is_err()
            || server.write_all(&rest).await.is_err()
        {
            return;
        }
    }
}

/// The first key of an `OP_MSG`'s body: after three numbers of the header, flags, the kind of the
/// section, the length of the document and the type of the value.
fn command(message: &[u8]) -> Option<String> {
    const OP_MSG: [u8; 4] = 2013_u32.to_le_bytes();
    let name = message
        .get(8..12)?
        .eq(&OP_MSG)
        .then(|| message.get(22..))??;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> Counts {
    expected
        .map(|(command, count)| (command.to_owned(), count))
        .into()
}

#[tokio::test]
async fn a_send_is_one_insert_and_one_look_up() {
    let meter = Meter::start().await;
    let stack = meter.chat(&["--concurrency", "1"]).await;
    let (mut a, mut b) = (stack.connect("a").await, stack.connect("b").await);
    meter.take();

    a.say("b", "the first of this process to this conversation")
        .await;
    let first = counts([("insert", 1), ("find", 2), ("findAndModify", 1)]);
    assert_eq!(meter.take(), first, "the newest number, and the limit");

    for _ in 0..100 {
        a.say("b", "one of many").await;
    }
    let warm = counts([("insert", 100), ("find", 100), ("findAndModify", 20)]);
    assert_eq!(meter.take(), warm, "five messages are counted at once");

    let resent = json!({"action": "sendMessage", "receiver_id": "b", "message": "m",
        "client_message_id": "once"});
    for (expected, duplicate) in [
        (counts([("insert", 1), ("find", 1)]), false),
        (counts([("insert", 1), ("find", 2)]), true),
    ] {
        a.send(&resent).await;
        assert_eq!(a.next().await["duplicate"], duplicate);
        assert_eq!(meter.take(), expected);
    }

    a.send(&json!({"action": "ping"})).await;
    assert_eq!(a.next().await["type"], "pong");
    assert_eq!(meter.take(), counts([]), "a ping asks nobody");
    for seq in 1..=103 {
        assert_eq!(b.next().await["seq"], seq.min(102));
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_page_of_the_history_is_one_look_up_or_two() {
    let meter = Meter::start().await;
    let stack = meter.chat(&[]).await;
    let mut a = stack.connect("a").await;
    for _ in 0..3 {
        a.say("b", "m").await;
    }
    meter.take();
    for (parameters, finds) in [("", 1), ("&after=1", 2), ("&before=2", 2)] {
        stack.history("a", "b", parameters).await.messages();
        assert_eq!(meter.take(), counts([("find", finds)]), "{parameters}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_look_up_that_hangs_hides_no_delivery() {
    let meter = Meter::start().await;
    let stack = meter.chat(&["--concurrency", "1"]).await;
    let (mut a, mut b) = (stack.connect("a").await, stack.connect("b").await);
    age_rows(&stack).await;
    a.say("b", "now the process knows the sockets").await;
    b.next().await;

    meter.hold("find");
    let ack = a.say("b", "m").await;
    assert_eq!(
        (&ack["seq"], &ack["status"]),
        (&json!(2), &json!("delivered"))
    );
    assert_eq!(b.next().await["seq"], 2);
    stack.stop().await;
}
