//! One conversation: its members and its newest entries.

use std::time::Duration;

use anyhow::{Result, bail};
use chat::store::inspect::Part;
use chat::store::{Member, Range, View};
use chat::{ConversationId, Deadline, Entry, Kind, Store, UserId};
use futures_util::TryStreamExt;
use serde::Serialize;

use crate::outcome::Outcome;
use crate::output::{Output, note};

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A member.
#[derive(Serialize)]
struct Row {
    user_id: String,
    role: String,
    joined_seq: i64,
    left_seq: i64,
    read: i64,
    delivered: i64,
    muted: bool,
    /// Whether this member blocks the other one.
    blocked: bool,
}

impl Row {
    fn new(member: &Member, is_group: bool) -> Self {
        let membership = member.membership;
        let role = match (is_group, membership.is_member()) {
            (false, _) => "–".to_owned(),
            (true, false) => "left".to_owned(),
            (true, true) => format!("{:?}", membership.role()).to_lowercase(),
        };
        Self {
            user_id: member.user_id.to_string(),
            role,
            joined_seq: membership.joined_seq,
            left_seq: membership.left_seq,
            read: member.marks.read,
            delivered: member.marks.delivered,
            muted: member.muted,
            blocked: member.withheld.is_blocked(),
        }
    }
}

/// An entry, without its text unless that was asked for.
#[derive(Serialize)]
pub struct Line {
    conversation_id: ConversationId,
    seq: i64,
    kind: Kind,
    sender_id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_seq: Option<i64>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Line {
    /// Returns the line of an entry.
    pub fn new(entry: Entry, texts: bool) -> Self {
        Self {
            conversation_id: entry.conversation_id,
            seq: entry.seq,
            kind: entry.kind,
            sender_id: entry.sender_id,
            timestamp: entry.timestamp,
            target_seq: entry.target_seq,
            edited_seq: entry.edited_seq,
            deleted_seq: entry.deleted_seq,
            bytes: entry.message.len(),
            message: texts.then_some(entry.message),
        }
    }

    /// Returns it as one line of text.
    pub fn text(&self) -> String {
        let (time, id, seq, sender) = (
            &self.timestamp,
            &self.conversation_id,
            self.seq,
            &self.sender_id,
        );
        let (kind, bytes, note) = (self.kind_name(), self.bytes, self.note());
        let message = self.message.as_deref().unwrap_or_default();
        let line = format!("{time} {id} {seq} {kind} by {sender}, {bytes} bytes {note} {message}");
        line.trim_end().to_owned()
    }

    fn kind_name(&self) -> String {
        format!("{:?}", self.kind).to_lowercase()
    }

    /// Returns what has changed the entry, or what it changes.
    fn note(&self) -> String {
        let note = |word: &str, seq: Option<i64>| seq.map(|seq| format!("{word} {seq}"));
        let notes = [
            note("of", self.target_seq),
            note("edited by", self.edited_seq),
            note("deleted by", self.deleted_seq),
        ];
        notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Returns the conversation that is named by its id, or by its two users.
///
/// # Errors
///
/// A user id is none.
pub fn id(names: &[String]) -> Result<ConversationId> {
    match names {
        [id] => Ok(id.clone().into()),
        [a, b] => {
            let [a, b] = [a, b].map(|name| UserId::try_from(name.clone()));
            Ok(ConversationId::direct(&a?, &b?))
        }
        _ => bail!("name a conversation by its id, or by its two users"),
    }
}

/// Prints the members with their marks, and the newest entries.
///
/// # Errors
///
/// The database fails.
pub async fn run(
    store: &Store,
    id: &ConversationId,
    limit: u32,
    texts: bool,
    output: Output,
) -> Result<Outcome> {
    let (all, deadline) = (Range::default(), Deadline::after(TIMEOUT));
    let page = store.page(id, View::Log, all, limit, |_| true, deadline);
    let page = page.await?;
    if page.entries.is_empty() {
        note(format_args!("{id} has no entries"));
        return Ok(Outcome::Wrong);
    }
    let members = store.inspect_members(&Part::One(id.clone())).await?;
    let members: Vec<_> = members.try_collect().await?;
    let members = members.iter().filter_map(|member| member.document.as_ref());
    let members: Vec<Row> = members.map(|it| Row::new(it, id.is_group())).collect();
    let heading = [
        "user",
        "role",
        "joined",
        "left",
        "read",
        "delivered",
        "muted",
        "blocks the other",
    ];
    output.rows(heading, &members, |row| {
        [
            row.user_id.clone(),
            row.role.clone(),
            row.joined_seq.to_string(),
            row.left_seq.to_string(),
            row.read.to_string(),
            row.delivered.to_string(),
            row.muted.to_string(),
            row.blocked.to_string(),
        ]
    })?;
    let lines: Vec<Line> = page
        .entries
        .into_iter()
        .map(|it| Line::new(it, texts))
        .collect();
    let heading = ["number", "kind", "sender", "time", "bytes", "", "text"];
    output.rows(heading, &lines, |line| {
        [
            line.seq.to_string(),
            line.kind_name(),
            line.sender_id.clone(),
            line.timestamp.clone(),
            line.bytes.to_string(),
            line.note(),
            line.message.clone().unwrap_or_default(),
        ]
    })?;
    Ok(Outcome::Good)
}
