//! The operator's program, `chat-admin`, beside a running chat.
//!
//! - [`erase`]: the end of a user's texts
//! - [`export`]: all of a user
//! - [`token`]: why a token would be refused
//! - [`verify`]: the data, whole and damaged

mod erase;
mod export;
mod token;
mod verify;

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use local_gateway::process::ports::free_port;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::relay::{Fault, Relay};
use tests::{Chat, admin, in_time, server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::connections::leave_row;
use crate::groups::create;
use crate::retention::make_older;
use verify::acked;

/// Runs the program with JSON lines; checks its exit status and returns them.
async fn run(chat: &Chat, arguments: &[&str], status: i32) -> Vec<Value> {
    let arguments = [&["--json"], arguments].concat();
    let printed = admin::run(&mut admin::of(chat), &arguments).await;
    assert_eq!(printed.status, status, "{printed:?}");
    printed.lines()
}

/// Returns the reply to a user who may not do something.
fn refusal() -> Document {
    doc! {"ok": 0, "code": 13, "errmsg": "not authorized"}
}

#[tokio::test]
async fn a_user_who_is_kicked_loses_every_connection_at_once() {
    let chat = Chat::start().await;
    let (mut first, mut second) = (chat.connect("a").await, chat.connect_modern("a").await);
    let mut other = chat.connect("b").await;
    let online = run(&chat, &["online"], 0).await;
    let counts = |user: &str| {
        let mut found = online.iter().filter(|row| row["user_id"] == user);
        let found = found.next().expect("the user is online");
        (found["connections"].clone(), found["modern"].clone())
    };
    assert_eq!(counts("a"), (json!(2), json!(1)));
    assert_eq!(counts("b"), (json!(1), json!(0)));
    let listed = run(&chat, &["kick", "a"], 0).await;
    let (result, listed) = listed.split_last().expect("a result");
    assert!(listed.len() == 2 && listed.iter().all(|row| row["state"] == "open"));
    assert_eq!(*result, json!({"user_id": "a", "open": 2, "closed": 0}));
    first.expect_nothing().await;
    let kicked = run(&chat, &["kick", "a", "--confirm"], 0).await;
    assert_eq!(
        kicked.last(),
        Some(&json!({"user_id": "a", "open": 2, "closed": 2}))
    );
    in_time("the ends of both connections", async {
        first.rest().await;
        second.rest().await;
    })
    .await;
    other.expect_nothing().await;
    let online = run(&chat, &["online"], 0).await;
    assert!(online.iter().all(|row| row["user_id"] == "b"), "{online:?}");
    chat.stop().await;
}

/// Its row is there until `$disconnect` has run, and it is not told from one that is still opening.
#[tokio::test]
async fn a_connection_that_has_just_closed_does_not_fail_a_kick() {
    let chat = Chat::start().await;
    leave_row(&chat, "AAAAAAAAAAAAAAA=", "a", TimeDelta::zero()).await;
    let printed = admin::run(&mut admin::of(&chat), &["kick", "a", "--confirm"]).await;
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(
        printed.stdout.contains("1 connection closed"),
        "{printed:?}"
    );
    assert!(run(&chat, &["online"], 0).await.is_empty());
    chat.stop().await;
}

#[tokio::test]
async fn a_user_and_a_conversation_are_shown_without_texts_unless_asked() {
    let chat = Chat::start().await;
    let (mut a, _b) = (chat.connect("a").await, chat.connect("b").await);
    a.send_message("b", "xyzzy").await;
    let user = run(&chat, &["user", "b"], 0).await;
    assert_eq!(
        (&user[0]["user_id"], &user[0]["receipts"]),
        (&json!("b"), &json!(true))
    );
    assert_eq!(user[1]["state"], "open");
    assert_eq!(
        (&user[2]["with"], &user[2]["unread"]),
        (&json!("a"), &json!(1))
    );
    let conversation = run(&chat, &["conversation", "b", "a"], 0).await;
    let entry = conversation.last().expect("an entry");
    assert_eq!((&entry["seq"], &entry["bytes"]), (&json!(1), &json!(5)));
    for lines in [&user, &conversation] {
        assert!(!json!(lines).to_string().contains("xyzzy"), "{lines:?}");
    }
    let with_texts = run(&chat, &["conversation", "direct:1:a:b", "--texts"], 0).await;
    assert_eq!(with_texts.last().expect("an entry")["message"], "xyzzy");
    run(&chat, &["conversation", "a", "nobody"], 1).await;
    let table = admin::run(&mut admin::of(&chat), &["user", "b"]).await;
    assert!(table.stdout.contains("direct:1:a:b") && !table.stdout.contains("xyzzy"));
    chat.stop().await;
}

#[tokio::test]
async fn no_text_or_name_acts_on_the_terminal_of_the_operator() {
    let chat = Chat::start().await;
    let mut a = chat.connect_modern("a").await;
    let text = "\u{1b}]0;owned\u{7}\r\u{9b}2J\nfaked line\u{202e}\u{2028}";
    acked(
        &mut a,
        json!({"action": "sendMessage", "receiver_id": "b", "message": text}),
    )
    .await;
    acked(&mut a, create("Study\u{202e}group", &["b"], "")).await;
    let acts = |it: char| it != '\n' && (it.is_control() || "\u{202e}\u{2028}".contains(it));
    let escaped = r"\u{1b}]0;owned\u{7}\r\u{9b}2J\nfaked line\u{202e}\u{2028}";
    for (arguments, shown) in [
        (&["conversation", "a", "b", "--texts"][..], escaped),
        (&["user", "a"], r"Study\u{202e}group"),
        // An argument is shown too.
        (&["conversation", "\u{1b}c"], r"\u{1b}c has no entries"),
    ] {
        let printed = admin::run(&mut admin::of(&chat), arguments).await;
        let all = printed.stdout.clone() + &printed.stderr;
        assert!(all.contains(shown) && !all.contains(acts), "{printed:?}");
    }
    let as_json = run(&chat, &["conversation", "a", "b", "--texts"], 0).await;
    assert_eq!(as_json.last().expect("an entry")["message"], text);
    chat.stop().await;
}

#[tokio::test]
async fn a_user_of_whom_nothing_is_stored_is_told_from_one_who_has_set_nothing() {
    let chat = Chat::start().await;
    chat.connect("ana").await.send_message("ben", "m").await;
    let commands: [&[&str]; 4] = [
        &["user"],
        &["export"],
        &["erase"],
        // Makes no job.
        &["erase", "--confirm"],
    ];
    let ask = async |database: &str, command: &[&str], user: &str, status: i32| {
        let arguments = [command, &[user]].concat();
        let printed = admin::run(&mut admin::with(&chat.uri, database), &arguments).await;
        assert_eq!(printed.status, status, "{printed:?}");
        let unknown = format!("nothing is known of {user} in the database {database}");
        assert_eq!(
            printed.stderr.contains(&unknown),
            status == 1,
            "{printed:?}"
        );
        assert!(status == 0 || printed.stdout.is_empty(), "{printed:?}");
    };
    let database = chat.database.name();
    for command in commands {
        ask(database, command, "anna", 1).await;
        ask("typo", command, "ana", 1).await;
    }
    assert!(run(&chat, &["jobs"], 0).await.is_empty());

    let users = chat.database.collection::<Document>("users");
    let set = doc! {"_id": "dan", "receipts": false};
    users.insert_one(set).await.expect("inserted");
    for (flag, items) in [(&[][..], 5), (&["--keep-texts"], 6)] {
        let preview = run(&chat, &[&["erase", "ben"], flag].concat(), 0).await;
        let preview = preview.last().expect("a line");
        assert_eq!(
            (&preview["conversations"], &preview["keep_texts"]),
            (&json!(1), &json!(items == 6))
        );
        assert_eq!(preview["not_done"].as_array().map(Vec::len), Some(items));
    }
    // `ben` has only got a message, `dan` has only set something. Of him nothing is left then but the job.
    for user in ["ana", "ben", "dan"] {
        for command in commands {
            ask(database, command, user, 0).await;
        }
    }
    ask(database, &["user"], "dan", 1).await;
    ask(database, &["erase", "--confirm"], "dan", 0).await;
    chat.stop().await;
}

#[tokio::test]
async fn the_status_says_what_is_well_beside_a_database_that_fails() {
    let chat = Chat::start().await;
    let port = free_port().expect("a port");
    let nobody = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=100");
    let mut status = admin::of(&chat);
    status.env("MONGODB_URI", &nobody);
    let parts = admin::run(&mut status, &["--json", "status"]).await;
    assert_eq!((parts.status, parts.stderr.as_str()), (1, ""), "{parts:?}");
    let states: Vec<(Value, Value)> = parts
        .lines()
        .iter()
        .map(|it| (it["part"].clone(), it["state"].clone()))
        .collect();
    for (part, state) in [
        ("database", "wrong"),
        ("indexes", "unknown"),
        ("gateway", "good"),
        ("messages", "unknown"),
    ] {
        assert!(states.contains(&(json!(part), json!(state))), "{states:?}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_row_of_a_connection_that_cannot_be_read_is_named() {
    let chat = Chat::start().await;
    let connections = chat.database.collection::<Document>("connections");
    let row = doc! {"_id": "broken=", "user_id": 5};
    connections.insert_one(row).await.expect("inserted");
    let online = admin::run(&mut admin::of(&chat), &["online"]).await;
    assert_eq!(online.status, 2, "{online:?}");
    assert!(online.stderr.contains("broken="), "{online:?}");
    let parts = run(&chat, &["status"], 1).await;
    let mut of_connections = parts.iter().filter(|it| it["part"] == "connections");
    let part = of_connections.next().expect("a part");
    assert!(part["detail"].to_string().contains("broken="), "{part}");
    assert_eq!(part["state"], "wrong");
    chat.stop().await;
}

#[tokio::test]
async fn work_that_the_database_has_stopped_says_how_it_goes_on() {
    let chat = Chat::start().await;
    chat.connect("a").await.send_message("b", "m").await;
    make_older(&chat.database, doc! {}, TimeDelta::hours(1)).await;
    for (collection, arguments) in [
        (
            "conversations",
            &["retention", "--older-than", "0s", "--confirm"][..],
        ),
        ("jobs", &["erase", "a", "--confirm"]),
    ] {
        let relay = Relay::start(&chat.uri).await;
        // Some are tried twice.
        for _ in 0..2 {
            relay.fail("update", collection, Fault::Refuse(refusal()));
        }
        let mut command = admin::with(&relay.uri, chat.database.name());
        let printed = admin::run(&mut command, arguments).await;
        assert_eq!(printed.status, 2, "{printed:?}");
        for part in ["run it again to go on", "not authorized: infra/README.md"] {
            assert!(printed.stderr.contains(part), "{printed:?}");
        }
        assert!(!printed.stderr.contains(['{', '}']), "{printed:?}");
    }
    chat.stop().await;
}

/// As `head` does, which ends when it has its lines.
#[tokio::test]
async fn it_ends_quietly_when_nobody_reads_its_output() {
    let chat = Chat::start().await;
    chat.connect("a").await.send_message("b", "m").await;
    let closed = || std::io::pipe().expect("a pipe").1;
    for arguments in [
        &["export", "a"][..],
        &["--json", "user", "a"],
        &["conversation", "a", "b"],
        &["status"],
    ] {
        let mut command = admin::of(&chat);
        command.args(arguments).stdout(closed());
        let program = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let ended = in_time("its end", program.wait_with_output()).await;
        let ended = ended.expect("it ends");
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }
    // Sentences on standard error are not the result.
    for (arguments, status) in [(&["export", "a"][..], 0), (&["conversation", "a", "x"], 1)] {
        let mut command = admin::of(&chat);
        command.args(arguments).stdout(Stdio::null());
        let ended = in_time("its end", command.stderr(closed()).status()).await;
        assert_eq!(
            ended.expect("it ends").code(),
            Some(status),
            "{arguments:?}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn the_status_names_what_is_missing() {
    let chat = Chat::start().await;
    let states = async |status| {
        let parts = run(&chat, &["status"], status).await;
        let states = parts
            .iter()
            .map(|it| (it["part"].clone(), it["state"].clone()));
        states.collect::<Vec<_>>()
    };
    let asked = [
        "database",
        "indexes",
        "migration",
        "gateway",
        "connections",
        "messages",
    ];
    let first = states(0).await;
    for part in asked {
        assert!(first.contains(&(json!(part), json!("good"))), "{first:?}");
    }
    // Nobody has said who issues tokens.
    assert!(
        first.contains(&(json!("issuer"), json!("unknown"))),
        "{first:?}"
    );
    let messages = chat.database.collection::<Document>("chat_messages");
    let drop = messages.drop_index("conversation_id_1_seq_1");
    drop.await.expect("dropped");
    messages
        .insert_one(doc! {"message": "m"})
        .await
        .expect("inserted");
    let states = states(1).await;
    for part in ["indexes", "migration"] {
        assert!(
            states.contains(&(json!(part), json!("wrong"))),
            "{states:?}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn an_index_of_the_right_name_is_not_enough_and_none_is_missing_where_they_cannot_be_listed()
{
    let chat = Chat::start().await;
    let messages = chat.database.collection::<Document>("chat_messages");
    let drop = messages.drop_index("conversation_id_1_seq_1");
    drop.await.expect("dropped");
    let name = IndexOptions::builder().name("conversation_id_1_seq_1".to_owned());
    let index = IndexModel::builder().keys(doc! {"conversation_id": 1, "seq": 1});
    let index = index.options(name.build()).build();
    messages.create_index(index).await.expect("made");
    let indexes = |parts: Vec<Value>| {
        let mut parts = parts.into_iter();
        let part = parts.find(|it| it["part"] == "indexes").expect("a part");
        let detail = part["detail"].as_str().expect("text").to_owned();
        (part["state"].clone(), detail)
    };
    let (state, detail) = indexes(run(&chat, &["status"], 1).await);
    assert!(
        state == "wrong" && detail.contains("drop it and run the migration"),
        "{detail}"
    );

    let relay = Relay::start(&chat.uri).await;
    let refused =
        doc! {"ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": "not authorized"};
    relay.fail("listIndexes", "chat_messages", Fault::Refuse(refused));
    let mut command = admin::with(&relay.uri, chat.database.name());
    let printed = admin::run(&mut command, &["--json", "status"]).await;
    let (state, detail) = indexes(printed.lines());
    assert!(
        state == "unknown" && detail.contains("not authorized"),
        "{detail}"
    );
    chat.stop().await;
}

#[tokio::test]
async fn new_entries_are_printed_once_without_texts_until_ctrl_c() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    a.send_message("b", "before").await;
    let relay = Relay::start(&chat.uri).await;
    let mut command = admin::with(&relay.uri, chat.database.name());
    command
        .args(["tail", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = command.kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let mut warnings = BufReader::new(program.stderr.take().expect("piped")).lines();
    // The one from before is not printed. How long the start takes is not known.
    let first = in_time("a line", async {
        loop {
            a.send_message("b", "xyzzy").await;
            let next = timeout(Duration::from_secs(2), lines.next_line()).await;
            if let Ok(line) = next {
                break line.expect("read").expect("a line");
            }
        }
    });
    let first: Value = serde_json::from_str(&first.await).expect("JSON");
    assert!(
        first["seq"].as_i64() > Some(1) && first["bytes"] == 5,
        "{first}"
    );
    // After a look that fails it goes on, and leaves nothing out.
    relay.fail("find", "chat_messages", Fault::Refuse(refusal()));
    let warning = in_time("a warning", warnings.next_line()).await;
    let warning = warning.expect("read").expect("a line");
    assert!(warning.contains("not authorized"), "{warning}");
    a.send_message("c", "last").await;
    let mut all = vec![first];
    in_time("the last entry", async {
        while all.last().expect("one")["conversation_id"] != "direct:1:a:c" {
            let line = lines.next_line().await.expect("read").expect("a line");
            all.push(serde_json::from_str(&line).expect("JSON"));
        }
    })
    .await;
    let seqs: Vec<i64> = all.iter().filter_map(|line| line["seq"].as_i64()).collect();
    assert!(
        seqs[..seqs.len() - 1].is_sorted_by(|a, b| a < b),
        "{seqs:?}"
    );
    assert!(!json!(all).to_string().contains("xyzzy"));
    let pid = program.id().expect("it runs").cast_signed();
    kill_process(Pid::from_raw(pid).expect("an id"), Signal::INT).expect("sent");
    let status = in_time("its end", program.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
    chat.stop().await;
}

#[tokio::test]
async fn who_comes_and_who_leaves_is_printed_until_ctrl_c() {
    let chat = Chat::start().await;
    let _a = chat.connect("a").await;
    let mut command = admin::of(&chat);
    command
        .args(["online", "--watch", "--json"])
        .stdout(Stdio::piped());
    let mut program = command.kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let mut next = async || {
        let line = in_time("a line", lines.next_line()).await;
        let line = line.expect("read").expect("a line");
        let change: Value = serde_json::from_str(&line).expect("JSON");
        let text = |field: &str| change[field].as_str().expect("text").to_owned();
        (text("user_id"), text("event"))
    };
    let change = |user: &str, event: &str| (user.to_owned(), event.to_owned());
    assert_eq!(next().await, change("a", "came"));
    let b = chat.connect("b").await;
    assert_eq!(next().await, change("b", "came"));
    b.close().await;
    assert_eq!(next().await, change("b", "left"));
    let pid = program.id().expect("it runs").cast_signed();
    kill_process(Pid::from_raw(pid).expect("an id"), Signal::INT).expect("sent");
    let status = in_time("its end", program.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
    chat.stop().await;
}

/// Records a connection that nobody has, and that ends at a time.
async fn record_ghost(chat: &Chat, id: &str, ends_in: TimeDelta) {
    let connections = chat.database.collection::<Document>("connections");
    let found = connections.find_one(doc! {}).await.expect("read");
    let mut row = found.expect("the row of a live one");
    let date = |time: DateTime<Utc>| mongodb::bson::DateTime::from_millis(time.timestamp_millis());
    row.insert("_id", id);
    row.insert("connected_at", date(Utc::now() - TimeDelta::hours(1)));
    row.insert("expires_at", date(Utc::now() + ends_in));
    connections.insert_one(row).await.expect("inserted");
}

#[tokio::test]
async fn rows_of_connections_that_are_gone_are_found_and_deleted_if_that_is_confirmed() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    record_ghost(&chat, "AAAAAAAAAAAAAAA=", TimeDelta::hours(1)).await;
    let counts = |gone: u64, deleted: u64| {
        vec![json!({"open": 1, "gone": gone, "unknown": 0, "deleted": deleted})]
    };
    assert_eq!(run(&chat, &["sweep"], 0).await, counts(1, 0));
    assert_eq!(run(&chat, &["sweep", "--confirm"], 0).await, counts(1, 1));
    assert_eq!(run(&chat, &["sweep"], 0).await, counts(0, 0));
    a.expect_nothing().await;

    // The database would delete it itself.
    let connections = chat.database.collection::<Document>("connections");
    connections
        .drop_index("expires_at_1")
        .await
        .expect("dropped");
    record_ghost(&chat, "BBBBBBBBBBBBBBA=", -TimeDelta::hours(1)).await;
    let found = run(&chat, &["verify"], 1).await;
    assert_eq!(
        verify::damages(found),
        [
            json!({"connection_id": "BBBBBBBBBBBBBBA=", "damage": "connection_ended", "repair": "possible"})
        ]
    );
    let repaired = run(&chat, &["verify", "--repair", "--confirm"], 0).await;
    assert_eq!(repaired[0]["repair"], "repaired");
    run(&chat, &["verify"], 0).await;
    chat.stop().await;
}

#[tokio::test]
async fn ctrl_c_ends_long_work_that_waits_for_the_database() {
    let chat = Chat::start().await;
    chat.connect("a").await.send_message("b", "m").await;
    for (collection, arguments) in [
        ("users", &["export", "a"][..]),
        ("chat_messages", &["verify"]),
        ("chat_messages", &["tail"]),
        ("connections", &["online", "--watch"]),
        (
            "chat_messages",
            &["retention", "--older-than", "0s", "--confirm"],
        ),
        ("chat_messages", &["erase", "a", "--confirm"]),
        ("connections", &["sweep"]),
    ] {
        let relay = Relay::start(&chat.uri).await;
        let mut command = admin::with(&relay.uri, chat.database.name());
        command.env("MANAGEMENT_ENDPOINT", chat.management_endpoint());
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        relay.fail("find", collection, Fault::Hang);
        let mut program = command.kill_on_drop(true).spawn().expect("it starts");
        in_time("a query", async {
            while !relay.take().contains_key("find") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let pid = Pid::from_raw(program.id().expect("it runs").cast_signed()).expect("an id");
        let status = in_time("its end", async {
            loop {
                // Twice: work that changes something ends after its step, or at once if that is asked again.
                kill_process(pid, Signal::INT).expect("sent");
                if let Ok(status) = timeout(Duration::from_millis(200), program.wait()).await {
                    break status.expect("it ends");
                }
            }
        })
        .await;
        assert!(
            matches!(status.code(), Some(0 | 2)),
            "{arguments:?}: {status}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn the_limits_of_a_user_are_shown_and_filled_if_that_is_confirmed() {
    // It takes hours to be full again.
    let rate = ["MessageRate=0.001", "MessageBurst=100"];
    let chat = Chat::with().parameters(&rate).start().await;
    let mut a = chat.connect("a").await;
    for _ in 0..12 {
        a.send_message("b", "m").await;
    }
    let is_used = |rows: &[Value]| {
        let mut messages = rows.iter().filter(|row| row["limit"] == "messages");
        messages.next().expect("a row")["full_at"].is_string()
    };
    for (flags, used_after) in [(&["--reset"][..], true), (&["--reset", "--confirm"], false)] {
        let arguments = [&["limit", "a"], flags].concat();
        let printed = run(&chat, &arguments, 0).await;
        assert!(is_used(&printed));
        let filled = json!({"id": "a", "filled": !used_after});
        assert_eq!(printed.last(), Some(&filled));
        assert_eq!(is_used(&run(&chat, &["limit", "a"], 0).await), used_after);
    }
    let of_group = run(&chat, &["limit", "group:0123456789012345678901"], 0).await;
    assert_eq!(of_group, [json!({"limit": "entries", "full_at": null})]);
    chat.stop().await;
}

#[tokio::test]
async fn what_cannot_be_told_is_status_2_with_the_reason() {
    let port = free_port().expect("a port");
    let nobody = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=100");
    for arguments in [
        &["user", "a"][..],
        &["online"],
        &["online", "--watch"],
        &["kick", "a"],
        &["conversation", "a", "b"],
        &["tail"],
        &["limit", "a"],
        &["export", "a"],
        &["erase", "a", "--confirm"],
        &["jobs"],
        &["retention", "--older-than", "1d", "--confirm"],
        &["sweep"],
    ] {
        let printed = admin::run(&mut admin::with(&nobody, "d"), arguments).await;
        assert_eq!(printed.status, 2, "{printed:?}");
        assert!(
            printed.stderr.contains("ping of the database failed"),
            "{printed:?}"
        );
        assert!(printed.stderr.contains("is it up"), "{printed:?}");
        assert!(!printed.stderr.contains(['{', '}']), "{printed:?}");
    }
    for (uri, reason) in [
        (nobody.as_str(), "ping of the database failed"),
        ("mongodb://127.0.0.1/?retryWrites=maybe", "MONGODB_URI"),
        ("nonsense", "MONGODB_URI"),
    ] {
        let printed = admin::run(&mut admin::with(uri, "d"), &["verify"]).await;
        assert_eq!(printed.status, 2, "{printed:?}");
        assert!(printed.stderr.contains(reason), "{printed:?}");
    }
    let (uri, name) = (server::uri().await, server::database_name());
    for (arguments, reason) in [
        (vec!["kick", "a"], "MANAGEMENT_ENDPOINT"),
        (vec!["user", ""], "user id"),
        (vec!["online", "--since", "5"], "5m"),
        (vec!["conversation", "a", "b", "c"], "names"),
        (vec!["verify", "--confirm"], "--repair"),
        (vec!["retention", "--older-than", "year"], "a number with"),
        (vec!["retention"], "--older-than"),
        (vec!["erase", ""], "user id"),
        (vec!["limit", ""], "user id"),
        (vec!["limit", "group:nosuch"], "no id of a group"),
    ] {
        let printed = admin::run(&mut admin::with(uri, &name), &arguments).await;
        assert_eq!(printed.status, 2, "{printed:?}");
        assert!(
            printed
                .stderr
                .to_lowercase()
                .contains(&reason.to_lowercase()),
            "{printed:?}"
        );
    }
    let mut nowhere = admin::with("", "d");
    let printed = admin::run(nowhere.current_dir("/"), &["online"]).await;
    assert!(
        printed.status == 2 && printed.stderr.contains("cargo local"),
        "{printed:?}"
    );
}
