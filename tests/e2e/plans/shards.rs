//! The commands of a sharded cluster.

use super::*;

/// The fields by which MongoDB finds the shard, as in infra/README.md.
fn shard_key(collection: &str) -> &'static str {
    match collection {
        "chat_messages" => "conversation_id",
        "connections" => "user_id",
        "members" => "conversation_id",
        "conversations" | "rate_limits" | "users" => "_id",
        other => panic!("no shard key for {other}"),
    }
}

/// Returns the filters of a command, or its new documents.
fn conditions(command: &Document) -> Vec<&Document> {
    let each = |list: &str| command.get_array(list).expect("a list").iter();
    fn document(value: &Bson) -> &Document {
        value.as_document().expect("a document")
    }
    match command.keys().next().map(String::as_str) {
        Some("find") => vec![command.get_document("filter").expect("a filter")],
        Some("findAndModify") => vec![command.get_document("query").expect("a filter")],
        Some("insert") => each("documents").map(document).collect(),
        Some(name @ ("delete" | "update")) => each(&format!("{name}s"))
            .map(|write| document(write).get_document("q").expect("a filter"))
            .collect(),
        other => panic!("{other:?} is not checked yet"),
    }
}

/// Whether a condition gives the key one value, or a list of some, perhaps in each of its alternatives.
fn names(condition: &Document, key: &str) -> bool {
    if let Ok(alternatives) = condition.get_array("$or") {
        let mut alternatives = alternatives.iter().filter_map(Bson::as_document);
        return alternatives.all(|alternative| names(alternative, key));
    }
    match condition.get(key) {
        Some(Bson::String(_)) => true,
        Some(Bson::Document(operators)) => operators.keys().eq(["$in"]),
        _ => false,
    }
}

#[tokio::test]
async fn every_hot_query_names_its_shard() {
    let (store, sent) = recorded_store().await;
    let (now, deadline) = (Utc::now(), Deadline::after(Duration::from_secs(20)));
    let (a, b) = (user("a"), user("b"));
    sent.lock().clear();

    let id = || "AAAAAAAAAAAAAAA=".to_owned().into();
    let identity = Identity {
        user_id: a.clone(),
        expires_at: None,
    };
    let socket = Connection::new(id(), identity, "https://x".to_owned(), now);
    store
        .insert_connection(socket, deadline)
        .await
        .expect("connected");
    store
        .take_tokens(Limited::Messages, a.as_str(), 1, limit(), deadline)
        .await
        .expect("counted");
    for _send_and_resend in 0..2 {
        let draft = message("id");
        let appended = store.append(&draft, now, deadline).await.expect("stored");
        store.record_reached(&appended.entry, deadline).await;
        let recorded = store.record_members(&appended.entry, now, deadline);
        recorded.await.expect("recorded");
    }
    let conversation = ConversationId::direct(&a, &b);
    for (after, before) in [(None, None), (Some(0), None), (None, Some(2))] {
        let range = Range { after, before };
        let page = store
            .page(&conversation, View::Texts, range, 5, |_| true, deadline)
            .await;
        page.expect("a page");
    }
    change(&store, 1, deadline).await;
    let group = group(&store, deadline).await;
    let members = store
        .recipients_between(&group, 1, [&a, &b], deadline)
        .await;
    members.expect("members");
    let marks = Marks::new(1, 1);
    let marked = store.mark(&conversation, &a, marks, now, deadline).await;
    marked.expect("marked");
    let settings = store.settings_of(&[a.clone(), b.clone()], deadline).await;
    settings.expect("settings");
    let sockets = store
        .connections_of(&[a.clone(), b.clone()], now, deadline)
        .await
        .expect("connections");
    assert_eq!(sockets.len(), 1);
    store
        .delete_connections(&sockets, deadline)
        .await
        .expect("deleted");
    let closed = store.delete_connection(&id(), Some(&a), deadline).await;
    closed.expect("nothing to forget");
    let seen = store.record_seen(vec![(a.clone(), now)], deadline).await;
    seen.expect("recorded");
    let left = store
        .connections_of(&[a.clone(), b.clone()], now, deadline)
        .await
        .expect("connections");
    assert!(left.is_empty());

    let sent = std::mem::take(&mut *sent.lock());
    assert!(sent.len() >= 17, "{sent:?}");
    for command in &sent {
        let collection = command.iter().next().and_then(|(_, name)| name.as_str());
        let key = shard_key(collection.expect("a name"));
        let conditions = conditions(command);
        let named = conditions.iter().all(|condition| names(condition, key));
        assert!(named, "{key} is missing: {command}");
    }
    store.database().drop().await.expect("dropped");
}
