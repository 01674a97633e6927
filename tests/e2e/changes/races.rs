//! Edits that race the deletion of their text, by processes that are killed between the steps.

use chat::Store;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::function::Function;
use tests::relay::{Fault, Relay};
use tests::{messages, server, until};
use tokio::time::{Duration, sleep};

use super::{delete, edit};

/// Pairs of processes that race at the same time, each in conversations of its own.
const PAIRS: usize = 4;
/// Races of all pairs together.
const RACES: usize = 1_000;

async fn migrated_store(database: &str) -> Store {
    let store = server::migrated_store(server::uri().await, database).await;
    store.expect("a store")
}

/// A process of `send-message`, which is started again after it was killed.
struct Process {
    uri: String,
    database: String,
    running: Option<Function>,
}

impl Process {
    async fn start(uri: &str, database: &str) -> Self {
        let mut process = Self {
            uri: uri.to_owned(),
            database: database.to_owned(),
            running: None,
        };
        process.restart().await;
        process
    }

    async fn restart(&mut self) {
        self.running = Some(Function::send_message(&self.uri, &self.database).await);
    }

    async fn kill(&mut self) {
        self.running.take().expect("it runs").kill().await;
        self.restart().await;
    }

    /// Sends a frame of user `a`, and returns its answer.
    async fn send(&self, frame: &Value) -> Value {
        let running = self.running.as_ref().expect("it runs");
        running.reply("a", frame).await
    }

    /// Sends a frame, and kills the process after a moment if it has not answered by then.
    async fn send_and_kill(&mut self, frame: &Value, moment: Duration) {
        let answered = tokio::select! {
            _ = self.send(frame) => true,
            () = sleep(moment) => false,
        };
        if !answered {
            self.kill().await;
        }
    }

    /// Sends a frame until it is answered for good, as a client does.
    async fn send_until_final(&self, frame: &Value) -> Value {
        for _attempt in 0..50 {
            let answer = self.send(frame).await;
            if answer["retryable"] != true {
                return answer;
            }
        }
        panic!("{frame} is not answered for good");
    }
}

/// Names the conversation of a pair of processes in a frame.
fn of_pair(pair: usize, mut frame: Value) -> Value {
    let fields = frame.as_object_mut().expect("an object");
    fields.remove("conversation_id");
    frame["receiver_id"] = json!(format!("b-{pair}"));
    frame
}

#[tokio::test]
async fn no_text_of_a_deleted_message_is_left_by_edits_that_race_its_deletion() {
    let (uri, database) = (server::uri().await, server::database_name());
    let store = migrated_store(&database).await;
    let pairs = (0..PAIRS).map(|pair| {
        let database = database.clone();
        async move {
            let mut processes = [
                Process::start(uri, &database).await,
                Process::start(uri, &database).await,
            ];
            for race in 0..RACES / PAIRS {
                run(&mut processes, pair, race).await;
            }
        }
    });
    join_all(pairs).await;
    messages::assert_nowhere(store.database(), "secret").await;
    store.database().drop().await.expect("dropped");
}

/// Sends a text, then edits and deletes it at once. In one race of eight, one of the two processes is killed.
async fn run([editor, deleter]: &mut [Process; 2], pair: usize, race: usize) {
    let text = json!({
        "action": "sendMessage", "message": format!("secret {race}"),
        "client_message_id": format!("m-{race}"),
    });
    let seq = editor.send_until_final(&of_pair(pair, text)).await["seq"].clone();
    let seq = seq.as_i64().expect("a number");
    let edit = of_pair(
        pair,
        edit(seq, &format!("secret edit {race}"), &format!("e-{race}")),
    );
    let delete = of_pair(pair, delete(seq, &format!("d-{race}")));
    let moment = Duration::from_micros(fastrand::u64(0..20_000));
    let never = Duration::from_secs(600);
    let (edit_by, delete_by) = match fastrand::u8(..16) {
        0 => (moment, never),
        1 => (never, moment),
        _ => (never, never),
    };
    tokio::join!(
        editor.send_and_kill(&edit, edit_by),
        deleter.send_and_kill(&delete, delete_by),
    );
    let (edited, deleted) = tokio::join!(
        editor.send_until_final(&edit),
        deleter.send_until_final(&delete),
    );
    assert_eq!(deleted["type"], "ack", "{deleted}");
    let refused = edited["code"] == "message_not_found";
    assert!(edited["type"] == "ack" || refused, "{edited}");
}

#[tokio::test]
async fn a_resend_completes_a_change_whose_process_was_killed_after_the_insert() {
    let (relay, database) = (
        Relay::start(server::uri().await).await,
        server::database_name(),
    );
    let store = migrated_store(&database).await;
    let mut process = Process::start(&relay.uri, &database).await;
    let text = json!({"action": "sendMessage", "receiver_id": "b", "message": "secret"});
    let edit = edit(1, "new wording", "e");
    assert_eq!(process.send(&text).await["seq"], 1);
    for (frame, kind) in [(&edit, "edit"), (&delete(1, "d"), "delete")] {
        relay.take();
        relay.fail("update", "chat_messages", Fault::Hang);
        let hangs = until(async || relay.take().contains_key("update"));
        tokio::select! {
            answer = process.send(frame) => panic!("{kind}: {answer}"),
            () = hangs => {}
        }
        process.kill().await;
        let resent = process.send_until_final(frame).await;
        assert_eq!(
            (&resent["type"], &resent["duplicate"]),
            (&json!("ack"), &json!(true)),
            "{kind}"
        );
        messages::assert_nowhere(store.database(), "secret").await;
    }
    messages::assert_nowhere(store.database(), "new wording").await;
    store.database().drop().await.expect("dropped");
}
