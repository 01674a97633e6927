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
use local::processes::Process;
use local::runtime::Lambda;
use local::template::{Document, Template};
use local::{logs, supervise};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
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
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Internal::Supervise { program, arguments }) => {
            supervise::run(program, arguments).await
        }
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

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (uri, mut own_database) = find_database(&arguments).await?;
    migrate(&uri, &arguments.database).await?;

    let ws_address = websocket.local_addr()?;
    let endpoint = format!("http://{ws_address}/{}", template.websocket.stage);
    parameters.set("MongodbUri", &uri);
    parameters.set("MongodbDatabase", &arguments.database);
    parameters.set("ManagementEndpoint", &endpoint);
    let template = document.evaluate(&parameters.values)?;

    let functions = Functions::start(&arguments, &template, &binaries).await?;
    for resource in &template.not_served {
        tracing::warn!("not served here: {resource}");
    }
    let gateway = Gateway::new(template, functions.lambdas.clone());
    let http_address = http.local_addr()?;
    gateway.serve(websocket, http);
    show_screen(
        &format!("ws://{ws_address}"),
        &format!("http://{http_address}"),
    );

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: sockets, functions, database");
    gateway.end().await;
    functions.end().await;
    if let Some(database) = &mut own_database {
        database.stop().await?;
    }
    Ok(())
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

/// The connection string, and the server if it is ours.
async fn find_database(arguments: &Arguments) -> Result<(String, Option<Database>)> {
    if let Some(uri) = std::env::var("MONGODB_URI")
        .ok()
        .filter(|uri| !uri.is_empty())
    {
        tracing::info!("database: MONGODB_URI");
        let answers = database::ping(&uri).await;
        answers.context("the database behind MONGODB_URI does not answer")?;
        return Ok((uri, None));
    }
    let server = Server::find_or_install()?;
    let folder = arguments.data.join("database");
    if arguments.fresh && folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    tracing::info!("database: {} in {}", server.name(), folder.display());
    let supervisor = std::env::current_exe().context("where is this program?")?;
    let port = database::free_port()?;
    let database = Database::start(&server, &supervisor, &folder, port).await?;
    Ok((database.uri.clone(), Some(database)))
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

/// The running functions.
struct Functions {
    lambdas: BTreeMap<String, Lambda>,
    processes: TaskTracker,
    stop: CancellationToken,
}

impl Functions {
    /// Starts all at once and waits until each asks for its first event.
    async fn start(
        arguments: &Arguments,
        template: &Template,
        binaries: &Binaries,
    ) -> Result<Self> {
        let functions = Self {
            lambdas: BTreeMap::new(),
            processes: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let mut lambdas = BTreeMap::new();
        let mut starts = Vec::new();
        for function in template.functions.values() {
            let (lambda, queue) = Lambda::new(function);
            let process = Process {
                function: function.clone(),
                binary: binaries[&function.binary].clone(),
                concurrency: arguments.concurrency,
                log_level: arguments.log.to_string(),
                queue,
            };
            let (started, start) = oneshot::channel();
            let run = process.run(started, functions.stop.clone());
            functions.processes.spawn(run);
            lambdas.insert(function.name.clone(), lambda);
            starts.push(start);
        }
        for start in starts {
            start
                .await
                .context("a function process is not looked after any more")??;
        }
        Ok(Self {
            lambdas,
            ..functions
        })
    }

    async fn end(&self) {
        self.stop.cancel();
        self.processes.close();
        self.processes.wait().await;
    }
}

/// Addresses and lines to paste, then `ready` for programs that wait for it.
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

ready"
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
