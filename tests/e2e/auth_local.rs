//! `cargo local --auth`: an issuer, its tokens on the screen, and a chat that accepts these alone.
//! And the warning of a chat without authorization.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client::{encode, get_as, send};
use tests::launch::Launch;
use tests::{Client, LocalGateway, get, server};

/// A chat whose start-up screen has been read.
struct Local(LocalGateway);

impl Local {
    /// Starts a chat on a database of its own.
    async fn start(flags: &[&str]) -> Self {
        let launch = Launch::chat().database(server::uri().await, &server::database_name());
        Self(launch.flags(flags).start().await.expect("the chat starts"))
    }

    /// Returns the start-up screen.
    fn screen(&self) -> &str {
        &self.0.screen
    }

    /// Returns the word behind a label of the screen.
    fn after(&self, label: &str) -> &str {
        let (_, rest) = self.screen().split_once(label).unwrap_or_else(|| {
            panic!("{label} is not on the screen: {}", self.screen());
        });
        rest.split_whitespace().next().expect("something follows")
    }

    /// Returns the URL for clients.
    fn ws(&self) -> &str {
        self.after("  WebSocket ")
    }

    /// Returns the token that the screen shows for a user.
    fn token(&self, user: &str) -> &str {
        let line = self.after(&format!("    as {user}:\n"));
        let token = line.strip_prefix("TOKEN='").expect("a line to paste");
        token.trim_end_matches('\'')
    }

    /// Requests the history of two users; returns the status.
    async fn history(&self, token: &str, [one, other]: [&str; 2]) -> StatusCode {
        let (one, other) = (encode(one), encode(other));
        let query = format!("chat/history?user1={one}&user2={other}");
        let url = format!("{}/{query}", self.after("  HTTP "));
        if token.is_empty() {
            get(&url).await.status
        } else {
            get_as(token, &url).await.status
        }
    }

    /// Shuts the chat down as Ctrl-C does; returns its log.
    async fn stop(self) -> String {
        let (status, log) = self.0.stop().await.expect("it exits in time");
        assert!(status.success(), "{status}");
        log
    }
}

/// Connects with a token, as an app does.
async fn connect(chat: &Local, token: &str) -> Result<Client, StatusCode> {
    let authorization = [("Authorization", &*format!("Bearer {token}"))];
    let connected = Client::connect_with(chat.ws(), &authorization).await;
    connected.map(|(client, _)| client)
}

#[tokio::test]
async fn tokens_on_the_screen_admit_their_users_and_nobody_else() {
    // Ids may hold any character that is special in URLs, JSON and shells.
    let users = ["prof+1@example.com", "o'\"neill & søn"];
    let flags = [
        "--auth", "--user", users[0], "--user", users[1], "--user", "third", "--log", "trace",
    ];
    let chat = Local::start(&flags).await;
    let [one, other, third] = [users[0], users[1], "third"].map(|user| chat.token(user).to_owned());
    assert!(!chat.screen().contains("WARNING"), "{}", chat.screen());

    for (user, token) in users.iter().zip([&one, &other]) {
        let link = format!(
            "    as {user}:\n    {}/#token={token}\n",
            chat.after("  HTTP ")
        );
        assert!(chat.screen().contains(&link), "{}", chat.screen());
    }

    let mut sender = connect(&chat, &one).await.expect("an app gets in");
    let subprotocols = format!("chat.v1, bearer.{other}");
    let offer = [("Sec-WebSocket-Protocol", &*subprotocols)];
    let (mut receiver, headers) = Client::connect_with(chat.ws(), &offer)
        .await
        .expect("a browser gets in");
    assert_eq!(headers["sec-websocket-protocol"], "chat.v1");
    assert_eq!(
        sender.send_message(users[1], "At 3PM?").await["status"],
        "delivered"
    );
    assert_eq!(receiver.next().await["sender_id"], users[0]);

    for (token, status) in [(&*one, 200), (&other, 200), (&third, 403), ("", 401)] {
        assert_eq!(chat.history(token, users).await, status, "{token}");
    }
    // A token names its bearer; the URL cannot name another user.
    let claim = |user: &str| format!("{}?user_id={}", chat.ws(), encode(user));
    let bearer = [("Authorization", &*format!("Bearer {one}"))];
    let refused = |opened: Result<_, StatusCode>| opened.map(|_| ()).expect_err("refused");
    let own = Client::connect_with(&claim(users[0]), &bearer).await;
    own.map(|_| ()).expect("the claim is right");
    let anothers = Client::connect_with(&claim(users[1]), &bearer).await;
    assert_eq!(refused(anothers), 403);
    let none = Client::connect_with(&claim(users[0]), &[]).await;
    assert_eq!(refused(none), 401);

    let log = chat.stop().await;
    for token in [one, other, third] {
        for part in token.split('.') {
            assert!(!log.contains(part), "{part}: {log}");
        }
    }
}

