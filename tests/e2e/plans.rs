//! The queries that the store really sends use indexes.
//!
//! - [`shards`]: and name their shard

mod shards;

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use chat::settings::SettingsChange;
use chat::store::{
    CONNECTIONS, CONVERSATIONS, Limited, MEMBERS, MESSAGES, RATE_LIMITS, Range, RateLimit,
    StoreConfig, USERS, View, client_options,
};
use chat::{
    ClientMessageId, Connection, Content, ConversationId, Deadline, Draft, History, Identity,
    Marks, Recipient, Store, Text, Title, UserId, migration,
};
use chrono::Utc;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::{Acknowledgment, ReadPreference, SelectionCriteria};
use parking_lot::Mutex;
use tests::{TIMEOUT, messages, server};

/// Commands as they went over the wire.
type Sent = Arc<Mutex<Vec<Document>>>;

async fn recorded_store() -> (Store, Sent) {
    let uri = server::uri().await;
    let database = server::database_name();
    let mut options = client_options(&StoreConfig::new(uri, &database))
        .await
        .expect("options");
    let sent = Sent::default();
    let record = Arc::clone(&sent);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            record.lock().push(started.command);
        }
    }));
    let store = Store::with_options(options, &database).expect("a store");
    migration::run(store.database(), |_| Ok(()))
        .await
        .expect("migrated");
    (store, sent)
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid id")
}

fn text(text: &str) -> Text {
    Text::try_from(text.to_owned()).expect("a valid text")
}

fn draft(content: Content, client_message_id: &str) -> Draft {
    let id = ClientMessageId::try_from(client_message_id.to_owned()).expect("a valid id");
    Draft {
        client_message_id: Some(id),
        ..Draft::new(user("a"), Recipient::User(user("b")), content)
    }
}

/// Begins a group of user `a` with two others, and writes in it; returns its id.
async fn group(store: &Store, deadline: Deadline) -> ConversationId {
    let id = ClientMessageId::try_from("group".to_owned()).expect("a valid id");
    let group = ConversationId::group(&user("a"), &id);
    let title = Title::try_from("t".to_owned()).expect("a title");
    let users = vec![user("a"), user("b"), user("c")];
    let create = Content::Create {
        title,
        users,
        history: History::default(),
    };
    let leave = Content::Leave {
        user: user("c"),
        new_owner: None,
    };
    for (content, id) in [
        (create, "create"),
        (Content::Text(text("m")), "text"),
        (leave, "leave"),
    ] {
        let draft = Draft {
            conversation_id: group.clone(),
            receiver_id: None,
            ..draft(content, id)
        };
        let appended = store.append(&draft, Utc::now(), deadline).await;
        let entry = appended.expect("stored").entry;
        store.record_reached(&entry, deadline).await;
    }
    group
}

fn message(client_message_id: &str) -> Draft {
    draft(Content::Text(text("m")), client_message_id)
}

/// Edits the text under a number, then deletes it.
async fn change(store: &Store, target_seq: i64, deadline: Deadline) {
    let message = text("n");
    let edit = Content::Edit {
        target_seq,
        message,
    };
    let deletion = Content::Delete {
        target_seq,
        of_other: false,
    };
    for (content, id) in [(edit, "edit"), (deletion, "delete")] {
        let appended = store
            .append(&draft(content, id), Utc::now(), deadline)
            .await;
        let mut entry = appended.expect("stored").entry;
        store.apply(&mut entry, deadline).await.expect("applied");
        // As a resend does, which finds its target deleted.
        store.apply(&mut entry, deadline).await.expect("applied");
    }
}

fn limit() -> RateLimit {
    RateLimit::new(5.0, 20).expect("a limit")
}

/// Returns the queries whose plans are those of a command: an aggregation has that of its first stage, and
/// alternatives and updates have one each.
fn planned(command: &Document) -> Vec<Document> {
    if let Ok(updates) = command.get_array("updates") {
        let collection = command.get_str("update").expect("a collection");
        let find = |update: &Bson| {
            let filter = update.as_document()?.get_document("q").ok()?;
            Some(doc! {"find": collection, "filter": filter.clone()})
        };
        let finds = updates.iter().filter_map(find);
        return finds.flat_map(|find| planned(&find)).collect();
    }
    let filter = match command.get_array("pipeline") {
        Ok(stages) => stages[0]
            .as_document()
            .and_then(|stage| stage.get_document("$match").ok()),
        Err(_) => command.get_document("filter").ok(),
    };
    // The conditions beside alternatives are tested on what these have found.
    let alternatives = filter.filter(|filter| filter.keys().next().is_some_and(|key| key == "$or"));
    let Some(Ok(alternatives)) = alternatives.map(|filter| filter.get_array("$or")) else {
        return vec![command.clone()];
    };
    let collection = command
        .get_str("find")
        .or_else(|_| command.get_str("aggregate"));
    let collection = collection.expect("a collection");
    let queries = alternatives
        .iter()
        .map(|filter| doc! {"find": collection, "filter": filter});
    queries.collect()
}

