//! The newest and the oldest page of a long conversation.

use std::time::Instant;

use hyper::Method;
use mongodb::bson::{Document, doc, oid::ObjectId};
use tests::Stack;
use tests::client::Http;

use crate::figures::Samples;

/// Messages of the conversation.
const MESSAGES: i64 = 100_000;

/// Requests for each page.
const ROUNDS: usize = 100;

/// Measures pages of 100.
pub async fn newest_and_oldest(stack: &Stack) {
    eprintln!("filling a conversation with {MESSAGES} messages …");
    let messages = stack.database.collection::<Document>("chat_messages");
    let message = |seq: i64| {
        doc! {
            "_id": ObjectId::new(), "conversation_id": "direct:1:a:b", "seq": seq,
            "sender_id": "a", "receiver_id": "b", "message": format!("message number {seq}"),
            "timestamp": "2026-11-22T11:15:03.123Z",
        }
    };
    let numbers: Vec<i64> = (1..=MESSAGES).collect();
    for batch in numbers.chunks(5_000) {
        let batch = batch.iter().copied().map(message);
        messages.insert_many(batch).await.expect("inserted");
    }
    let (mut newest, mut oldest) = (Samples::default(), Samples::default());
    let http = Http::default();
    for _ in 0..ROUNDS {
        for (samples, cursor, first) in [
            (&mut newest, "", MESSAGES - 99),
            (&mut oldest, "&after=0", 1),
        ] {
            let query = format!("user1=a&user2=b&limit=100{cursor}");
            let url = format!("{}/chat/history?{query}", stack.http);
            let start = Instant::now();
            let page = http.request(Method::GET, &url, vec![]).await;
            samples.add(start.elapsed());
            assert_eq!(page.messages()[0]["seq"], first);
        }
    }
    println!(
        "page of 100 from {MESSAGES}        newest {}; oldest {}; oldest / newest {:.2} at p50",
        newest.summary(),
        oldest.summary(),
        oldest.median_ms() / newest.median_ms()
    );
}
