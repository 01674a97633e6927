//! Verifies that the log and the documents beside it are what the chat promises.
//!
//! - [`scan`]: reads conversation by conversation
//! - [`check`]: one conversation
//! - [`changes`]: texts, and what changes them
//! - [`beside`]: reads what belongs to no conversation
//! - [`blocks`]: the copies of blocks
//! - [`damage`]: what can be wrong
//! - [`mod@repair`]: what the log can restore
//! - [`report`]: what is printed
//!
//! The chat runs meanwhile: what was found is looked at once more some seconds later, when whoever was writing has
//! finished.

mod beside;
mod blocks;
mod changes;
mod check;
mod damage;
mod repair;
mod report;
mod scan;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use chat::store::MESSAGES;
use chat::store::inspect::Part;
use chat::{ConversationId, Store};
use clap::Args;
use mongodb::bson::Document;
use tokio::time::sleep_until;

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, note};
use crate::progress;
use blocks::Blocking;
use damage::Damage;
use repair::repair;
use report::Report;
use scan::{Found, Scan};

/// Conversations that are remembered for a second look.
const SUSPECTS: usize = 1_000;

/// What has ended a verification after Ctrl-C.
const INTERRUPTED: &str = "interrupted";

/// Flags of `verify`.
#[derive(Args)]
pub struct Flags {
    /// Verify this conversation alone
    #[arg(conflicts_with = "from")]
    conversation: Option<String>,

    /// Go on from this conversation, in the order of ids
    #[arg(long, value_name = "CONVERSATION")]
    from: Option<String>,

    /// Restore from the log what it can restore; shows what that would be, without --confirm
    #[arg(long)]
    repair: bool,

    /// Make the repairs
    #[arg(long, requires = "repair")]
    confirm: bool,

    /// Look once more after so many seconds at what seems wrong: a message that is being written is whole by then
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    settle: u64,
}

/// A verification under way.
struct Verification<'a> {
    store: &'a Store,
    flags: &'a Flags,
    report: Report,
    interrupt: Interrupt,
    /// The conversation that is read next.
    next: Option<ConversationId>,
    suspects: BTreeSet<ConversationId>,
    blocking: Blocking,
    last_suspected: Instant,
}

/// Verifies all conversations, or some.
///
/// # Errors
///
/// The database fails, or Ctrl-C. What was found until then is reported, and the sentence names the conversation from
/// which to go on.
pub async fn run(store: &Store, flags: &Flags, output: Output) -> Result<Outcome> {
    let part = match (&flags.conversation, &flags.from) {
        (Some(one), _) => Part::One(one.clone().into()),
        (None, from) => Part::From(from.clone().map(ConversationId::from)),
    };
    let progress = progress::of_entries(entries(store, &part).await);
    let mut verification = Verification {
        store,
        flags,
        report: Report::new(output, progress, flags.confirm),
        interrupt: Interrupt::listen(),
        next: None,
        suspects: BTreeSet::new(),
        blocking: Blocking::default(),
        last_suspected: Instant::now(),
    };
    let read = verification.read(&part).await;
    if read.is_err() {
        verification.settle_the_rest().await;
    }
    verification.summarize()?;
    match read {
        Ok(()) => Ok(verification.outcome(&part)),
        Err(error) => bail!("{error:#}{}", verification.go_on(&part)),
    }
}

/// Returns the number of entries of a part, if it is known without counting.
async fn entries(store: &Store, part: &Part) -> Option<u64> {
    let entries = store.database().collection::<Document>(MESSAGES);
    match part {
        Part::From(None) => entries.estimated_document_count().await.ok(),
        _ => None,
    }
}

