//! `chat-admin export`: all of a user, and nothing of others unless asked.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client::request;
use tests::{Chat, admin};

use super::run;
use super::verify::{acked, direct};
use crate::groups::{create, frame};

/// Returns the entries of an export: their conversations and texts.
fn texts(lines: &[Value]) -> Vec<(String, String)> {
    let text = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
    let entries = lines.iter().filter(|line| line["record"] == "entry");
    entries
        .map(|it| (text(it, "conversation_id"), text(it, "message")))
        .collect()
}

#[tokio::test]
async fn it_has_all_of_a_user_and_of_others_what_the_user_may_read_if_asked() {
    let chat = Chat::start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    direct(&mut a, "b").await;
    direct(&mut a, "c").await;
    let reply = json!({"action": "sendMessage", "receiver_id": "a", "message": "reply"});
    acked(&mut b, reply).await;
    let group = acked(&mut a, create("Study group", &["c"], "")).await;
    let text = |text: &str| frame("sendMessage", &group, json!({"message": text}));
    acked(&mut a, text("before")).await;
    acked(&mut a, frame("invite", &group, json!({"users": ["b"]}))).await;
    acked(&mut a, text("while")).await;
    acked(&mut b, text("own")).await;
    acked(
        &mut a,
        frame("removeMember", &group, json!({"user_id": "b"})),
    )
    .await;
    acked(&mut a, text("after")).await;

    let own = run(&chat, &["export", "b"], 0).await;
    assert_eq!(
        (&own[0]["record"], &own[0]["user_id"]),
        (&json!("user"), &json!("b"))
    );
    assert_eq!(own[1]["record"], "connection");
    let mut found = texts(&own);
    found.sort();
    let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    assert_eq!(found, [pair("direct:1:a:b", "reply"), pair(&group, "own")]);
    let groups: Vec<&Value> = own
        .iter()
        .filter(|it| it["title"] == "Study group")
        .collect();
    let [membership] = groups.as_slice() else {
        panic!("one group: {own:?}");
    };
    assert_eq!(
        (&membership["joined_seq"], &membership["left_seq"]),
        (&json!(3), &json!(6))
    );

    let all = texts(&run(&chat, &["export", "b", "--conversations"], 0).await);
    let of_group = all.iter().filter(|(id, _)| *id == group);
    let of_group: Vec<&str> = of_group.map(|(_, text)| text.as_str()).collect();
    assert_eq!(of_group, ["", "while", "own", ""]);
    let direct = all.iter().filter(|(id, _)| id == "direct:1:a:b");
    let direct: Vec<&str> = direct.map(|(_, text)| text.as_str()).collect();
    assert_eq!(direct, ["first", "", "three", "first", "", "reply"]);
    assert!(all.iter().all(|(id, _)| *id != "direct:1:a:c"));
    let summary = admin::run(&mut admin::of(&chat), &["export", "nobody"]).await;
    assert_eq!((summary.lines().len(), summary.status), (0, 1));
    chat.stop().await;
}

#[tokio::test]
async fn what_a_blocked_user_wrote_is_withheld_from_the_export_of_who_blocks() {
    let chat = Chat::start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let to_b = json!({"action": "sendMessage", "receiver_id": "b", "message": "before"});
    acked(&mut a, to_b.clone()).await;
    let url = format!("{}/chat/conversations?user=b", chat.http);
    let block = json!({"peer_id": "a", "blocked": true, "muted": true}).to_string();
    let response = request(Method::PUT, &url, block.into()).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
    acked(&mut a, to_b).await;
    b.next().await;
    let lines = run(&chat, &["export", "b", "--conversations"], 0).await;
    let found: Vec<String> = texts(&lines).into_iter().map(|it| it.1).collect();
    assert_eq!(found, ["before", ""]);

    // Why `b` gets nothing from `a` is seen in the export, by the user, and by the conversation.
    let is_set = |lines: &[Value]| {
        let mut set = lines.iter();
        set.any(|it| it["muted"] == true && it["blocked"] == true)
    };
    assert!(is_set(&lines), "{lines:?}");
    assert_eq!(lines[0]["blocks"], json!(["a"]));
    let withheld = |it: &&Value| it["withheld"] == json!([2]);
    assert_eq!(lines.iter().filter(withheld).count(), 1, "{lines:?}");
    let user = run(&chat, &["user", "b"], 0).await;
    assert!(
        is_set(&user) && user[0]["blocks"] == json!(["a"]),
        "{user:?}"
    );
    let members = run(&chat, &["conversation", "a", "b"], 0).await;
    let of = |user: &str| {
        let mut rows = members.iter().filter(|row| row["user_id"] == user);
        let row = rows.next().expect("a row");
        (row["muted"].clone(), row["blocked"].clone())
    };
    assert_eq!(of("b"), (json!(true), json!(true)));
    assert_eq!(of("a"), (json!(false), json!(false)));
    chat.stop().await;
}