#[tokio::test]
async fn by_default_there_are_two_users_whose_tokens_hold_for_this_start_alone() {
    let users = ["prof@example.com", "student@example.com"];
    let (first, second) = tokio::join!(Local::start(&["--auth"]), Local::start(&["--auth"]));
    for user in users {
        let token = first.token(user);
        connect(&first, token).await.map(|_| ()).expect("its own");
        let elsewhere = connect(&second, token).await.map(|_| ());
        assert_eq!(elsewhere, Err(StatusCode::UNAUTHORIZED), "{user}");
        assert_eq!(first.history(token, users).await, 200);
        assert_eq!(second.history(token, users).await, 401);
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn auth_works_with_the_parameters_for_the_user_claim_and_tokens_in_the_url() {
    let flags = [
        "--auth",
        "--user",
        "prof@example.com",
        "--parameter",
        "JwtUserClaim=email",
        "--parameter",
        "JwtInQuery=on",
    ];
    let chat = Local::start(&flags).await;
    let token = chat.token("prof@example.com");
    let url = format!("{}?token={token}", chat.ws());
    let mut client = Client::connect(&url).await.expect("it gets in");
    let ack: Value = client.send_message("prof@example.com", "a note").await;
    assert_eq!(ack["type"], "ack", "{ack}");
    assert_eq!(
        ack["conversation_id"],
        json!("direct:16:prof@example.com:prof@example.com")
    );
    let token = token.to_owned();
    let log = chat.stop().await;
    assert!(!log.contains(&token), "{log}");
}

/// Any page that somebody visits could otherwise connect as any user.
#[tokio::test]
async fn without_authorization_only_pages_of_this_machine_are_served() {
    let other = [
        "https://page.example",
        "null",
        "http://localhost.page.example",
    ];
    let here = [
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]",
    ];
    // A chat with tokens takes them from any page. Without them, no list of origins opens it.
    for (flags, expected) in [
        (
            &["--parameter", "AllowedOrigins=https://page.example"][..],
            StatusCode::FORBIDDEN,
        ),
        (&["--auth"], StatusCode::UNAUTHORIZED),
    ] {
        let chat = Local::start(flags).await;
        let ws = format!("{}?user_id=anybody", chat.ws());
        let history = format!("{}/chat/history?user1=a&user2=b", chat.after("  HTTP "));
        for origin in other {
            let connected = Client::connect_with(&ws, &[("origin", origin)]).await;
            assert_eq!(connected.err(), Some(expected), "{flags:?} {origin}");
            let response = send(Method::GET, &history, &[("origin", origin)]).await;
            assert_eq!(response.status, expected, "{flags:?} {origin}");
        }
        for origin in here {
            let connected = Client::connect_with(&ws, &[("origin", origin)]).await;
            let response = send(Method::GET, &history, &[("origin", origin)]).await;
            let is_served = (connected.is_ok(), response.status == StatusCode::OK);
            let is_open = flags[0] != "--auth";
            assert_eq!(is_served, (is_open, is_open), "{flags:?} {origin}");
        }
        let log = chat.stop().await;
        let says_why = log.contains("authorization is off, so only web pages of this machine");
        assert_eq!(says_why, expected == StatusCode::FORBIDDEN, "{log}");
    }
}

#[tokio::test]
async fn a_chat_without_authorization_warns_of_it() {
    const WARNING: &str = "authorization is off: the user id of the URL is believed";
    for flags in [&[][..], &["--parameter", "Auth=open"]] {
        let chat = Local::start(flags).await;
        assert!(chat.screen().contains(WARNING), "{}", chat.screen());
        let page = format!("  Open {}/\n", chat.after("  HTTP "));
        assert!(chat.screen().contains(&page), "{}", chat.screen());
        let anybody = Client::connect(&format!("{}?user_id=anybody", chat.ws())).await;
        anybody.map(|_| ()).expect("everybody gets in");
        let log = chat.stop().await;
        assert!(log.contains(&format!("WARN {WARNING}")), "{log}");
    }
}
