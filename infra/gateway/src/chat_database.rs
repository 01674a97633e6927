//! The database of the chat.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chat::store::StoreConfig;
use clap::Args;
use local_gateway::database::{self, Database, Server};
use local_gateway::process::ports::free_port;

/// Flags that mean something with `--chat`.
#[derive(Args)]
#[command(next_help_heading = "With --chat")]
pub struct Flags {
    /// Name of the database
    #[arg(long, default_value = StoreConfig::DEFAULT_DATABASE, value_name = "NAME")]
    database: String,

    /// Where our own database keeps its data [default: .local in the workspace of the template]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Start with an empty database (of our own; one behind MONGODB_URI is never touched)
    #[arg(long)]
    fresh: bool,
}

impl Flags {
    /// Parameters of the chat's template, with the connection string `uri`.
    pub fn parameters(&self, uri: &str) -> [(String, String); 2] {
        [
            ("MongodbUri".to_owned(), uri.to_owned()),
            ("MongodbDatabase".to_owned(), self.database.clone()),
        ]
    }
}

/// Where the database comes from.
pub enum Choice {
    /// `MONGODB_URI`.
    Given(String),
    /// A server that we run.
    Own(Server),
}

/// A database that answers.
pub struct ChatDatabase {
    /// Its connection string.
    pub uri: String,
    own: Option<Database>,
}

impl ChatDatabase {
    /// Finds out which database it is, and installs one if need be.
    ///
    /// # Errors
    ///
    /// There is none and none can be installed.
    pub fn choose() -> Result<Choice> {
        match std::env::var("MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => Ok(Choice::Given(uri)),
            _ => Ok(Choice::Own(Server::find_or_install()?)),
        }
    }

    /// Waits until a server of ours has ended by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        match &mut self.own {
            Some(database) => database.ended().await,
            // One that is not ours is not ours to watch.
            None => std::future::pending().await,
        }
    }

    /// Stops a server of ours.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        match self.own {
            Some(mut database) => database.stop().await,
            None => Ok(()),
        }
    }
}

impl Choice {
    /// Starts the database if it is ours, and waits until it answers.
    ///
    /// # Errors
    ///
    /// It does not start, or does not answer.
    pub async fn start(self, flags: &Flags, template: &Path) -> Result<ChatDatabase> {
        Ok(match self {
            Self::Given(uri) => {
                tracing::info!("database: MONGODB_URI");
                let answers = database::ping(&uri).await;
                answers.context("the database behind MONGODB_URI does not answer")?;
                ChatDatabase { uri, own: None }
            }
            Self::Own(server) => {
                let own = start_own(&server, flags, template).await?;
                ChatDatabase {
                    uri: own.uri.clone(),
                    own: Some(own),
                }
            }
        })
    }
}

async fn start_own(server: &Server, flags: &Flags, template: &Path) -> Result<Database> {
    let data = match &flags.data {
        Some(data) => data.clone(),
        None => crate::home_of(template)?.join(".local"),
    };
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let folder = data.canonicalize()?.join(server.folder_name());
    tracing::info!("database: {} in {}", server.name(), folder.display());
    let port = free_port()?;
    Database::start(server, &crate::this_program()?, &folder, port, flags.fresh).await
}
