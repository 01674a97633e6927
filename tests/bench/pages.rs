//! The pages of a long conversation.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use mongodb::bson::{Document, doc, oid::ObjectId};
use tests::Chat;
use tests::client::Http;

use crate::figures::Samples;

/// Messages in the conversation.
const MESSAGES: i64 = 100_000;

/// Requests for each page.
const ROUNDS: usize = 100;

/// Messages of a page.
const PAGE: i64 = 100;

/// Pages to read from one end.
const WALK: usize = 10;

/// Time limit of a walk. A database that reads the whole conversation for any page takes seconds for
/// each.
const WALK_TIME: Duration = Duration::from_secs(40);

/// Measures the newest and the oldest page of a conversation.
pub async fn newest_and_oldest(stack: &Chat) {
    fill(stack, MESSAGES).await;
    let (mut newest, mut oldest) = (Samples::default(), Samples::default());
    let http = Http::default();
    for _ in 0..ROUNDS {
        for (samples, cursor, first) in [
            (&mut newest, "", MESSAGES - PAGE + 1),
            (&mut oldest, "&after=0", 1),
        ] {
            let query = format!("?user1=a&user2=b&limit={PAGE}{cursor}");
            let url = format!("{}/chat/history{query}", stack.http);
            let start = Instant::now();
            let page = http.request(Method::GET, &url, vec![]).await;
            samples.add(start.elapsed());
            assert_eq!(page.messages()[0]["seq"], first);
        }
    }
    println!(
        "page of {PAGE} from {MESSAGES}        newest {}; oldest {}; oldest / newest {:.2} at p50",
        newest.summary(),
        oldest.summary(),
        oldest.median_ms() / newest.median_ms()
    );
}

/// Inserts `count` messages into the conversation of the users `a` and `b`.
pub async fn fill(stack: &Chat, count: i64) {
    eprintln!("filling a conversation with {count} messages …");
    let messages = stack.database.collection::<Document>("chat_messages");
    let message = |seq: i64| {
        doc! {
            "_id": ObjectId::new(), "conversation_id": "direct:1:a:b", "seq": seq,
            "sender_id": "a", "receiver_id": "b", "message": format!("message number {seq}"),
            "timestamp": "2026-11-22T11:15:03.123Z",
        }
    };
    let numbers: Vec<i64> = (1..=count).collect();
    for batch in numbers.chunks(5_000) {
        let batch = batch.iter().copied().map(message);
        messages.insert_many(batch).await.expect("inserted");
    }
}

/// Reads pages from both ends of that conversation, by the links of the responses.
pub async fn walk(stack: &Chat, count: i64) {
    let newest = Walk::from(stack, "", "prev", (count - PAGE + 1, -PAGE)).await;
    let oldest = Walk::from(stack, "&after=0", "next", (1, PAGE)).await;
    println!(
        "pages of {PAGE} from {count}        from the newest: {}; from the oldest: {}",
        newest.summary(),
        oldest.summary()
    );
    if newest.pages.len() > 0 && oldest.pages.len() > 0 {
        let ratio = oldest.pages.median_ms() / newest.pages.median_ms();
        println!("oldest / newest                  {ratio:.2} at p50");
    }
}

/// Times of pages that were read one after another.
struct Walk {
    pages: Samples,
    /// Reason why not all pages were read.
    end: Option<String>,
}

impl Walk {
    /// Starts at a `cursor` and follows the links with a `relation`. The first page begins with the
    /// first of `numbers`, each next page with a number that is larger by the second.
    async fn from(stack: &Chat, cursor: &str, relation: &str, numbers: (i64, i64)) -> Self {
        let (mut first, step) = numbers;
        let mut query = format!("?user1=a&user2=b&limit={PAGE}{cursor}");
        let mut pages = Samples::default();
        let (http, walk) = (Http::default(), Instant::now());
        while pages.len() < WALK {
            let url = format!("{}/chat/history{query}", stack.http);
            let start = Instant::now();
            let page = http.request(Method::GET, &url, vec![]).await;
            let took = start.elapsed();
            let end = match page.status {
                StatusCode::OK if walk.elapsed() < WALK_TIME => None,
                StatusCode::OK => Some("then the time was over".to_owned()),
                refused => Some(format!("then {refused} after {:.1} s", took.as_secs_f64())),
            };
            if page.status == StatusCode::OK {
                assert_eq!(page.messages()[0]["seq"], first);
                pages.add(took);
            }
            if end.is_some() {
                return Self { pages, end };
            }
            first += step;
            query = page.link(relation).expect("the conversation goes on");
        }
        Self { pages, end: None }
    }

    /// Returns `10 pages, p50 1.23 ms, p99 4.56 ms`.
    fn summary(&self) -> String {
        let times = match self.pages.len() {
            0 => "no page".to_owned(),
            count => format!("{count} pages, {}", self.pages.summary()),
        };
        let end = self.end.iter().map(|end| format!(", {end}"));
        times + &end.collect::<String>()
    }
}
