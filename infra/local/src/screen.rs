//! The chat's part of the start-up screen: lines to paste.

use anyhow::Result;
use chat::UserId;
use chrono::Utc;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::auth::{Authorization, HOURS, Issuer, OFF};

/// Characters that are percent-encoded in a query. E-mail addresses stay readable.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'@')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Prints it, for a chat at the addresses `ws` and `http`.
///
/// # Errors
///
/// A token cannot be signed.
pub fn show(authorization: &Authorization, ws: &str, http: &str) -> Result<()> {
    match authorization {
        Authorization::Off => show_open(ws, http),
        Authorization::Given => println!(
            "
  Clients connect to ws://{ws}/ with a token of the issuer in the parameters.
  History is at http://{http}/chat/history?user1=…&user2=…

  Open http://{http}/"
        ),
        Authorization::Own(issuer) => show_tokens(ws, http, issuer)?,
    }
    Ok(())
}

fn show_open(ws: &str, http: &str) {
    println!(
        "
  WARNING: {OFF}.
  With --auth, a token is required.

  Clients connect to ws://{ws}/?user_id=… or ws://{ws}/ws/chat/…
  History is at http://{http}/chat/history?user1=…&user2=…

  Try it, each line in a terminal of its own (npx wscat, or websocat):

    npx wscat -c 'ws://{ws}/?user_id=student@example.com'
    npx wscat -c 'ws://{ws}/?user_id=prof@example.com' \\
      -x '{{\"action\":\"sendMessage\",\"receiver_id\":\"student@example.com\",\"message\":\"At 3PM?\"}}' -w 1
    curl 'http://{http}/chat/history?user1=prof@example.com&user2=student@example.com'

  Open http://{http}/"
    );
}

/// Prints a token for each user, with commands that use it.
fn show_tokens(ws: &str, http: &str, issuer: &Issuer) -> Result<()> {
    println!(
        "
  Clients connect to ws://{ws}/ with a token; `?user_id=…` may be left out.
  History is at http://{http}/chat/history?user1=…&user2=…

  Tokens, good for {HOURS} hours and until this ends. Paste one into each terminal:
"
    );
    let mut tokens = Vec::new();
    for user in &issuer.users {
        let token = issuer.token(user, Utc::now())?;
        println!("    as {user}:\n    TOKEN='{token}'");
        tokens.push((user, token));
    }
    show_commands(ws, http, issuer);
    println!("\n  Open, each user in a window or tab of its own:\n");
    for (user, token) in tokens {
        println!("    as {user}:\n    http://{http}/#token={token}");
    }
    Ok(())
}

/// Prints commands of one user, who writes to another one. The token is in a variable.
fn show_commands(ws: &str, http: &str, issuer: &Issuer) {
    let (one, other) = (issuer.users.first(), issuer.users.last());
    let id = |user: Option<&UserId>| user.map_or("", UserId::as_str).to_owned();
    let frame = json!({"action": "sendMessage", "receiver_id": id(other), "message": "At 3PM?"});
    let frame = frame.to_string().replace('\'', r"'\''");
    let encoded = |user| utf8_percent_encode(&id(user), SPECIAL).to_string();
    println!(
        "
  Then, as that user (npx wscat, or websocat):

    npx wscat -c 'ws://{ws}/' -H \"Authorization: Bearer $TOKEN\"
    npx wscat -c 'ws://{ws}/' -H \"Authorization: Bearer $TOKEN\" \\
      -x '{frame}' -w 1
    curl -H \"Authorization: Bearer $TOKEN\" \\
      'http://{http}/chat/history?user1={}&user2={}'

  As a browser does, which cannot send that header:

    npx wscat -c 'ws://{ws}/' -s chat.v1 -s \"bearer.$TOKEN\"
    new WebSocket('ws://{ws}/', ['chat.v1', `bearer.${{token}}`])",
        encoded(one),
        encoded(other)
    );
}
