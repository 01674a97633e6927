//! Metrics for CloudWatch.

use super::*;

#[tokio::test]
async fn every_kind_of_request_has_its_metrics() {
    let chat = start(&["--log-format", "json", "--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let management = chat.gateway.management.clone().expect("it has one");
    leave_row(&chat, "AAAAAAAAAAAAAAA=", "b", &management).await;

    a.send(&sent("m-1")).await;
    let ack = a.next().await;
    assert_eq!(ack["status"], "delivered");
    b.next().await;
    let send = metrics_with(&chat, "Sends").await;
    assert_metrics_of_a_send(&send, &ack["conversation_id"]);
    assert_metrics_are_declared(&send);

    a.send(&sent("m-1")).await;
    assert_eq!(a.next().await["duplicate"], true);
    let resend = metrics_with(&chat, "Duplicates").await;
    assert_eq!(
        (&resend["Sends"], &resend["PushesGone"]),
        (&json!(0), &json!(0))
    );
    assert_ne!(resend["requestId"], send["requestId"]);

    make_refused_requests(&chat, &mut a).await;
    let history = format!("{}/chat/history?user1=a&user2=b", chat.http);
    assert_eq!(get(&history).await.messages().len(), 1);
    b.close().await;

    // Two handshakes and a refused one, a send, a resend, a refused frame, a refused history request
    // and one page, a disconnect: a document for each.
    until(async || lines(&chat, true).len() == 9).await;
    for (metric, count) in [
        ("Connects", 2),
        ("Disconnects", 1),
        ("Sends", 1),
        ("Duplicates", 1),
        ("Refusals", 3),
        ("RateLimited", 0),
        ("Failures", 0),
        ("PushesDelivered", 2),
        ("PushesGone", 1),
        ("PushesFailed", 0),
    ] {
        assert_eq!(sum(&chat, metric), count, "{metric}");
    }
    assert_metrics_of_handshakes_and_a_page(&lines(&chat, true), &ack["conversation_id"]);
    chat.stop().await;
}

/// Sends a frame, a handshake and a request for the history that are refused.
async fn make_refused_requests(chat: &Chat, client: &mut Client) {
    let frame = json!({"action": "sendMessage", "receiver_id": 7, "message": TEXT});
    client.send(&frame).await;
    assert_eq!(client.next().await["code"], "invalid_frame");
    let refused = Client::connect(&chat.ws).await.err();
    assert_eq!(refused, Some(StatusCode::BAD_REQUEST));
    let history = get(&format!("{}/chat/history?user1=a", chat.http)).await;
    assert_eq!(history.status, StatusCode::BAD_REQUEST);
}

fn assert_metrics_of_a_send(send: &Value, conversation_id: &Value) {
    let expected = json!({
        "Stack": "local", "function": "SendMessageFunction",
        "conversation_id": conversation_id, "seq": 1,
        "Sends": 1, "Duplicates": 0, "NumberConflicts": 0,
        "PushesDelivered": 1, "PushesGone": 1, "PushesFailed": 0,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(send[name], *value, "{name}: {send}");
    }
    for id in ["requestId", "connection_id", "xrayTraceId"] {
        assert!(send[id].is_string(), "{id}: {send}");
    }
    assert_eq!(durations(send, "PushLatency"), 2);
    // A number that the conversation has reached, by its record and by a search, the newest number, the
    // insert, the connections, the row of the one that is gone and when its user was seen, the counting, and the
    // records of the number and of the members.
    assert_eq!(durations(send, "DatabaseLatency"), 10);
}

/// Checks the metadata by which CloudWatch finds the metrics in a document.
fn assert_metrics_are_declared(document: &Value) {
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "MeetMeChat");
    assert_eq!(directive["Dimensions"], json!([["Stack"]]));
    for metric in directive["Metrics"].as_array().expect("an array") {
        let name = metric["Name"].as_str().expect("a string");
        assert!(!document[name].is_null(), "{name}: {document}");
    }
    let timestamp = document["_aws"]["Timestamp"].as_i64();
    let timestamp = timestamp.expect("milliseconds");
    assert!((Utc::now().timestamp_millis() - timestamp).abs() < 60_000);
}

fn assert_metrics_of_handshakes_and_a_page(documents: &[Value], conversation_id: &Value) {
    let connects = documents.iter();
    for connect in connects.filter(|document| document["Connects"] == 1) {
        // The user's limit, whom the user blocks, before the new row and after it, and the user's others.
        assert_eq!(durations(connect, "DatabaseLatency"), 5);
        assert!(connect["connection_id"].is_string(), "{connect}");
    }
    let is_page = |document: &&Value| {
        document["function"] == "HistoryFunction" && document["Refusals"].is_null()
    };
    let page = documents.iter().find(is_page);
    let page = page.expect("the history has been read");
    // The user's limit, what is withheld, a number that the conversation has reached, and the page.
    assert_eq!(durations(page, "DatabaseLatency"), 4);
    assert_eq!(page["conversation_id"], *conversation_id);
}

#[tokio::test]
async fn a_number_that_another_writer_took_is_counted() {
    // One process with many events trusts the number that it remembers.
    let chat = start(&["--log-format", "json", "--in-flight", "8"]).await;
    let mut a = chat.connect("a").await;
    let first = a.send_message("b", TEXT).await;
    let messages = chat.database.collection::<Document>("chat_messages");
    let other = doc! {
        "conversation_id": first["conversation_id"].as_str().expect("a string"),
        "seq": 2_i64, "sender_id": "b", "receiver_id": "a", "message": TEXT,
        "timestamp": first["timestamp"].as_str().expect("a string"),
    };
    messages.insert_one(other).await.expect("inserted");
    assert_eq!(a.send_message("b", TEXT).await["seq"], 3);
    assert_eq!(metrics_with(&chat, "NumberConflicts").await["seq"], 3);
    assert_eq!(sum(&chat, "NumberConflicts"), 1);
    chat.stop().await;
}

#[tokio::test]
async fn frames_and_connections_beyond_the_limits_are_counted() {
    let limits = ["MessageRate=1", "MessageBurst=1", "SocketsPerUser=1"];
    let parameters = limits.iter().flat_map(|limit| ["--parameter", limit]);
    let flags: Vec<&str> = ["--log-format", "json", "--concurrency", "1"]
        .into_iter()
        .chain(parameters)
        .collect();
    let chat = start(&flags).await;
    let mut a = chat.connect("a").await;
    until(async || a.send_message("b", TEXT).await["code"] == "rate_limited").await;
    let refused = metrics_with(&chat, "RateLimited").await;
    assert_eq!(refused["Refusals"], 1);
    assert!(refused["DatabaseLatency"].is_null(), "it asks nobody");

    let _second = chat.connect("a").await;
    a.closed().await;
    let connect = metrics_with(&chat, "SocketsClosed").await;
    assert_eq!(
        (&connect["SocketsClosed"], &connect["Connects"]),
        (&json!(1), &json!(1))
    );
    // Whom the user blocks, twice, the new row, the user's others, and the row of the one that is closed.
    assert_eq!(durations(&connect, "DatabaseLatency"), 5);
    // It is looked up, since it is young, and closed.
    assert_eq!(durations(&connect, "PushLatency"), 2);
    chat.stop().await;
}
