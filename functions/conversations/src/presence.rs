//! `GET /chat/presence?user=&of=[&of=…]`: who is there.

use chat::store::Presence;
use chat::{Deadline, Rejection, Result, UserId, timestamp};
use chat_lambda::http_event::HttpResponse;
use chat_lambda::query_string::{QueryString, invalid};
use chrono::Utc;
use serde::Serialize;

use crate::{Deps, json};

/// Limit of the users that a request asks for.
const MAX_USERS: usize = 100;

/// Returns the users whose presence is asked for.
///
/// # Errors
///
/// [`Code::InvalidRequest`](chat::Code::InvalidRequest) or
/// [`Code::InvalidUserId`](chat::Code::InvalidUserId), with a sentence that names the parameter.
pub fn users(query: QueryString) -> Result<Vec<UserId>, Rejection> {
    let users = query.users("of")?;
    match users.len() {
        0 => Err(invalid("`of` is missing.")),
        1..=MAX_USERS => Ok(users),
        _ => Err(invalid(format!(
            "`of` is given more than {MAX_USERS} times."
        ))),
    }
}

/// The presence of a user. One who is unknown, hides it or is a stranger is not online and was never seen.
#[derive(Serialize)]
struct Item<'a> {
    user_id: &'a UserId,
    online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
}

impl<'a> Item<'a> {
    fn new(user_id: &'a UserId, presence: Presence) -> Self {
        Self {
            user_id,
            online: presence == Presence::Online,
            last_seen: match presence {
                Presence::LastSeen(at) => Some(timestamp::format(at)),
                Presence::Online | Presence::Unknown => None,
            },
        }
    }
}

/// Responds with the presence of each of the users, in their order.
///
/// One user is that of an open conversation: whether the connections are still there is asked at the gateway, so
/// that a lost `$disconnect` corrects itself.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable).
pub async fn respond(
    user: &UserId,
    of: &[UserId],
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    let now = Utc::now();
    let mut presences = deps.store.presence_of(user, of, now, deadline).await?;
    if let ([_], [Presence::Online]) = (of, &presences[..])
        && deps.delivery.remove_gone(&of[0], now, deadline).await?
    {
        presences = deps.store.presence_of(user, of, now, deadline).await?;
    }
    let items = of.iter().zip(presences);
    let items: Vec<Item> = items
        .map(|(user, presence)| Item::new(user, presence))
        .collect();
    Ok(json(&items))
}
