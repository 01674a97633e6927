//! What begins or changes a group.

use chat::protocol::{GroupChange, GroupFrame};
use chat::{
    ClientMessageId, Code, Content, ConversationId, Draft, Recipient, Rejection, Result, UserId,
};

/// Returns the entry of a frame that came from `sender_id`.
///
/// # Errors
///
/// - [`Code::Forbidden`]: the frame names no group.
/// - [`Code::InvalidFrame`]: a new group has no `client_message_id`, of which its id is made.
pub fn draft(
    frame: GroupFrame,
    sender_id: UserId,
    client_message_id: Option<ClientMessageId>,
) -> Result<Draft, Rejection> {
    let conversation_id = match frame.conversation_id {
        Some(id) if id.is_group() => id,
        Some(_) => {
            return Err(Rejection::new(
                Code::Forbidden,
                "That is no group of yours.",
            ));
        }
        None => match &client_message_id {
            Some(id) => ConversationId::group(&sender_id, id),
            None => {
                let sentence = "`client_message_id` is missing.";
                return Err(Rejection::new(Code::InvalidFrame, sentence));
            }
        },
    };
    let content = content(frame.change, &sender_id);
    Ok(Draft {
        client_message_id,
        after: frame.after,
        ..Draft::new(sender_id, Recipient::Group(conversation_id), content)
    })
}

fn leave(user: UserId) -> Content {
    Content::Leave {
        user,
        new_owner: None,
    }
}

fn content(change: GroupChange, sender_id: &UserId) -> Content {
    match change {
        GroupChange::Create(title, mut users, history) => {
            users.retain(|user| user != sender_id);
            users.insert(0, sender_id.clone());
            Content::Create {
                title,
                users,
                history,
            }
        }
        GroupChange::Invite(users) => Content::Join { users },
        GroupChange::Remove(user) => leave(user),
        GroupChange::Leave => leave(sender_id.clone()),
        GroupChange::Rename(title) => Content::Rename { title },
        GroupChange::SetRole(user, role) => Content::SetRole { user, role },
    }
}
