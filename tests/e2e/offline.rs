//! The topic for texts that no connection of a recipient has got.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use local_gateway::http::server::serve;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tests::launch::Host;
use tests::relay::Relay;
use tests::{Chat, server, until};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::blocks::{block, put};
use crate::deliver::{MANY, large_group, member, settings, wait_delivered};
use crate::groups::{acked, create, message};

const ARN: &str = "arn:aws:sns:us-east-1:123456789012:offline";

/// The response to a `Publish`, as SNS writes it.
const PUBLISHED: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m-1</MessageId></PublishResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></PublishResponse>"#;

/// A topic that keeps what is published.
#[derive(Clone, Default)]
struct Topic(Arc<Mutex<Vec<Value>>>);

impl Topic {
    /// Starts an endpoint of SNS that responds with a status; returns the edits of the template that lead there.
    async fn start(&self, status: StatusCode) -> [String; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let topic = self.clone();
        let respond = move |request: hyper::Request<hyper::body::Incoming>, _| {
            let topic = topic.clone();
            async move {
                let body = request.into_body().collect().await.expect("a body");
                topic.take_in(&body.to_bytes());
                let response = Response::builder().status(status);
                let response = response.header("content-type", "text/xml");
                let body = Full::new(Bytes::from_static(PUBLISHED.as_bytes()));
                response.body(body).expect("the header is constant")
            }
        };
        tokio::spawn(serve(listener, CancellationToken::new(), respond));
        let arn = "          OFFLINE_TOPIC_ARN: !Ref OfflineTopic\n".to_owned();
        let there = format!("{arn}          AWS_ENDPOINT_URL_SNS: {url}\n");
        [arn, there]
    }

    fn take_in(&self, body: &[u8]) {
        let body = std::str::from_utf8(body).expect("UTF-8").replace('+', " ");
        let field = |name: &str| {
            let fields = body.split('&').filter_map(|field| field.split_once('='));
            let (_, value) = fields.into_iter().find(|(key, _)| *key == name)?;
            Some(
                percent_decode_str(value)
                    .decode_utf8()
                    .expect("UTF-8")
                    .into_owned(),
            )
        };
        assert_eq!(field("Action").as_deref(), Some("Publish"), "{body}");
        assert_eq!(field("TopicArn").as_deref(), Some(ARN), "{body}");
        let message = field("Message").expect("a message");
        self.0
            .lock()
            .push(serde_json::from_str(&message).expect("JSON"));
    }