impl Verification<'_> {
    async fn read(&mut self, part: &Part) -> Result<()> {
        let mut scan = Scan::start(self.store, part).await?;
        loop {
            self.next = scan.next_id().cloned();
            let next = tokio::select! {
                next = scan.next() => next?,
                () = self.interrupt.pressed() => bail!(INTERRUPTED),
            };
            let Some(found) = next else {
                break;
            };
            self.found(found).await?;
        }
        if let Part::One(id) = part {
            self.compare_blocks_of(id.clone()).await?;
            return self.settle().await;
        }
        self.read_beside().await
    }

    fn check_interrupt(&self) -> Result<()> {
        ensure!(!self.interrupt.is_pressed(), INTERRUPTED);
        Ok(())
    }

    /// Ends the reading: looks again at all that may be wrong.
    async fn settle(&mut self) -> Result<()> {
        let differing = self.blocking.compare(self.store).await?;
        self.suspect(differing).await?;
        self.look_again().await
    }

    /// Looks again at what seemed wrong before the end came, as far as that is possible.
    async fn settle_the_rest(&mut self) {
        // The error that has ended the reading is told; another one of the same kind says nothing more.
        if self.look_again().await.is_ok() {
            let _ = self.settle().await;
        }
        self.report.summary.uncertain = self.suspects.len() as u64;
    }

    async fn compare_blocks_of(&mut self, id: ConversationId) -> Result<()> {
        let differing = self.blocking.add(self.store, id).await?;
        self.suspect(differing).await
    }

    async fn found(&mut self, found: Found) -> Result<()> {
        self.report.summary.conversations += 1;
        self.report.summary.entries += found.entries;
        self.report.progress.inc(found.entries);
        if found.has_block {
            let id = found.conversation_id.clone();
            self.compare_blocks_of(id).await?;
        }
        let wrong = Some(found.conversation_id).filter(|_| !found.damages.is_empty());
        self.suspect(wrong).await
    }

    /// Remembers conversations for a second look.
    async fn suspect(&mut self, ids: impl IntoIterator<Item = ConversationId>) -> Result<()> {
        for id in ids {
            self.suspects.insert(id);
            self.last_suspected = Instant::now();
        }
        if self.suspects.len() >= SUSPECTS {
            self.look_again().await?;
        }
        Ok(())
    }

    /// Looks once more at what seemed wrong, repairs and reports it.
    async fn look_again(&mut self) -> Result<()> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        let settled = self.last_suspected + Duration::from_secs(self.flags.settle);
        // After Ctrl-C what is being written counts as wrong: the look comes too early.
        tokio::select! {
            () = sleep_until(settled.into()) => {}
            () = self.interrupt.pressed() => {}
        }
        while let Some(id) = self.suspects.first().cloned() {
            self.look_again_at(&id).await?;
            self.suspects.remove(&id);
        }
        Ok(())
    }

    async fn look_again_at(&mut self, id: &ConversationId) -> Result<()> {
        let damages = self.damages_of(id).await?;
        let remaining = if self.flags.confirm && damages.iter().any(Damage::is_repairable) {
            repair(self.store, id, &damages).await?;
            self.damages_of(id).await?
        } else {
            damages.clone()
        };
        for damage in &damages {
            let is_repaired = !remaining.contains(damage);
            self.report.damage(id, damage, is_repaired)?;
        }
        Ok(())
    }

    async fn damages_of(&self, id: &ConversationId) -> Result<Vec<Damage>> {
        let mut scan = Scan::start(self.store, &Part::One(id.clone())).await?;
        let found = scan.next().await?;
        let mut damages = found.map(|found| found.damages).unwrap_or_default();
        damages.extend(blocks::damages(self.store, id).await?);
        Ok(damages)
    }

    /// Returns how to go on with what was not read, or not looked at once more.
    fn go_on(&self, part: &Part) -> String {
        let first = [
            self.suspects.first(),
            self.blocking.first(),
            self.next.as_ref(),
        ];
        let first = first.into_iter().flatten().min();
        let first = first.filter(|_| matches!(part, Part::From(_)));
        first.map_or_else(String::new, |id| format!("; go on with --from '{id}'"))
    }

    /// Returns what the numbers mean. That there is nothing is told, and is wrong where something was named.
    fn outcome(&self, part: &Part) -> Outcome {
        let summary = &self.report.summary;
        let is_good = summary.damages == summary.repaired;
        if summary.conversations > 0 {
            return Outcome::good_if(is_good);
        }
        match part {
            Part::One(id) => note(format_args!("nothing is known of {id}")),
            Part::From(Some(id)) => note(format_args!("there is no conversation from {id} on")),
            Part::From(None) => {
                let name = self.store.database().name();
                note(format_args!(
                    "the database {name} has no conversations: is MONGODB_DATABASE right?"
                ));
                return Outcome::good_if(is_good);
            }
        }
        Outcome::Wrong
    }

    fn summarize(&self) -> Result<()> {
        let damages = self.report.summary.damages;
        let hint = match (damages, self.flags.repair, self.flags.confirm) {
            (0, ..) => "",
            (_, false, _) => "; --repair shows what can be repaired",
            (_, true, false) => "; --confirm makes the repairs that are possible",
            (_, true, true) => "",
        };
        self.report.summarize(hint)
    }
}