/// All stages of the plan that wins for a command that was sent.
async fn stages(store: &Store, command: &Document) -> Vec<String> {
    let keep = [
        ["find", "filter", "sort", "limit", "projection"],
        ["findAndModify", "query", "update", "upsert", "new"],
    ]
    .concat();
    let command: Document = command
        .iter()
        .filter(|(key, _)| keep.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let explain = doc! {"explain": command, "verbosity": "queryPlanner"};
    let plan = store.database().run_command(explain).await.expect("a plan");
    let planner = plan.get_document("queryPlanner").expect("a planner");
    let mut found = Vec::new();
    collect_stages(planner.get("winningPlan").expect("a plan"), &mut found);
    found
}

fn collect_stages(plan: &Bson, found: &mut Vec<String>) {
    match plan {
        Bson::Document(plan) => {
            for (key, value) in plan {
                match value {
                    Bson::String(stage) if key == "stage" => found.push(stage.clone()),
                    value => collect_stages(value, found),
                }
            }
        }
        Bson::Array(plans) => plans.iter().for_each(|plan| collect_stages(plan, found)),
        _ => {}
    }
}

/// Documents of others in each collection. A server may scan a collection that has only a few, whatever
/// indexes there are.
const OTHERS: i64 = 5_000;

async fn fill_with_others(store: &Store) {
    let database = store.database();
    messages::fill(database, &[user("x"), user("y")], OTHERS).await;
    for collection in [CONNECTIONS, CONVERSATIONS, MEMBERS, RATE_LIMITS, USERS] {
        let name = |number| format!("other-{number}");
        let other = |number| {
            let (id, last_at) = (name(number), DateTime::from_millis(number));
            doc! {"_id": &id, "user_id": &id, "conversation_id": &id, "last_at": last_at}
        };
        let collection = database.collection::<Document>(collection);
        let inserted = collection.insert_many((0..OTHERS).map(other)).await;
        inserted.expect("inserted");
    }
}

#[tokio::test]
async fn every_query_is_answered_from_an_index_without_a_sort() {
    let (store, sent) = recorded_store().await;
    fill_with_others(&store).await;
    let now = Utc::now();
    let deadline = Deadline::after(Duration::from_secs(20));
    for number in 0..30 {
        let draft = message(&format!("id-{number}"));
        let appended = store.append(&draft, now, deadline).await.expect("stored");
        store.record_reached(&appended.entry, deadline).await;
        let recorded = store.record_members(&appended.entry, now, deadline);
        recorded.await.expect("recorded");
    }
    let group = group(&store, deadline).await;
    sent.lock().clear();

    let (a, b) = (user("a"), user("b"));
    let members = store
        .recipients_between(&group, 1, [&a, &b], deadline)
        .await;
    assert_eq!(members.expect("members"), [a.clone(), b.clone()]);
    let seen = store.group_of(&group, &b, deadline).await;
    assert!(!seen.expect("a group").has(&user("c")));
    let conversation = ConversationId::direct(&a, &b);
    for (after, before) in [
        (None, None),
        (Some(3), None),
        (None, Some(20)),
        (Some(3), Some(20)),
    ] {
        let range = Range { after, before };
        store
            .page(&conversation, View::Texts, range, 5, |_| true, deadline)
            .await
            .expect("a page");
    }
    store
        .connections_of(&[a.clone(), b.clone()], now, deadline)
        .await
        .expect("connections");
    // A resend looks for the earlier one, then for the newest.
    store
        .append(&message("id-0"), now, deadline)
        .await
        .expect("a duplicate");
    for _first_and_second in 0..2 {
        store
            .take_tokens(Limited::Messages, a.as_str(), 1, limit(), deadline)
            .await
            .expect("counted");
    }

    change(&store, 1, deadline).await;
    let after = Range {
        after: Some(20),
        before: None,
    };
    let page = store.page(&conversation, View::Log, after, 50, |_| true, deadline);
    let entries = page.await.expect("a page").entries;
    let completing = store.complete_changes(&conversation, &entries, deadline);
    assert!(!completing.await.expect("completed"), "they were applied");
    let earlier = store.earlier(&message("id-1"), deadline).await;
    earlier.expect("found").expect("an earlier one");
    let marked = store.mark(&conversation, &a, Marks::new(3, 4), now, deadline);
    marked.await.expect("marked");
    for before in ["", "1795346103123.507f1f77bcf86cd799439011"] {
        let page = store.list(&a, before.parse().ok(), 5, true, deadline);
        page.await.expect("a page");
    }
    let presence = store.presence_of(&a, slice::from_ref(&b), now, deadline);
    presence.await.expect("presence");
    let change = SettingsChange {
        receipts: Some(true),
        presence: None,
    };
    let changed = store.change_settings(&a, change, deadline);
    changed.await.expect("changed");

    let finds = take_finds(&sent);
    assert!(finds.len() >= 31, "{finds:?}");
    for query in finds.iter().flat_map(planned) {
        assert_by_index(&store, &query).await;
    }
    store.database().drop().await.expect("dropped");
}

/// Returns the queries that were sent.
fn take_finds(sent: &Sent) -> Vec<Document> {
    let mut finds = std::mem::take(&mut *sent.lock());
    let queries = ["find", "findAndModify", "aggregate", "update"];
    finds.retain(|command| queries.iter().any(|query| command.contains_key(query)));
    finds
}

async fn assert_by_index(store: &Store, find: &Document) {
    let stages = stages(store, find).await;
    let by_index = [
        "IXSCAN",
        "IDHACK",
        "EXPRESS_IXSCAN",
        "EXPRESS_CLUSTERED_IXSCAN",
    ];
    let has = |names: &[&str]| stages.iter().any(|stage| names.contains(&stage.as_str()));
    assert!(has(&by_index), "{find}: {stages:?}");
    assert!(!has(&["SORT", "COLLSCAN"]), "{find}: {stages:?}");
}

#[tokio::test]
async fn every_query_of_a_long_conversation_has_a_short_range() {
    const LENGTH: i64 = 100_000;
    const PAGE: i64 = 100;
    let (store, sent) = recorded_store().await;
    let users = [user("c"), user("d")];
    messages::fill(store.database(), &users, LENGTH).await;
    let conversation = ConversationId::direct(&users[0], &users[1]);
    // One for each operation: the explanations take their time.
    let deadline = || Deadline::after(TIMEOUT);
    // A collection that does not exist has no plan.
    let other = store.append(&message("1"), Utc::now(), deadline()).await;
    store
        .record_reached(&other.expect("stored").entry, deadline())
        .await;
    let page = async |after, before| {
        let range = Range { after, before };
        let page = store.page(
            &conversation,
            View::Texts,
            range,
            PAGE as u32,
            |_| true,
            deadline(),
        );
        page.await.expect("a page").entries
    };

    // Without a record of a number that it has reached, then with one.
    for is_recorded in [false, true] {
        for (after, before, first) in [
            (None, None, LENGTH - PAGE + 1),
            (Some(0), None, 1),
            (Some(50_000), None, 50_001),
            (None, Some(50_000), 49_900),
            (Some(70_000), Some(70_500), 70_001),
            (Some(LENGTH - PAGE), None, LENGTH - PAGE + 1),
            (None, Some(i64::MAX), LENGTH - PAGE + 1),
            (Some(i64::MIN), None, 1),
        ] {
            sent.lock().clear();
            let numbers: Vec<i64> = page(after, before).await.iter().map(|m| m.seq).collect();
            assert_eq!(numbers, (first..first + PAGE).collect::<Vec<_>>());
            for find in take_finds(&sent) {
                for query in planned(&find) {
                    assert_by_index(&store, &query).await;
                }
                let in_range = documents_in_range(&store, &find).await;
                let is_short = in_range <= PAGE as u64 + 1 + 64;
                assert!(is_short, "recorded: {is_recorded}, {in_range}: {find}");
            }
        }
        let newest = page(None, None).await;
        let recorded = newest.iter().rfind(|entry| entry.seq % 64 == 1);
        let recorded = recorded.expect("one of 100");
        store.record_reached(recorded, deadline()).await;
    }
    sent.lock().clear();
    assert_listed(&store, &users, LENGTH, deadline()).await;
    assert_short_list(&store, take_finds(&sent)).await;
    store.database().drop().await.expect("dropped");
}

/// Checks the list of a user who has read nothing of a conversation, when its hint is a while old.
async fn assert_listed(store: &Store, users: &[UserId; 2], newest: i64, deadline: Deadline) {
    let [writer, reader] = users;
    let id = ConversationId::direct(writer, reader);
    let member = |user: &UserId| {
        doc! {
            "conversation_id": id.as_str(), "user_id": user.as_str(), "last_seq": newest - 500,
            "last_at": DateTime::from_millis(1),
        }
    };
    let members = store.database().collection::<Document>(MEMBERS);
    let inserted = members.insert_many(users.iter().map(member)).await;
    inserted.expect("inserted");
    let page = store.list(reader, None, 5, true, deadline).await;
    let listed = page.expect("a page").conversations;
    let ends = listed.iter().map(|it| (it.preview.seq, it.unread));
    assert_eq!(ends.collect::<Vec<_>>(), [(newest, 100)]);
}

/// Checks that the queries of a list read up to a thousand entries of a conversation each, by an index.
async fn assert_short_list(store: &Store, finds: Vec<Document>) {
    let queries = finds.iter().flat_map(planned);
    let of_log: Vec<Document> = queries
        .filter(|query| query.get_str("find").ok() == Some(MESSAGES))
        .collect();
    assert_eq!(of_log.len(), 2, "the end and the count: {of_log:?}");
    for query in of_log {
        assert_by_index(store, &query).await;
        let in_range = documents_in_range(store, &query).await;
        assert!(in_range <= 1_000, "{in_range}: {query}");
    }
}

/// Returns how many documents a database reads that does not stop at the limit of a query.
async fn documents_in_range(store: &Store, find: &Document) -> u64 {
    let collection = find.get_str("find").expect("a query");
    let filter = find.get_document("filter").expect("a filter").clone();
    let documents = store.database().collection::<Document>(collection);
    documents.count_documents(filter).await.expect("counted")
}

#[tokio::test]
async fn the_newest_message_is_read_from_the_number_that_is_known() {
    let (store, sent) = recorded_store().await;
    let deadline = Deadline::after(Duration::from_secs(20));
    // The lower bounds of the reads before the insert.
    let append = async |after: Option<i64>| {
        sent.lock().clear();
        let draft = Draft {
            after,
            ..message(&fastrand::u64(..).to_string())
        };
        let appended = store.append(&draft, Utc::now(), deadline).await;
        let mut sent = std::mem::take(&mut *sent.lock());
        let insert = sent.pop().expect("commands");
        assert!(insert.contains_key("insert"), "{insert}");
        let bound = |find: &Document| {
            let range = find.get_document("filter").expect("a filter").get("seq");
            range.map(|range| range.as_document().expect("operators").clone())
        };
        let bounds: Vec<Option<Document>> = sent.iter().map(bound).collect();
        (appended.expect("stored").entry.seq, bounds)
    };
    let at_least = |seq: i64| Some(doc! {"$gte": seq});
    // Nothing is known: a record is looked for, then one of some numbers.
    let (first, bounds) = append(None).await;
    let of_search = bounds[1].as_ref().expect("a condition");
    assert!(of_search.contains_key("$in"), "{of_search}");
    assert_eq!(
        (first, &bounds[..1], &bounds[2..]),
        (1, &[None][..], &[None][..])
    );
    assert_eq!(append(None).await, (2, vec![at_least(1)]));
    for small in [i64::MIN, 0, 1, 2] {
        let before = append(Some(small)).await;
        assert_eq!(before.1, [at_least(before.0 - 1)], "after {small}");
    }
    // A sender who claims too much gets the next number all the same.
    let bounds = vec![at_least(i64::MAX), at_least(6)];
    assert_eq!(append(Some(i64::MAX)).await, (7, bounds));
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn a_message_is_counted_by_one_operation_that_waits_for_no_other_server() {
    let (store, sent) = recorded_store().await;
    sent.lock().clear();
    for _first_and_second in 0..2 {
        let deadline = Deadline::after(Duration::from_secs(20));
        let taken = store
            .take_tokens(Limited::Messages, "a", 1, limit(), deadline)
            .await;
        taken.expect("counted");
    }
    let sent = std::mem::take(&mut *sent.lock());
    assert_eq!(sent.len(), 2, "{sent:?}");
    for command in sent {
        assert_eq!(command.get_str("findAndModify").ok(), Some("rate_limits"));
        let concern = command.get_document("writeConcern").expect("a concern");
        assert_eq!(concern.get_i32("w").ok(), Some(1), "{command}");
    }
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn a_connection_string_cannot_weaken_what_an_ack_means() {
    for weak in [
        "w=0",
        "w=1",
        "journal=true",
        "wtimeoutMS=100",
        "readPreference=secondary",
    ] {
        let uri = format!("mongodb://127.0.0.1:1/?{weak}");
        let options = client_options(&StoreConfig::new(&uri, "meetme"))
            .await
            .expect("options");
        let concern = options.write_concern.expect("a write concern");
        assert_eq!(concern.w, Some(Acknowledgment::Majority), "{weak}");
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        assert_eq!(options.selection_criteria, Some(primary), "{weak}");
    }
}
