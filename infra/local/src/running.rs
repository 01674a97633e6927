//! Where the running chat is, for programs of the same checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The folder of the database of our own, in that of the workspace.
pub const DATA: &str = ".local";

/// The file of a running chat, in the folder of its database.
const FILE: &str = "running.json";

/// A chat that runs with a database of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningChat {
    /// The connection string of the database.
    pub uri: String,
    /// Its name.
    pub database: String,
    /// The base URL of the `@connections` API.
    pub management_endpoint: String,
}

/// The file of a chat, which is removed with this.
pub struct Announcement(PathBuf);

impl RunningChat {
    /// Writes the file into the folder of the database.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn announce(&self, data: &Path) -> Result<Announcement> {
        let file = data.join(FILE);
        let text = serde_json::to_string(self)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Announcement(file))
    }

    /// Finds the chat of a folder or of the nearest one above it. One that was killed is found too.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find(folder: &Path) -> Result<Self> {
        let mut files = folder
            .ancestors()
            .map(|folder| folder.join(DATA).join(FILE));
        let file = files
            .find(|file| file.is_file())
            .context("no chat runs here")?;
        let text = std::fs::read_to_string(&file)?;
        serde_json::from_str(&text).with_context(|| format!("{} is malformed", file.display()))
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Who finds it finds no chat there.
        let _ = std::fs::remove_file(&self.0);
    }
}