    /// Returns what was published since the last call.
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Starts a chat with a topic, and further parameters.
async fn start(settings: tests::chat::Settings, topic: &Topic, parameters: &[&str]) -> Chat {
    let [arn, there] = topic.start(StatusCode::OK).await;
    let settings = settings.edited(&[(&arn, &there)]);
    let settings = settings.parameters(&[format!("OfflineTopic={ARN}")]);
    settings.parameters(parameters).start().await
}

#[tokio::test]
async fn a_text_that_nobody_has_got_is_announced_once_and_without_its_words() {
    let topic = Topic::default();
    let chat = start(Chat::with(), &topic, &[]).await;
    let mut a = chat.connect_modern("a").await;
    let frame = json!({"action": "sendMessage", "receiver_id": "b", "message": "secret",
        "client_message_id": "once"});
    a.send(&frame).await;
    let ack = a.next().await;
    assert_eq!(ack["status"], "stored");
    // Before the ack: a function is frozen after it.
    let expected =
        json!({"conversation_id": "direct:1:a:b", "seq": 1, "sender_id": "a", "recipients": ["b"]});
    assert_eq!(topic.take(), [expected]);
    a.send(&frame).await;
    assert_eq!(a.next().await["duplicate"], true);
    // What is no text, and what is for oneself.
    a.send(&json!({"action": "editMessage", "receiver_id": "b", "seq": 1, "message": "changed"}))
        .await;
    assert_eq!(a.next().await["type"], "ack");
    assert_eq!(a.send_message("a", "a note").await["type"], "ack");
    assert_eq!(topic.take(), [Value::Null; 0]);

    let mut b = chat.connect("b").await;
    assert_eq!(a.send_message("b", "hello").await["status"], "delivered");
    assert_eq!(topic.take(), [Value::Null; 0], "somebody has got it");
    assert_eq!(b.next().await["message"], "hello");
    b.close().await;
    let log = chat.stop().await;
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn an_announcement_has_the_text_if_the_operator_says_so() {
    let topic = Topic::default();
    let chat = start(Chat::with(), &topic, &["OfflineTopicTexts=on"]).await;
    let mut a = chat.connect("a").await;
    a.send_message("b", "100 % & more: é+\u{1f600}").await;
    let [announced] = &topic.take()[..] else {
        panic!("one announcement");
    };
    assert_eq!(announced["message"], "100 % & more: é+\u{1f600}");
    chat.stop().await;
}

#[tokio::test]
async fn nobody_is_told_who_has_muted_the_conversation_or_blocked_the_sender() {
    let topic = Topic::default();
    let chat = start(Chat::with(), &topic, &[]).await;
    let mut a = chat.connect_modern("a").await;
    // Both before the first message, and one of them with a connection.
    block(&chat, "b", "a", true).await;
    put(&chat, "c", &json!({"peer_id": "a", "muted": true})).await;
    let mut b = chat.connect("b").await;
    for peer in ["b", "c"] {
        assert_eq!(a.send_message(peer, "m").await["status"], "stored");
    }
    b.expect_nothing().await;
    b.close().await;
    assert_eq!(a.send_message("b", "m").await["status"], "stored");
    assert_eq!(topic.take(), [Value::Null; 0]);
    block(&chat, "b", "a", false).await;
    a.send_message("b", "m").await;
    let [announced] = &topic.take()[..] else {
        panic!("one announcement");
    };
    assert_eq!(
        (&announced["seq"], &announced["recipients"]),
        (&json!(3), &json!(["b"]))
    );

    let group = acked(&mut a, &create("t", &["b", "c", "d"], "g")).await["conversation_id"].clone();
    let id = group.as_str().expect("an id");
    put(
        &chat,
        "d",
        &json!({"conversation_id": group, "muted": true}),
    )
    .await;
    let mut c = chat.connect_modern("c").await;
    acked(&mut a, &message(id, "m")).await;
    assert_eq!(c.next().await["message"], "m");
    let [announced] = &topic.take()[..] else {
        panic!("one announcement");
    };
    assert_eq!(
        announced["recipients"],
        json!(["b"]),
        "neither who got it nor who has muted"
    );
    chat.stop().await;
}

#[tokio::test]
async fn of_a_large_group_each_slice_is_announced() {
    let topic = Topic::default();
    let chat = start(settings(), &topic, &[]).await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut online = chat.connect_modern(&member(3)).await;
    let ack = acked(&mut a, &message(&group, "m")).await;
    assert_eq!(topic.take().len(), 0, "not by the sender's function");
    assert_eq!(online.next().await["message"], "m");
    let mut announced = Vec::new();
    until(async || {
        announced.extend(topic.take());
        announced.len() == 2
    })
    .await;
    let recipients = announced
        .iter()
        .map(|it| it["recipients"].as_array().expect("a list"));
    let mut recipients: Vec<String> = recipients
        .flatten()
        .map(|user| user.as_str().expect("an id").to_owned())
        .collect();
    recipients.sort();
    let expected: Vec<String> = (0..MANY)
        .map(member)
        .filter(|user| *user != member(3))
        .collect();
    assert_eq!(recipients, expected, "everybody else, and not the sender");
    assert!(announced.iter().all(|it| it["seq"] == ack["seq"]));
    chat.stop().await;
}

#[tokio::test]
async fn a_topic_that_fails_is_a_log_line_and_never_the_send() {
    let topic = Topic::default();
    let [arn, there] = topic.start(StatusCode::FORBIDDEN).await;
    let settings = Chat::with().edited(&[(&arn, &there)]);
    let chat = settings
        .parameters(&[format!("OfflineTopic={ARN}")])
        .start()
        .await;
    let mut a = chat.connect("a").await;
    assert_eq!(a.send_message("b", "secret").await["status"], "stored");
    assert_eq!(topic.take().len(), 1, "it was asked");
    let log = chat.stop().await;
    assert_eq!(log.matches("text not announced").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn without_a_topic_nothing_is_read_for_it_and_with_one_a_look_up() {
    let topic = Topic::default();
    for (has_topic, arn_of_topic) in [(false, ""), (true, ARN)] {
        let relay = Relay::start(server::uri().await).await;
        let [arn, there] = topic.start(StatusCode::OK).await;
        let settings = Chat::with()
            .host(Host::Processes)
            .flags(&["--in-flight", "8"]);
        let settings = settings
            .edited(&[(&arn, &there)])
            .parameters(&[format!("OfflineTopic={arn_of_topic}")]);
        let settings = settings.database(&relay.uri, &server::database_name());
        let chat = settings.start().await;
        let (mut a, mut c) = (chat.connect("a").await, chat.connect("c").await);
        for peer in ["b", "c"] {
            a.send_message(peer, "the first").await;
        }
        c.next().await;
        for (peer, finds) in [("b", 5 * (1 + usize::from(has_topic))), ("c", 5)] {
            relay.take();
            for _ in 0..5 {
                a.send_message(peer, "m").await;
            }
            assert_eq!(relay.take()["find"], finds, "to {peer}, topic: {has_topic}");
        }
        chat.stop().await;
    }
}
