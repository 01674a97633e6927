//! What is printed: tables and sentences for people, or JSON for programs, one object a line.
//!
//! Texts, names of groups and ids are what users chose. For people all of it is printed [`visible`]: no text moves the
//! cursor of the operator's terminal, sets its clipboard, or looks like a line of this program.

use std::fmt::Display;
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
    /// Prints a value as JSON, or as `text`, which is one line.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub fn line(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let line = match self {
            Self::Json => serde_json::to_string(value)?,
            Self::Text => visible(&text()),
        };
        writeln!(io::stdout(), "{line}")?;
        Ok(())
    }

    /// Prints a line for people alone: programs have it in a field of another line.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub fn text(self, line: &str) -> Result<()> {
        if self == Self::Text {
            writeln!(io::stdout(), "{}", visible(line))?;
        }
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
            table.add_row(cells(row).map(|cell| visible(&cell)));
        }
        writeln!(io::stdout(), "{}", table.trim_fmt())?;
        Ok(())
    }
}

/// Prints a sentence about the work to standard error, in both forms of output. If nobody reads it, the work goes on.
pub fn note(sentence: impl Display) {
    let _ = writeln!(io::stderr(), "{}", visible(&sentence.to_string()));
}

/// Returns a number with its noun.
pub fn count(number: impl TryInto<u64> + Display, noun: &str) -> String {
    let number_and_noun = format!("{number} {noun}");
    match (number.try_into(), number_and_noun.strip_suffix('y')) {
        (Ok(1), _) => number_and_noun,
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{number_and_noun}s"),
    }
}

/// Returns whether an error says that the reader of standard output has left, as `head` does.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref().is_some_and(is_broken)
}

/// Returns a text with its control characters, and those that change the order or the lines of a text, as escapes.
fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
    }
    visible
}

/// Line and paragraph separators, and the embeddings, overrides and isolates of [bidirectional text][bidi], are no
/// control characters to Unicode.
///
/// [bidi]: https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
fn is_invisible(character: char) -> bool {
    let is_formatting = matches!(
        character,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || is_formatting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_has_the_form_of_its_number() {
        assert_eq!(count(0, "text"), "0 texts");
        assert_eq!(count(1_u64, "entry"), "1 entry");
        assert_eq!(count(2_usize, "entry"), "2 entries");
    }

    #[test]
    fn what_acts_on_a_terminal_is_printed_as_an_escape_and_all_else_as_it_is() {
        let acting = "\u{1b}]52;c;aGk=\u{7}\r\n\t\u{9b}2J\u{7f}\u{2028}\u{202e}\u{2069}";
        let escapes = r"\u{1b}]52;c;aGk=\u{7}\r\n\t\u{9b}2J\u{7f}\u{2028}\u{202e}\u{2069}";
        assert_eq!(visible(acting), escapes);
        // Letters of all scripts, joined emoji, and the marks that Hebrew and Arabic need.
        let harmless = "Grüße, שלום\u{200f}! 👩\u{200d}💻 C:\\temp";
        assert_eq!(visible(harmless), harmless);
    }
}
