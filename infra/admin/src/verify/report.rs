//! Prints what is wrong, one line each, and counts it.

use std::fmt::Display;

use anyhow::Result;
use chat::ConversationId;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::damage::Damage;
use crate::indexes::Fault;
use crate::output::{Output, note};

/// The report of a verification.
pub struct Report {
    output: Output,
    /// How far the verification is.
    pub progress: ProgressBar,
    /// Whether repairs are made.
    confirm: bool,
    /// What was counted.
    pub summary: Summary,
}

/// What a verification has counted.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Conversations that were read.
    pub conversations: u64,
    /// Their entries.
    pub entries: u64,
    /// Damages.
    pub damages: u64,
    /// Damages that were repaired.
    pub repaired: u64,
    /// Messages that belong to no conversation: the migration has not numbered them.
    pub unnumbered: u64,
    /// Conversations that seem wrong, and could not be looked at once more.
    pub uncertain: u64,
}

/// A line of the report.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    about: Value,
    repair: &'static str,
}

impl Report {
    /// Returns the report of a verification that has found nothing yet.
    pub fn new(output: Output, progress: ProgressBar, confirm: bool) -> Self {
        Self {
            output,
            progress,
            confirm,
            summary: Summary::default(),
        }
    }

    /// Reports a damage of a conversation.
    ///
    /// # Errors
    ///
    /// Standard output is closed, as of all methods here.
    pub fn damage(
        &mut self,
        id: &ConversationId,
        damage: &Damage,
        is_repaired: bool,
    ) -> Result<()> {
        let mut about = serde_json::to_value(damage)?;
        about["conversation_id"] = json!(id);
        let repair = self.count(is_repaired, damage.is_repairable());
        self.print(about, repair, format_args!("{id}: {damage}"))
    }

    /// Reports the row of a connection that has ended.
    pub fn connection_ended(&mut self, id: &str) -> Result<()> {
        let about = json!({"connection_id": id, "damage": "connection_ended"});
        let repair = self.count(self.confirm, true);
        let text = format_args!("{id}: the connection has ended");
        self.print(about, repair, text)
    }

    /// Reports an index.
    pub fn index(&mut self, fault: &Fault) -> Result<()> {
        let damage = if fault.differs {
            "index_differs"
        } else {
            "index_missing"
        };
        let (collection, index) = (fault.collection, &fault.name);
        let about = json!({"collection": collection, "index": index, "damage": damage});
        let repair = self.count(false, false);
        self.print(about, repair, fault)
    }

    /// Reports a document that cannot be read, or that belongs to no conversation.
    pub fn unreadable(&mut self, collection: &'static str, document_id: String) -> Result<()> {
        let damage = Damage::Unreadable {
            collection,
            document_id,
        };
        let repair = self.count(false, false);
        self.print(serde_json::to_value(&damage)?, repair, damage)
    }

    /// Prints the numbers: as JSON on standard output, or for people on standard error.
    pub fn summarize(&self, hint: &str) -> Result<()> {
        self.progress.finish_and_clear();
        let it = &self.summary;
        if it.unnumbered > 0 {
            note(format_args!(
                "{} messages belong to no conversation: run the migration; it skips documents that are no messages",
                it.unnumbered
            ));
        }
        if it.uncertain > 0 {
            note(format_args!(
                "{} conversations seem wrong, and could not be looked at once more",
                it.uncertain
            ));
        }
        if self.output == Output::Json {
            return self.output.line(it, String::new);
        }
        note(format_args!(
            "{} conversations, {} entries: {} damages, {} repaired{hint}",
            it.conversations, it.entries, it.damages, it.repaired
        ));
        Ok(())
    }

    /// Counts a damage. Returns what became of it.
    fn count(&mut self, is_repaired: bool, is_repairable: bool) -> &'static str {
        self.summary.damages += 1;
        self.summary.repaired += u64::from(is_repaired);
        match (is_repaired, is_repairable) {
            (true, _) => "repaired",
            (false, true) if self.confirm => "failed",
            (false, true) => "possible",
            (false, false) => "impossible",
        }
    }

    fn print(&self, about: Value, repair: &'static str, text: impl Display) -> Result<()> {
        let line = Line { about, repair };
        self.progress.suspend(|| {
            self.output
                .line(&line, || format!("{text} (repair: {repair})"))
        })
    }
}
