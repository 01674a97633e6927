//! User ids of all kinds, through query, path and database.

use serde_json::json;
use tests::client::encode;
use tests::{Chat, Client};

const IDS: &[&str] = &[
    "prof+x@example.com",
    "a/b",
    "100%",
    "%2F",
    "a b",
    " ",
    "a:b",
    "1:a",
    "a&user_id=b",
    "a=b#c?d",
    "{\"$gt\":\"\"}",
    "學生",
    "أستاذ",
    "e\u{301}",
    "é",
    "😀",
    "a,b",
];

#[tokio::test]
async fn an_id_means_the_same_user_in_query_path_frame_and_history() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("sender").await;
    for id in IDS {
        let mut by_query = chat.connect(id).await;
        let path = format!("{}/ws/chat/{}", chat.ws, encode(id));
        let mut by_path = Client::connect(&path).await.expect("connected");

        assert_eq!(
            sender.send_message(id, "to you").await["status"],
            "delivered",
            "{id:?}"
        );
        assert_eq!(by_query.next().await["receiver_id"], *id);
        assert_eq!(by_path.next().await["receiver_id"], *id);

        by_path
            .send(&json!({"sender_id": id, "receiver_id": "sender", "message": "back"}))
            .await;
        assert_eq!(sender.next().await["sender_id"], *id);
        assert_eq!(by_query.next().await["message"], "back");

        for (user1, user2) in [("sender", *id), (*id, "sender")] {
            let texts: Vec<_> = chat.history(user1, user2, "").await.messages();
            let texts: Vec<_> = texts
                .iter()
                .map(|message| message["message"].clone())
                .collect();
            assert_eq!(
                texts,
                ["to you", "back"],
                "{id:?}: no other pair shares this conversation"
            );
        }
        by_query.close().await;
        by_path.close().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn links_of_the_history_keep_the_ids() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a b&c").await;
    for text in ["one", "two"] {
        sender.send_message("x+y/é", text).await;
    }
    let response = chat.history("a b&c", "x+y/é", "&limit=1").await;
    let link = response.link("prev").expect("there is an older page");
    let older = tests::get(&format!("{}/chat/history{link}", chat.http)).await;
    assert_eq!(older.messages()[0]["message"], "one");
    chat.stop().await;
}
