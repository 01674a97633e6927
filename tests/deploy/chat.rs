//! A deployed chat, as its outputs name it.

use hyper::StatusCode;
use serde_json::Value;
use tests::Client;
use tests::client::{HttpResponse, encode, get_as};
use tests::issuer::Issuer;
use tests::ministack::MiniStack;
use tests::page;

/// The URLs of a stack, and the issuer of its users' tokens.
pub struct Chat {
    /// Where WebSocket clients connect, without a query.
    pub websocket_url: String,
    /// Where the history is, without a query.
    pub history_url: String,
    /// Where the page is.
    pub page_url: String,
    /// The log group of its functions.
    pub function_logs: String,
    /// Whose tokens it takes.
    pub issuer: Issuer,
}

impl Chat {
    /// The chat of a stack that is deployed.
    pub async fn of(emulator: &MiniStack, stack: &str, issuer: &Issuer) -> Self {
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
            page_url: output("PageUrl"),
            function_logs: output("FunctionLogs"),
            issuer: issuer.clone(),
        }
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        let token = self.issuer.token(user_id);
        let connected = connect_as(&token, &self.url_of(user_id)).await;
        connected.expect("the handshake succeeds")
    }

    /// Where a user connects.
    pub fn url_of(&self, user_id: &str) -> String {
        format!("{}?user_id={}", self.websocket_url, encode(user_id))
    }

    /// What the page is told.
    pub async fn page_config(&self) -> Value {
        let files = page::load(&self.page_url).await;
        let files = files.expect("the page and what it loads are served");
        files[page::CONFIG].json()
    }

    /// The history of two users, as the first of them sees it, with further `parameters`
    /// (`&limit=10`).
    pub async fn history(&self, user1: &str, user2: &str, parameters: &str) -> HttpResponse {
        self.history_as(user1, [user1, user2], parameters).await
    }

    /// The history of two users, as a third one sees it.
    pub async fn history_as(
        &self,
        user_id: &str,
        [user1, user2]: [&str; 2],
        parameters: &str,
    ) -> HttpResponse {
        let (user1, user2) = (encode(user1), encode(user2));
        let query = format!("?user1={user1}&user2={user2}{parameters}");
        self.page(user_id, &query).await
    }

    async fn page(&self, user_id: &str, query: &str) -> HttpResponse {
        let token = self.issuer.token(user_id);
        get_as(&token, &format!("{}{query}", self.history_url)).await
    }

    /// The numbers and texts of all messages of two users, walked to the oldest by links, in order.
    pub async fn log(&self, user1: &str, user2: &str) -> Vec<(i64, String)> {
        let mut answer = self.history(user1, user2, "&limit=7").await;
        let mut log = entries(&answer);
        while let Some(query) = answer.link("prev") {
            answer = self.page(user1, &query).await;
            log.splice(0..0, entries(&answer));
        }
        log
    }
}

/// Opens a socket with a token in the header.
///
/// # Errors
///
/// The handshake is refused: the status.
pub async fn connect_as(token: &str, url: &str) -> Result<Client, StatusCode> {
    let bearer = format!("Bearer {token}");
    let opened = Client::connect_with(url, &[("authorization", &bearer)]).await;
    opened.map(|(client, _)| client)
}

/// The numbers and texts of a page.
fn entries(answer: &HttpResponse) -> Vec<(i64, String)> {
    let entry = |message: &Value| {
        let seq = message["seq"].as_i64().expect("a number");
        let text = message["message"].as_str().expect("a text");
        (seq, text.to_owned())
    };
    answer.messages().iter().map(entry).collect()
}
