//! `cargo local`: the whole chat on one machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use chat::config::DatabaseConfig;
use chat::{Store, migration};
use clap::{Parser, Subcommand};
use local::binaries::{self, Binaries};
use local::database::{self, Database, Server};
use local::gateway::Gateway;
use local::processes::Functions;
use local::template::{Document, Template};
use local::{logs, supervise};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// The chat on one machine: builds the functions, starts a database, and serves what
/// infra/template.yaml describes.
///
/// The database is MONGODB_URI if that is set, else mongod if it is on the PATH, else a
/// MongoDB-compatible server that is built once.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
struct Arguments {
    /// Port of the WebSocket API; 0 takes any free one
    #[arg(long, default_value_t = 3001)]
    ws_port: u16,

    /// Port of the HTTP API; 0 takes any free one
    #[arg(long, default_value_t = 3000)]
    http_port: u16,

    /// Build the functions with optimisations
    #[arg(long)]
    release: bool,

    /// Events that a function takes at once; 1 is one after another
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,

    /// Start with an empty database (of our own; one behind MONGODB_URI is never touched)
    #[arg(long)]
    fresh: bool,

    /// Least level of log lines: error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log: LevelFilter,

    /// Name of the database
    #[arg(long, default_value = DatabaseConfig::DEFAULT_DATABASE, value_name = "NAME")]
    database: String,

    /// Where our own database keeps its data
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.local"), value_name = "FOLDER")]
    data: PathBuf,

    /// Take the functions from this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,

    /// The SAM template
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"), value_name = "FILE")]
    template: PathBuf,

    #[command(subcommand)]
    command: Option<Internal>,
}

#[derive(Subcommand)]
enum Internal {
    /// Runs a program that ends when standard input does
    #[command(hide = true)]
    Supervise {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Kills its process group when standard input ends
    #[command(hide = true)]
    SuperviseGroup,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Internal::Supervise { program, arguments }) => {
            supervise::run(program, arguments).await
        }
        Some(Internal::SuperviseGroup) => supervise::run_group().await,
        None => serve(arguments).await,
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

async fn serve(arguments: Arguments) -> Result<()> {
    logs::start(arguments.log);
    // A port in use shows before minutes of building.
    let websocket = listen(arguments.ws_port, "--ws-port").await?;
    let http = listen(arguments.http_port, "--http-port").await?;
    let document = Document::read(&arguments.template)?;
    let mut parameters = Parameters::new(&document);
    parameters.set("MongodbUri", "not known yet");
    let template = document.evaluate(&parameters.values)?;
    let binaries = find_binaries(&arguments, &template)?;
    let source = Source::choose()?;

    // Until here Ctrl-C ends us and the builds at once; from here on it is a request to stop.
    let mut interrupt = Interrupt::listen()?;
    let start = async {
        let (uri, database) = source.start(&arguments).await?;
        migrate(&uri, &arguments.database).await?;
        let endpoint = format!(
            "http://{}/{}",
            websocket.local_addr()?,
            template.websocket.stage
        );
        parameters.set("MongodbUri", &uri);
        parameters.set("MongodbDatabase", &arguments.database);
        parameters.set("ManagementEndpoint", &endpoint);
        let template = document.evaluate(&parameters.values)?;
        let log_level = arguments.log.to_string();
        let functions = Functions::start(
            &template,
            &binaries,
            arguments.concurrency,
            &log_level,
            &this_program()?,
        )
        .await
        .context("the functions do not start")?;
        anyhow::Ok((template, functions, database))
    };
    let (template, functions, mut database) = tokio::select! {
        started = start => started?,
        // What has been started ends with us.
        () = interrupt.wait() => return Ok(()),
    };
    for resource in &template.not_served {
        tracing::warn!("not served here: {resource}");
    }
    let gateway = Gateway::new(template, functions.lambdas());
    show_screen(
        &format!("ws://{}", websocket.local_addr()?),
        &format!("http://{}", http.local_addr()?),
    );
    gateway.serve(websocket, http);
    println!("ready");

    let outcome = tokio::select! {
        () = interrupt.wait() => Ok(()),
        problem = database_ended(&mut database) => Err(problem),
    };
    tracing::info!("stopping: sockets, functions, database");
    let stop = async {
        gateway.end().await;
        functions.end().await;
        match database {
            Some(mut database) => database.stop().await,
            None => Ok(()),
        }
    };
    tokio::select! {
        stopped = stop => outcome.and(stopped),
        // Asked twice: what is left ends with us.
        () = interrupt.wait() => std::process::exit(130),
    }
}

async fn database_ended(database: &mut Option<Database>) -> anyhow::Error {
    match database {
        Some(database) => database.ended().await,
        // One that is not ours is not ours to watch.
        None => std::future::pending().await,
    }
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("where is this program?")
}

/// Ctrl-C, or a polite kill.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Values for the parameters that a template has.
struct Parameters<'a> {
    document: &'a Document,
    values: BTreeMap<String, String>,
}

