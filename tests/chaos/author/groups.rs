//! What a device writes in a group: texts and changes of texts, and what only owners may do, by owners mostly.

use chat::Kind;
use serde_json::{Value, json};

use super::{Author, Written};
use crate::history::Key;
use crate::pages::Conversation;
use crate::roster::{MEMBER, OWNER, Roster};
use crate::texts;

/// What an owner writes, in shares; the rest are texts.
const OF_OWNERS: [(Kind, f64); 6] = [
    (Kind::Edit, 0.06),
    (Kind::Delete, 0.08),
    (Kind::Join, 0.2),
    (Kind::Leave, 0.18),
    (Kind::Rename, 0.06),
    (Kind::Role, 0.2),
];

/// What another member writes. Some of it is for owners only.
const OF_MEMBERS: [(Kind, f64); 6] = [
    (Kind::Edit, 0.12),
    (Kind::Delete, 0.1),
    (Kind::Join, 0.02),
    (Kind::Leave, 0.08),
    (Kind::Rename, 0.02),
    (Kind::Role, 0.02),
];

/// Share of times at which a creator who could create a group does.
const CREATIONS: f64 = 0.3;

/// Share of times at which a user writes in a group without being in it.
const BY_STRANGERS: f64 = 0.03;

/// Members of a group that one of them may leave.
const MANY: usize = 3;

/// Users who are invited at once, at most.
const MAX_INVITED: usize = 3;

/// Share of the deletions by owners that are of any user's text, and of removals that are the owner's own leave.
const OF_OTHERS: f64 = 0.5;
const OWN_LEAVES: f64 = 0.3;

/// Share of new roles that make an owner.
const NEW_OWNERS: f64 = 0.7;

impl Author {
    /// Whether the user writes in a group now, as far as the device knows it.
    pub(super) fn writes_in(&mut self, group: &Conversation) -> bool {
        let is_member = self.roster(group).member(&self.user_id).is_some();
        is_member || self.creates(group) || self.rng.f64() < BY_STRANGERS
    }

    fn roster(&self, group: &Conversation) -> Roster {
        self.copies.roster(&group.id)
    }

    /// Whether the user creates a group now. One device does, and only once.
    fn creates(&mut self, group: &Conversation) -> bool {
        self.may_create(group) && self.rng.f64() < CREATIONS
    }

    fn may_create(&self, group: &Conversation) -> bool {
        let is_creator = group.users[0] == self.user_id && self.device == 0;
        is_creator && !self.created.contains(&group.id)
    }

    /// Writes an entry in a group.
    pub(super) fn write_in_group(&mut self, group: &Conversation) -> Written {
        if self.may_create(group) {
            return self.create(group);
        }
        let roster = self.roster(group);
        let member = roster.member(&self.user_id);
        let is_owner = member.is_some_and(|it| it.is_owner);
        let (kind, target_seq) = self.pick_in_group(group, is_owner);
        let key = self.key(group.id.clone());
        // Nobody could come back into a group that all have left.
        let may_leave = roster.members().count() >= MANY;
        let mut frame = self.group_frame(&key, group, kind, may_leave);
        frame["conversation_id"] = group.id.clone().into();
        if let Some(seq) = target_seq {
            frame["seq"] = seq.into();
        }
        Written {
            key,
            receiver_id: None,
            kind,
            frame,
        }
    }

    fn create(&mut self, group: &Conversation) -> Written {
        self.created.insert(group.id.clone());
        let client_message_id = group.creation_id.clone().expect("it is a group");
        let key = Key {
            client_message_id,
            ..self.key(group.id.clone())
        };
        let users = self.some_users(group);
        let frame = json!({
            "action": "createGroup",
            "client_message_id": key.client_message_id,
            "title": self.title(&key),
            "users": users,
            "history": group.history,
        });
        Written {
            key,
            receiver_id: None,
            kind: Kind::Create,
            frame,
        }
    }

    /// Returns what to do next, with the text that is to be changed.
    fn pick_in_group(&mut self, group: &Conversation, is_owner: bool) -> (Kind, Option<i64>) {
        let shares = if is_owner { OF_OWNERS } else { OF_MEMBERS };
        let mut left = self.rng.f64();
        let picked = shares.into_iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        let kind = picked.map_or(Kind::Text, |(kind, _)| kind);
        if !matches!(kind, Kind::Edit | Kind::Delete) {
            return (kind, None);
        }
        let any_text = kind == Kind::Delete && is_owner && self.rng.f64() < OF_OTHERS;
        let writer = (!any_text).then(|| self.user_id.clone());
        match self.recent_text(&group.id, writer.as_deref()) {
            Some(seq) => (kind, Some(seq)),
            None => (Kind::Text, None),
        }
    }

    fn group_frame(
        &mut self,
        key: &Key,
        group: &Conversation,
        kind: Kind,
        may_leave: bool,
    ) -> Value {
        let user_id = group.users[self.rng.usize(..group.users.len())].clone();
        let mut frame = match kind {
            Kind::Join => json!({"action": "invite", "users": self.some_users(group)}),
            Kind::Leave if may_leave && self.rng.f64() < OWN_LEAVES => json!({"action": "leave"}),
            Kind::Leave => json!({"action": "removeMember", "user_id": user_id}),
            Kind::Rename => json!({"action": "rename", "title": self.title(key)}),
            Kind::Role => {
                let role = if self.rng.f64() < NEW_OWNERS {
                    OWNER
                } else {
                    MEMBER
                };
                json!({"action": "setRole", "user_id": user_id, "role": role})
            }
            Kind::Edit => {
                json!({"action": "editMessage", "message": texts::marked(key, &mut self.rng)})
            }
            Kind::Delete => json!({"action": "deleteMessage"}),
            _ => json!({"action": "sendMessage", "message": texts::marked(key, &mut self.rng)}),
        };
        frame["client_message_id"] = key.client_message_id.clone().into();
        frame
    }

    /// Returns a few of the users who may be in a group, without its creator.
    fn some_users(&mut self, group: &Conversation) -> Vec<String> {
        let count = self.rng.usize(1..=MAX_INVITED);
        self.rng
            .choose_multiple(group.users[1..].iter().cloned(), count)
    }

    fn title(&mut self, key: &Key) -> String {
        format!("{} {} 學", key.sender_id, key.client_message_id)
    }
}
