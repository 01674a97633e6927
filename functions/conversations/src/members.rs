//! `GET /chat/members?user=&conversation_id=`: who is in a group.

use chat::{Code, ConversationId, Deadline, Rejection, Result, Role, UserId};
use chat_lambda::http_event::HttpResponse;
use chat_lambda::query_string::{QueryString, invalid};
use serde::Serialize;

use crate::{Deps, json};

/// Reads the group that is asked for.
///
/// # Errors
///
/// [`Code::InvalidRequest`]: there is none, or it is the id of no group.
pub fn group(query: QueryString) -> Result<ConversationId, Rejection> {
    let id = query.value("conversation_id")?.map(ConversationId::from);
    id.filter(ConversationId::is_group)
        .ok_or_else(|| invalid("`conversation_id` must be the id of a group."))
}

/// A member.
#[derive(Serialize)]
struct Item<'a> {
    user_id: &'a UserId,
    role: Role,
    joined_seq: i64,
}

/// Responds with the members, the longest one first.
///
/// # Errors
///
/// - [`Code::Forbidden`]: the user is not in the group. Whether it exists makes no difference.
/// - [`Error::Unavailable`](chat::Error::Unavailable).
pub async fn respond(
    user: &UserId,
    conversation_id: &ConversationId,
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    let group = deps.store.group_of(conversation_id, user, deadline).await?;
    if !group.has(user) {
        let sentence = "That is no conversation of yours.";
        return Err(Rejection::new(Code::Forbidden, sentence).into());
    }
    let members = group.members().map(|(user_id, membership)| Item {
        user_id,
        role: membership.role(),
        joined_seq: membership.joined_seq,
    });
    let mut members: Vec<Item> = members.collect();
    members.sort_by_key(|member| member.joined_seq);
    Ok(json(&members))
}