impl<'a> Parameters<'a> {
    fn new(document: &'a Document) -> Self {
        Self {
            document,
            values: BTreeMap::new(),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        if self.document.has_parameter(name) {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }
}

async fn listen(port: u16, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow!(
                "port {port} is in use: stop what listens there, or choose another with {flag}"
            ),
            _ => anyhow!(error).context(format!("cannot listen on port {port}")),
        })
}

fn find_binaries(arguments: &Arguments, template: &Template) -> Result<Binaries> {
    let functions = template.functions.values();
    match &arguments.binaries {
        Some(folder) => binaries::find(folder, functions),
        None => binaries::build(functions, arguments.release),
    }
}

/// Where the database comes from.
enum Source {
    /// `MONGODB_URI`.
    Given(String),
    /// A server that we run.
    Own(Server),
}

impl Source {
    fn choose() -> Result<Self> {
        match std::env::var("MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => Ok(Self::Given(uri)),
            _ => Ok(Self::Own(Server::find_or_install()?)),
        }
    }

    /// Gives the connection string, and the server if it is ours.
    async fn start(self, arguments: &Arguments) -> Result<(String, Option<Database>)> {
        let server = match self {
            Self::Given(uri) => {
                tracing::info!("database: MONGODB_URI");
                let answers = database::ping(&uri).await;
                answers.context("the database behind MONGODB_URI does not answer")?;
                return Ok((uri, None));
            }
            Self::Own(server) => server,
        };
        std::fs::create_dir_all(&arguments.data)
            .with_context(|| format!("cannot make {}", arguments.data.display()))?;
        let folder = arguments.data.canonicalize()?.join(server.folder_name());
        tracing::info!("database: {} in {}", server.name(), folder.display());
        let port = database::free_port()?;
        let database =
            Database::start(&server, &this_program()?, &folder, port, arguments.fresh).await?;
        Ok((database.uri.clone(), Some(database)))
    }
}

async fn migrate(uri: &str, database: &str) -> Result<()> {
    let config = DatabaseConfig::new(uri, database);
    let mut reported = 0;
    let migrated = async {
        let store = Store::open(&config).await?;
        migration::run(store.database(), |done, total| {
            if done - reported >= 10_000 || done == total {
                reported = done;
                tracing::info!("migration: {done} of {total} old messages numbered");
            }
        })
        .await
    };
    let summary = migrated
        .await
        .map_err(|error| anyhow!(error.chain()).context("the migration failed"))?;
    if summary.left_alone > 0 {
        tracing::warn!(
            "migration: {} documents have no valid sender_id, receiver_id, message and timestamp \
             and were left alone",
            summary.left_alone
        );
    }
    Ok(())
}

/// Addresses, and lines to paste.
fn show_screen(ws: &str, http: &str) {
    println!(
        "
  MeetMe chat

  WebSocket  {ws}/?user_id=…   or {ws}/ws/chat/…
  History    {http}/chat/history?user1=…&user2=…

  Try it, each line in a terminal of its own (npx wscat, or websocat):

    npx wscat -c '{ws}/?user_id=student@example.com'
    npx wscat -c '{ws}/?user_id=prof@example.com' \\
      -x '{{\"action\":\"sendMessage\",\"receiver_id\":\"student@example.com\",\"message\":\"At 3PM?\"}}' -w 1
    curl '{http}/chat/history?user1=prof@example.com&user2=student@example.com'

  Ctrl-C stops everything.
"
    );
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
        assert!(Arguments::parse_from(["local"]).template.is_file());
    }
}
