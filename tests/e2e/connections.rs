//! Connections that are gone, and the `@connections` API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use hyper::StatusCode;
use local_gateway::http::server::{response, serve};
use mongodb::bson::{DateTime, Document, doc};
use tests::launch::Host;
use tests::{Chat, until};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use crate::groups::{acked, create, message};

async fn connection_ids(chat: &Chat, user_id: &str) -> Vec<String> {
    use futures_util::TryStreamExt;
    let connections = chat.database.collection::<Document>("connections");
    let rows = connections
        .find(doc! {"user_id": user_id})
        .sort(doc! {"connected_at": 1});
    let rows: Vec<Document> = rows.await.expect("rows").try_collect().await.expect("rows");
    rows.iter()
        .map(|row| row.get_str("_id").expect("a string").to_owned())
        .collect()
}

/// Returns a row as `$connect` writes it, for a connection that opened `age` ago and that no client
/// holds.
pub async fn leave_row(chat: &Chat, id: &str, user_id: &str, age: TimeDelta) {
    let date = |time: chrono::DateTime<Utc>| DateTime::from_millis(time.timestamp_millis());
    let connected_at = Utc::now() - age;
    let row = doc! {
        "_id": id,
        "user_id": user_id,
        "endpoint": chat.management_endpoint(),
        "connected_at": date(connected_at),
        "expires_at": date(connected_at + TimeDelta::minutes(130)),
    };
    let connections = chat.database.collection::<Document>("connections");
    connections.insert_one(row).await.expect("inserted");
}

#[tokio::test]
async fn the_row_of_a_gone_connection_is_deleted_on_the_first_410_and_the_rest_still_receive() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    let alive = connection_ids(&chat, "b").await;
    leave_row(&chat, "AAAAAAAAAAAAAAA=", "b", TimeDelta::minutes(10)).await;

    assert_eq!(sender.send_message("b", "hi").await["status"], "delivered");
    assert_eq!(receiver.next().await["message"], "hi");
    assert_eq!(connection_ids(&chat, "b").await, alive);
    chat.stop().await;
}

/// Changes all rows as if their connections had been open for a minute.
pub async fn age_rows(chat: &Chat) {
    let connections = chat.database.collection::<Document>("connections");
    let minute_ago = Utc::now() - TimeDelta::minutes(1);
    let older = doc! {"connected_at": DateTime::from_millis(minute_ago.timestamp_millis())};
    let aged = connections.update_many(doc! {}, doc! {"$set": older}).await;
    aged.expect("updated");
}

#[tokio::test]
async fn in_groups_connections_known_to_a_process_get_messages_before_the_look_up_returns() {
    let settings = Chat::with().host(Host::Processes);
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    age_rows(&chat).await;
    let group = acked(&mut a, &create("t", &["b"], "g")).await["conversation_id"].clone();
    let group = group.as_str().expect("an id");
    assert_eq!(b.next().await["seq"], 1, "now it is known");

    let mut new = chat.connect_modern("b").await;
    let ack = acked(&mut a, &message(group, "to both, once")).await;
    assert_eq!(ack["status"], "delivered");
    for socket in [&mut b, &mut new] {
        assert_eq!(socket.next().await["seq"], 2);
        socket.expect_nothing().await;
    }

    let connections = chat.database.collection::<Document>("connections");
    let deleted = connections.delete_many(doc! {"user_id": "b"}).await;
    assert_eq!(deleted.expect("deleted").deleted_count, 2);
    let ack = acked(&mut a, &message(group, "from memory")).await;
    assert_eq!(ack["status"], "delivered");
    assert_eq!(b.next().await["seq"], 3);
    new.expect_nothing().await;
    let ack = acked(&mut a, &message(group, "to nobody")).await;
    assert_eq!(ack["status"], "stored");
    b.expect_nothing().await;
    chat.stop().await;
}

/// The rows are what says whether the user blocks the sender.
#[tokio::test]
async fn the_other_user_of_a_conversation_gets_nothing_from_memory_alone() {
    let settings = Chat::with().host(Host::Processes);
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let mut other_of_a = chat.connect("a").await;
    age_rows(&chat).await;
    let ack = a.send_message("b", "now it is known").await;
    assert_eq!(ack["status"], "delivered");
    for socket in [&mut b, &mut other_of_a] {
        assert_eq!(socket.next().await["seq"], 1);
    }
    let connections = chat.database.collection::<Document>("connections");
    connections.delete_many(doc! {}).await.expect("deleted");
    assert_eq!(a.send_message("b", "m").await["status"], "stored");
    b.expect_nothing().await;
    assert_eq!(other_of_a.next().await["seq"], 2, "an own device");
    chat.stop().await;
}

