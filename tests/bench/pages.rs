//! Pages of long conversations, and sends into them, beside a short one.

use std::time::Instant;

use chat::UserId;
use hyper::Method;
use serde_json::Value;
use tests::client::{Client, Http};
use tests::{Chat, messages};

use crate::figures::{Report, Samples};

/// Messages of the conversations. The first one is what the others are compared with.
const LENGTHS: [i64; 3] = [100, 100_000, 1_000_000];

/// Messages that are sent before, so that each conversation has a record of a number that it has reached.
const SENT_BEFORE: i64 = 64;

/// Requests for each page, and sends.
const ROUNDS: usize = 200;

/// Messages of a page.
const PAGE: i64 = 100;

/// Measures the newest page, the oldest one and a send, in turn in each conversation.
pub async fn of_long_conversations(stack: &Chat, report: Report) {
    let mut conversations = Vec::new();
    for length in LENGTHS {
        conversations.push(Conversation::fill(stack, length).await);
    }
    for _ in 0..ROUNDS {
        for conversation in &mut conversations {
            conversation.read_newest().await;
            conversation.read_oldest().await;
            let sent = Instant::now();
            conversation.send().await;
            conversation.sends.add(sent.elapsed());
        }
    }
    let (short, long) = conversations.split_first().expect("there are some");
    short.print(report);
    for conversation in long {
        conversation.print(report);
        conversation.print_ratios(short, report);
    }
}

/// A conversation of a user with somebody who is not connected.
struct Conversation {
    length: i64,
    /// The number of the newest message.
    newest: i64,
    history: String,
    receiver: String,
    sender: Client,
    http: Http,
    newest_pages: Samples,
    oldest_pages: Samples,
    sends: Samples,
}

impl Conversation {
    async fn fill(stack: &Chat, length: i64) -> Self {
        eprintln!("filling a conversation with {length} messages …");
        let users = [format!("a{length}"), format!("b{length}")];
        let ids = users.clone().map(UserId::try_from);
        let ids = ids.map(|id| id.expect("a valid id"));
        messages::fill(&stack.database, &ids, length).await;
        let [sender, receiver] = users;
        let mut conversation = Self {
            length,
            newest: length,
            history: format!(
                "{}/chat/history?user1={sender}&user2={receiver}",
                stack.http
            ),
            receiver,
            sender: stack.connect(&sender).await,
            http: Http::default(),
            newest_pages: Samples::default(),
            oldest_pages: Samples::default(),
            sends: Samples::default(),
        };
        for _ in 0..SENT_BEFORE {
            conversation.send().await;
        }
        conversation
    }

    async fn read_newest(&mut self) {
        let start = Instant::now();
        let page = self.read("").await;
        self.newest_pages.add(start.elapsed());
        assert_eq!(page[0]["seq"], self.newest - PAGE + 1);
    }

    async fn read_oldest(&mut self) {
        let start = Instant::now();
        let page = self.read("&after=0").await;
        self.oldest_pages.add(start.elapsed());
        assert_eq!(page[0]["seq"], 1);
    }

    /// Returns the messages of a page.
    async fn read(&self, cursor: &str) -> Vec<Value> {
        let url = format!("{}&limit={PAGE}{cursor}", self.history);
        let page = self.http.request(Method::GET, &url, vec![]).await;
        let messages = page.messages();
        assert_eq!(messages.len(), PAGE as usize);
        messages
    }

    async fn send(&mut self) {
        let text = crate::messages::TEXT;
        let ack = self.sender.send_message(&self.receiver, text).await;
        self.newest += 1;
        assert_eq!(ack["seq"], self.newest);
    }

    fn print(&self, report: Report) {
        report.row(
            format_args!("conversation of {}", self.length),
            format_args!(
                "newest page of {PAGE} {}; oldest {}; send to ack {}",
                self.newest_pages.summary(),
                self.oldest_pages.summary(),
                self.sends.summary()
            ),
        );
    }

    fn print_ratios(&self, short: &Self, report: Report) {
        let ratio = |long: &Samples, short: &Samples| long.median_ms() / short.median_ms();
        report.row(
            format_args!("the same / one of {}, p50", short.length),
            format_args!(
                "newest page {:.2}, oldest {:.2}, send {:.2}",
                ratio(&self.newest_pages, &short.newest_pages),
                ratio(&self.oldest_pages, &short.oldest_pages),
                ratio(&self.sends, &short.sends)
            ),
        );
    }
}
