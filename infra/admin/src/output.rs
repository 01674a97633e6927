//! What is printed: tables and sentences for people, or JSON for programs, one object a line.

use std::io::{self, Write};

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// Prints a value as JSON, or as `text`.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub fn line(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let line = match self {
            Self::Json => serde_json::to_string(value)?,
            Self::Text => text(),
        };
        writeln!(io::stdout(), "{line}")?;
        Ok(())
    }

    /// Prints rows: as a table with a heading, or each as JSON.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub fn rows<T: Serialize, const N: usize>(
        self,
        heading: [&str; N],
        rows: &[T],
        cells: impl Fn(&T) -> [String; N],
    ) -> Result<()> {
        if self == Self::Json {
            return rows.iter().try_for_each(|row| self.line(row, String::new));
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(heading);
        for row in rows {
            table.add_row(cells(row));
        }
        writeln!(io::stdout(), "{}", table.trim_fmt())?;
        Ok(())
    }
}
