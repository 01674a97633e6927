//! A deployed chat, found by the outputs of its stack.

use hyper::StatusCode;
use serde_json::Value;
use tests::Client;
use tests::client::{HttpResponse, encode, get_as};
use tests::issuer::Issuer;
use tests::ministack::MiniStack;
use tests::page;

/// The URLs of a stack, and the issuer of its users' tokens.
pub struct Chat {
    /// The URL for WebSocket clients, without a query.
    pub websocket_url: String,
    /// The URL of the history, without a query.
    pub history_url: String,
    /// The URL of the page.
    pub page_url: String,
    /// The log group of the functions.
    pub function_logs: String,
    /// The issuer of the tokens that the chat accepts.
    pub issuer: Issuer,
}

impl Chat {
    /// Reads the outputs of a deployed stack.
    pub async fn of(emulator: &MiniStack, stack: &str, issuer: &Issuer) -> Self {
        let response = emulator
            .aws(&["cloudformation", "describe-stacks", "--stack-name", stack])
            .await;
        let outputs = response["Stacks"][0]["Outputs"].as_array();
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

    /// Returns the URL at which a user connects.
    pub fn url_of(&self, user_id: &str) -> String {
        format!("{}?user_id={}", self.websocket_url, encode(user_id))
    }

    /// Returns the settings of the page.
    pub async fn page_config(&self) -> Value {
        let files = page::load(&self.page_url).await;
        let files = files.expect("the page and what it loads are served");
        files[page::CONFIG].json()
    }

    /// Requests the history of two users with a token of the first, and further `parameters`
    /// (`&limit=10`).
    pub async fn history(&self, user1: &str, user2: &str, parameters: &str) -> HttpResponse {
        self.history_as(user1, [user1, user2], parameters).await
    }

    /// Requests the history of two users with a token of `user_id`.
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

    /// Returns the numbers and texts of all messages of two users, oldest first. Follows the links
    /// to the oldest page.
    pub async fn log(&self, user1: &str, user2: &str) -> Vec<(i64, String)> {
        let mut response = self.history(user1, user2, "&limit=7").await;
        let mut log = entries(&response);
        while let Some(query) = response.link("prev") {
            response = self.page(user1, &query).await;
            log.splice(0..0, entries(&response));
        }
        log
    }
}

/// Opens a connection with a token in the header.
///
/// # Errors
///
/// The handshake is rejected: the status.
pub async fn connect_as(token: &str, url: &str) -> Result<Client, StatusCode> {
    let bearer = format!("Bearer {token}");
    let opened = Client::connect_with(url, &[("authorization", &bearer)]).await;
    opened.map(|(client, _)| client)
}

/// Returns the numbers and texts of the messages in a page.
fn entries(response: &HttpResponse) -> Vec<(i64, String)> {
    let entry = |message: &Value| {
        let seq = message["seq"].as_i64().expect("a number");
        let text = message["message"].as_str().expect("a text");
        (seq, text.to_owned())
    };
    response.messages().iter().map(entry).collect()
}
