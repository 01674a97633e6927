//! The erasure of a user's data, and the jobs that do it.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chat::erasure::{self, Job, State};
use chat::{Deadline, Push, Store, UserId, timestamp};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson;
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, count, note};
use crate::{connections, progress, user};

/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What no erasure does.
const NOT_DONE: [&str; 5] = [
    "The id itself stays: in the ids of direct conversations, as the sender of entries, in those that have changed a group, \
     in the user's document of each conversation, with the time of its last message, in the lists of those who block the \
     user, and in the job of this erasure. If ids are names or addresses, that is personal data.",
    "What others have written stays, also where it names the user.",
    "Backups of the database, and logs, which hold ids and no text, end by their own retention.",
    "What clients have stored on devices stays there.",
    "The account at the issuer stays. While its tokens are valid, the user can come back.",
];

/// What is not done with `--keep-texts`.
const TEXTS_KEPT: &str =
    "The user's texts stay, also those of edits: that was asked for by --keep-texts.";

fn not_done(keep_texts: bool) -> Vec<&'static str> {
    let kept = keep_texts.then_some(TEXTS_KEPT);
    kept.into_iter().chain(NOT_DONE).collect()
}

/// Flags of `erase`.
#[derive(clap::Args)]
pub struct Flags {
    /// The user
    user: String,
    /// Leave the user's texts
    #[arg(long)]
    keep_texts: bool,
    /// Do it; without this, it is only said what would be done
    #[arg(long)]
    confirm: bool,
}

/// A line about a job.
#[derive(Serialize)]
struct Line {
    user_id: String,
    state: State,
    keep_texts: bool,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    conversations: i64,
    texts: i64,
    groups_left: i64,
    /// When it is to be repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_done: Vec<&'static str>,
}

impl Line {
    fn new(job: &Job, not_done: Vec<&'static str>) -> Self {
        let time = |date: bson::DateTime| {
            let time = DateTime::from_timestamp_millis(date.timestamp_millis());
            timestamp::format(time.unwrap_or_default())
        };
        Self {
            user_id: job.user_id.to_string(),
            state: job.state,
            keep_texts: job.keep_texts,
            started_at: time(job.started_at),
            finished_at: job.finished_at.map(time),
            conversations: job.conversations,
            texts: job.texts,
            groups_left: job.groups,
            repeat_after: job.repeat_after().map(timestamp::format),
            not_done,
        }
    }
}

/// Erases the data of a user; without `--confirm`, says what that would do.
///
/// # Errors
///
/// The database fails, a connection is not closed, or Ctrl-C. What is done stays done.
pub async fn run(
    store: &Store,
    push: Option<&Push>,
    flags: Flags,
    output: Output,
) -> Result<Outcome> {
    let user = UserId::try_from(flags.user)?;
    let interrupt = Interrupt::listen();
    // After an erasure little is left, and it is to be repeated all the same.
    let has_job = !erasure::find(store, Some(&user)).await?.is_empty();
    if !has_job && !user::is_known(store, &user).await? {
        return Ok(Outcome::Wrong);
    }
    if !flags.confirm {
        return preview(store, push, &user, flags.keep_texts, output).await;
    }
    close(store, push, &user).await?;
    let bar = progress::of_conversations(memberships(store, &user).await?);
    let job = erasure::run(store, &user, flags.keep_texts, |job| {
        bar.set_position(job.conversations.unsigned_abs());
        if interrupt.is_pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let job = job.await;
    bar.finish_and_clear();
    let job = job.context("what is done stays done: run it again to go on")?;
    if job.state == State::Running {
        let done = count(job.conversations, "conversation");
        bail!("interrupted after {done}: run it again to go on");
    }
    let line = Line::new(&job, not_done(job.keep_texts));
    output.line(&line, || {
        format!(
            "{} of {user} erased in {}, and {} left.",
            count(job.texts, "text"),
            count(job.conversations, "conversation"),
            count(job.groups, "group")
        )
    })?;
    print_not_done(&line.not_done, output)?;
    if let Some(time) = &line.repeat_after {
        output.text(&format!(
            "Run it again after {time}: a device that was away may have sent more by then."
        ))?;
    }
    Ok(Outcome::Good)
}

fn print_not_done(not_done: &[&str], output: Output) -> Result<()> {
    output.text("Not done:")?;
    for item in not_done {
        output.text(&format!("  {item}"))?;
    }
    Ok(())
}

/// What an erasure would do.
#[derive(Serialize)]
struct Preview<'a> {
    user_id: &'a UserId,
    connections: usize,
    conversations: u64,
    keep_texts: bool,
    not_done: Vec<&'static str>,
}

/// Says what an erasure would do.
async fn preview(
    store: &Store,
    push: Option<&Push>,
    user: &UserId,
    keep_texts: bool,
    output: Output,
) -> Result<Outcome> {
    let open = connections::of_user(store, push, user, Utc::now()).await?;
    connections::print(&open, output)?;
    let preview = Preview {
        user_id: user,
        connections: open.len(),
        conversations: memberships(store, user).await?,
        keep_texts,
        not_done: not_done(keep_texts),
    };
    output.line(&preview, || {
        let (connections, conversations) = (
            count(preview.connections, "connection"),
            count(preview.conversations, "conversation"),
        );
        let texts = if keep_texts {
            "groups left, and the texts kept"
        } else {
            "groups left, and the texts erased"
        };
        format!(
            "{connections} would be closed, settings and marks of {user} deleted, {texts}, in {conversations}; \
             --confirm does it"
        )
    })?;
    print_not_done(&preview.not_done, output)?;
    Ok(Outcome::Good)
}

async fn memberships(store: &Store, user: &UserId) -> Result<u64> {
    let memberships = store.inspect_memberships(user).await?;
    let count = memberships.try_fold(0, async |count, _| Ok(count + 1));
    Ok(count.await?)
}

/// Closes the connections of a user and deletes their rows. Without a gateway, only the rows.
async fn close(store: &Store, push: Option<&Push>, user: &UserId) -> Result<()> {
    if let Some(push) = push {
        connections::close_all(store, push, user).await?;
        return Ok(());
    }
    let deadline = Deadline::after(TIMEOUT);
    let rows = store.open_connections_of(std::slice::from_ref(user), deadline);
    let rows = rows.await?;
    store.delete_connections(&rows, deadline).await?;
    if !rows.is_empty() {
        note(format_args!(
            "{} left open, without pushes: set MANAGEMENT_ENDPOINT, AWS_REGION and credentials to close them",
            count(rows.len(), "connection")
        ));
    }
    Ok(())
}

/// Lists the jobs. It is wrong that one was interrupted, or is to be repeated by now.
///
/// # Errors
///
/// The database fails.
pub async fn jobs(store: &Store, user: Option<&UserId>, output: Output) -> Result<Outcome> {
    let jobs = erasure::find(store, user).await?;
    let lines: Vec<Line> = jobs.iter().map(|job| Line::new(job, Vec::new())).collect();
    let heading = ["user", "state", "started", "texts", "repeat after"];
    output.rows(heading, &lines, |line| {
        let state = match line.state {
            State::Running => "running",
            State::Done => "done",
        };
        [
            line.user_id.clone(),
            state.to_owned(),
            line.started_at.clone(),
            line.texts.to_string(),
            line.repeat_after.clone().unwrap_or_else(|| "–".to_owned()),
        ]
    })?;
    let is_good = |job: &Job| {
        let is_due = job.repeat_after().is_some_and(|time| time <= Utc::now());
        job.state == State::Done && !is_due
    };
    Ok(Outcome::good_if(jobs.iter().all(is_good)))
}
