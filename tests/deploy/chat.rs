//! A deployed chat, as its outputs name it.

use serde_json::Value;
use tests::client::{Answer, encode};
use tests::ministack::MiniStack;
use tests::{Client, get};

/// The URLs of a stack.
pub struct Chat {
    /// Where WebSocket clients connect, without a query.
    pub websocket_url: String,
    /// Where the history is, without a query.
    pub history_url: String,
}

impl Chat {
    /// The chat of a stack that is deployed.
    pub async fn of(emulator: &MiniStack, stack: &str) -> Self {
        let answer = emulator
            .aws(&["cloudformation", "describe-stacks", "--stack-name", stack])
            .await;
        let outputs = answer["Stacks"][0]["Outputs"].as_array();
        let outputs = outputs.expect("the stack has outputs");
        let output = |key: &str| {
            let found = outputs.iter().find(|output| output["OutputKey"] == key);
            let value = found.and_then(|output| output["OutputValue"].as_str());
            value.expect("the stack has this output").to_owned()
        };
        Self {
            websocket_url: output("WebSocketUrl"),
            history_url: output("HistoryUrl"),
        }
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        let url = format!("{}?user_id={}", self.websocket_url, encode(user_id));
        Client::connect(&url).await.expect("the handshake succeeds")
    }

    /// The history of two users, with further `parameters` (`&limit=10`).
    pub async fn history(&self, user1: &str, user2: &str, parameters: &str) -> Answer {
        let (user1, user2) = (encode(user1), encode(user2));
        let query = format!("user1={user1}&user2={user2}{parameters}");
        get(&format!("{}?{query}", self.history_url)).await
    }

    /// The numbers and texts of all messages of two users, walked to the oldest by links, in order.
    pub async fn log(&self, user1: &str, user2: &str) -> Vec<(i64, String)> {
        let mut answer = self.history(user1, user2, "&limit=7").await;
        let mut log = entries(&answer);
        while let Some(query) = answer.link("prev") {
            answer = get(&format!("{}{query}", self.history_url)).await;
            log.splice(0..0, entries(&answer));
        }
        log
    }
}

/// The numbers and texts of a page.
fn entries(answer: &Answer) -> Vec<(i64, String)> {
    let entry = |message: &Value| {
        let seq = message["seq"].as_i64().expect("a number");
        let text = message["message"].as_str().expect("a text");
        (seq, text.to_owned())
    };
    answer.messages().iter().map(entry).collect()
}