#[tokio::test]
async fn a_known_connection_that_is_gone_is_forgotten_on_its_410() {
    let settings = Chat::with().host(Host::Processes);
    let settings = settings.flags(&["--concurrency", "1"]);
    let settings = settings.flags(&["--fault", r#"{"disconnect":{"drop":1}}"#]);
    let chat = settings.start().await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let gone = chat.connect("b").await;
    age_rows(&chat).await;
    assert_eq!(a.send_message("b", "to both").await["status"], "delivered");
    gone.close().await;
    assert_eq!(connection_ids(&chat, "b").await.len(), 2);
    assert_eq!(a.send_message("b", "to one").await["status"], "delivered");
    assert_eq!(connection_ids(&chat, "b").await.len(), 1);
    for seq in 1..=2 {
        assert_eq!(b.next().await["seq"], seq);
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_still_opening_keeps_its_row() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    leave_row(&chat, "BBBBBBBBBBBBBBA=", "b", TimeDelta::zero()).await;
    assert_eq!(sender.send_message("b", "hi").await["status"], "stored");
    assert_eq!(connection_ids(&chat, "b").await, ["BBBBBBBBBBBBBBA="]);
    chat.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_respond_costs_the_others_nothing() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    leave_row(&chat, "CCCCCCCCCCCCCCA=", "b", TimeDelta::minutes(10)).await;
    let connections = chat.database.collection::<Document>("connections");
    // Port 9 (discard): nobody listens there.
    let dead = doc! {"$set": {"endpoint": "http://127.0.0.1:9/prod"}};
    connections
        .update_one(doc! {"_id": "CCCCCCCCCCCCCCA="}, dead)
        .await
        .expect("updated");

    assert_eq!(sender.send_message("b", "hi").await["status"], "delivered");
    assert_eq!(receiver.next().await["message"], "hi");
    assert_eq!(
        connection_ids(&chat, "b").await.len(),
        2,
        "not gone, only out of reach"
    );
    chat.stop().await;
}

/// Starts a management API that responds with `statuses` in turn, then with 200; it counts the
/// requests.
async fn failing_endpoint(statuses: Vec<StatusCode>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}/prod", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let respond = move |_, _| {
        let count = counter.fetch_add(1, Ordering::SeqCst);
        let status = statuses.get(count).copied().unwrap_or(StatusCode::OK);
        async move { response(status, Bytes::new()) }
    };
    tokio::spawn(serve(listener, CancellationToken::new(), respond));
    (endpoint, requests)
}

#[tokio::test]
async fn a_push_is_retried_when_the_api_is_throttled_or_fails_for_a_moment() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let connections = chat.database.collection::<Document>("connections");
    let twice = |status| vec![status; 2];
    for (receiver, statuses, requests_expected, status_expected) in [
        ("429", twice(StatusCode::TOO_MANY_REQUESTS), 3, "delivered"),
        (
            "500",
            twice(StatusCode::INTERNAL_SERVER_ERROR),
            3,
            "delivered",
        ),
        (
            "503",
            vec![StatusCode::SERVICE_UNAVAILABLE; 99],
            4,
            "stored",
        ),
        ("403", vec![StatusCode::FORBIDDEN; 99], 1, "stored"),
        ("413", vec![StatusCode::PAYLOAD_TOO_LARGE; 99], 1, "stored"),
    ] {
        let (endpoint, requests) = failing_endpoint(statuses).await;
        let id = format!("DDDDDDDDDDDD{receiver}=");
        leave_row(&chat, &id, receiver, TimeDelta::minutes(10)).await;
        let elsewhere = doc! {"$set": {"endpoint": endpoint}};
        connections
            .update_one(doc! {"_id": &id}, elsewhere)
            .await
            .expect("updated");

        assert_eq!(
            sender.send_message(receiver, "hi").await["status"],
            status_expected,
            "{receiver}"
        );
        assert_eq!(
            requests.load(Ordering::SeqCst),
            requests_expected,
            "{receiver}"
        );
        assert_eq!(
            connection_ids(&chat, receiver).await,
            [id],
            "it is not gone"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn an_expired_row_gets_nothing() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    let connections = chat.database.collection::<Document>("connections");
    let past = DateTime::from_millis((Utc::now() - TimeDelta::seconds(1)).timestamp_millis());
    let expired = doc! {"$set": {"expires_at": past}};
    connections
        .update_one(doc! {"user_id": "b"}, expired)
        .await
        .expect("updated");
    assert_eq!(sender.send_message("b", "hi").await["status"], "stored");
    receiver.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_row_has_the_fields_of_the_design() {
    let chat = Chat::start().await;
    let _client = chat.connect("a").await;
    let connections = chat.database.collection::<Document>("connections");
    let row = connections
        .find_one(doc! {})
        .await
        .expect("a response")
        .expect("a row");
    let keys: Vec<&String> = row.keys().collect();
    assert_eq!(
        keys,
        ["_id", "user_id", "endpoint", "connected_at", "expires_at"]
    );
    let endpoint = chat.management_endpoint();
    assert_eq!(row.get_str("endpoint").expect("a string"), endpoint);
    let millis = |key| row.get_datetime(key).expect("a date").timestamp_millis();
    assert_eq!(
        millis("expires_at") - millis("connected_at"),
        130 * 60 * 1_000
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_deleted_connection_loses_its_row() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    let id = connection_ids(&chat, "a").await.remove(0);
    let deleted = chat.management().delete_connection().connection_id(id);
    deleted.send().await.expect("it is open");
    assert_eq!(client.closed().await.code, CloseCode::Normal);
    drop(client);
    until(async || connection_ids(&chat, "a").await.is_empty()).await;
    chat.stop().await;
}

#[tokio::test]
async fn a_deleted_connection_ends_even_if_its_client_does_not_respond() {
    let chat = Chat::start().await;
    // The client is held, but nothing reads from it, so no close frame comes back.
    let _silent = chat.connect("a").await;
    let id = connection_ids(&chat, "a").await.remove(0);
    let management = chat.management();
    let deleted = management.delete_connection().connection_id(&id);
    deleted.send().await.expect("it is open");
    until(async || connection_ids(&chat, "a").await.is_empty()).await;
    let described = management.get_connection().connection_id(&id).send().await;
    let error = described.expect_err("it is closed").into_service_error();
    assert!(error.is_gone_exception(), "{error:?}");
    chat.stop().await;
}
