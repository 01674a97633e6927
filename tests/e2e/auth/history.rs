//! The history is for its two users, and for pages of listed origins.

use super::*;

/// The response to a third user is the same whether or not there are messages.
#[tokio::test]
async fn a_third_user_reads_nothing_by_any_form_of_the_parameters() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    assert_eq!(
        prof.send_message(STUDENT, "for your eyes only").await["type"],
        "ack"
    );

    let token = issuer.token(THIRD);
    let (p, s, t) = (encode(PROF), encode(STUDENT), encode(THIRD));
    let read = async |query: &str| get_as(&token, &history_url(&chat, query)).await;
    let forbidden = read("user1=nobody%40example.com&user2=no-one").await;
    assert_eq!(forbidden.status, 403);
    assert_eq!(forbidden.header("content-type"), "application/problem+json");
    for query in [
        format!("user1={PROF}&user2={STUDENT}"),
        format!("user2={PROF}&user1={STUDENT}"),
        format!("user1={p}&user2={s}"),
        format!("user1={PROF}&user2={STUDENT}&limit=1&after=0"),
        format!("user1={PROF}&user2={STUDENT}&user3={THIRD}"),
        format!("user1={PROF}&user2={STUDENT}&USER1={THIRD}"),
        format!("%75ser1={PROF}&use%722={STUDENT}"),
        format!("user1={PROF}&user2={STUDENT}&user_id={THIRD}"),
    ] {
        let response = read(&query).await;
        assert_eq!(response.status, 403, "{query}");
        assert_eq!(response.body, forbidden.body, "{query}");
    }
    for query in [
        format!("user1={PROF}&user2={STUDENT}&user2={THIRD}"),
        format!("user1={t}&user1={PROF}&user2={STUDENT}"),
        format!("user1[]={PROF}&user2={STUDENT}"),
        format!("user1[0]={THIRD}&user1={PROF}&user2[]={STUDENT}"),
        format!("user1[$ne]={THIRD}&user2={STUDENT}"),
        format!("user1={PROF}%00&user2={STUDENT}"),
        format!("user1={PROF}"),
        format!("user1={PROF}&user2"),
    ] {
        let response = read(&query).await;
        assert_eq!(response.status, 400, "{query}");
        assert!(
            !response.body.windows(4).any(|bytes| bytes == b"eyes"),
            "{query}"
        );
    }
    // Forms that name other users, the caller among them: they have no messages.
    for query in [
        format!("{PROF},{STUDENT}"),
        format!("{PROF}&user2={STUDENT}"),
        format!("[\"{PROF}\",\"{STUDENT}\"]"),
        "{\"$gt\":\"\"}".to_owned(),
        format!("direct:16:{PROF}:{STUDENT}"),
    ] {
        let query = format!("user1={THIRD}&user2={}", encode(&query));
        assert!(read(&query).await.messages().is_empty(), "{query}");
    }
    let url = history_url(&chat, &format!("user1={p}&user2={s}"));
    let own = get_as(&issuer.token(PROF), &url).await;
    assert_eq!(own.messages().len(), 1);
    chat.stop().await;
}

/// The response to another user is the same whether or not the user exists.
#[tokio::test]
async fn a_list_and_settings_are_their_users() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    prof.send_message(STUDENT, "for your eyes only").await;
    let (own, foreign) = (issuer.token(PROF), issuer.token(THIRD));
    for (method, path) in [
        (Method::GET, "conversations?"),
        (Method::GET, "presence?of=student@example.com&"),
        (Method::GET, "settings?"),
        (Method::PUT, "settings?"),
        (Method::PUT, "conversations?"),
    ] {
        let as_user = async |token: Option<&str>, user: &str| {
            let url = format!("{}/chat/{path}user={}", chat.http, encode(user));
            let bearer = token.map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = bearer
                .iter()
                .map(|it| ("authorization", it.as_str()))
                .collect();
            send(method.clone(), &url, &headers).await
        };
        // The body of a change is missing.
        let expected = if method == Method::PUT { 400 } else { 200 };
        assert_eq!(as_user(Some(&own), PROF).await.status, expected, "{path}");
        assert_eq!(as_user(None, PROF).await.status, 401, "{path}");
        let refused = as_user(Some(&foreign), PROF).await;
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(as_user(Some(&foreign), "nobody").await.body, refused.body);
    }
    chat.stop().await;
}

/// A page of another origin reads nothing, whatever token it has.
#[tokio::test]
async fn only_pages_of_listed_origins_read_the_history() {
    const OURS: &str = "https://meetme.example.com";
    let issuer = Issuer::start(Key::ec("k"));
    let origins = ["AllowedOrigins=https://other.example.com,https://meetme.example.com"];
    let settings = Chat::with().issuer(&issuer).parameters(&origins);
    let chat = settings.start().await;
    let url = history_url(&chat, &format!("user1={PROF}&user2={STUDENT}"));
    let bearer = format!("Bearer {}", issuer.token(PROF));
    let allowed = async |origin: &str| {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let preflight = send(Method::OPTIONS, &url, &preflight).await;
        let headers = [("origin", origin), ("authorization", bearer.as_str())];
        let response = send(Method::GET, &url, &headers).await;
        assert_eq!(response.status, 200, "{origin}");
        let header = |response: &HttpResponse, name: &str| response.header(name).to_owned();
        [
            header(&preflight, "access-control-allow-origin"),
            header(&preflight, "access-control-allow-headers"),
            header(&response, "access-control-allow-origin"),
        ]
    };
    let headers = "authorization,content-type";
    assert_eq!(allowed(OURS).await, [OURS, headers, OURS]);
    for origin in ["https://evil.example", "null", "http://meetme.example.com"] {
        assert_eq!(allowed(origin).await, ["", "", ""], "{origin}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_group_is_read_and_written_by_its_members_alone() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    let create = json!({
        "action": "createGroup", "title": "t", "users": [STUDENT], "client_message_id": "g",
    });
    prof.send(&create).await;
    let created = prof.next().await;
    let group = created["conversation_id"].as_str().expect("an id");
    let read = async |user: &str, parameters: &str| {
        let token = issuer.token(user);
        let query = format!("conversation_id={}{parameters}", encode(group));
        get_as(&token, &history_url(&chat, &query)).await
    };
    for (user, parameters, status) in [
        (PROF, String::new(), 200),
        (STUDENT, String::new(), 200),
        (STUDENT, format!("&user={}", encode(STUDENT)), 200),
        // The query may name the reader, who is that of the token.
        (STUDENT, format!("&user={}", encode(PROF)), 403),
        (THIRD, String::new(), 403),
        (THIRD, format!("&user={}", encode(PROF)), 403),
        (THIRD, format!("&user1={PROF}&user2={THIRD}"), 403),
    ] {
        let response = read(user, &parameters).await;
        assert_eq!(response.status, status, "{user}{parameters}");
    }
    let mut third = open(&chat, "/", &issuer.token(THIRD)).await.expect("in");
    let frame = json!({"action": "sendMessage", "conversation_id": group, "message": "m"});
    third.send(&frame).await;
    assert_eq!(third.next().await["code"], "forbidden");
    chat.stop().await;
}
