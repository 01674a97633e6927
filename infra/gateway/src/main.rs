//! `local-gateway`: serves a template on one machine. `cargo local` is this program with `--chat`.

mod chat_auth;
mod chat_database;
mod chat_screen;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use chat_auth::Authorization;
use chat_database::ChatDatabase;
use clap::{Parser, Subcommand};
use local_gateway::faults::{Faults, Switches};
use local_gateway::gateway::{Gateway, Settings};
use local_gateway::http::sigv4::AccessKey;
use local_gateway::lambda::endpoint::Names;
use local_gateway::lambda::pool::{self, Concurrency, Functions};
use local_gateway::lambda::watch::{self, Watch};
use local_gateway::lambda::{Lambdas, endpoint};
use local_gateway::process::{build, supervise};
use local_gateway::template::{Document, Template};
use local_gateway::{custom_resource, logs};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Processes of a function, unless the developer says otherwise.
const PROCESSES: u32 = 10;

/// API Gateway and Lambda on one machine: serves the WebSocket API and the HTTP API of a SAM or
/// CloudFormation template, with its Rust functions as processes.
///
/// As `cargo local` it serves the MeetMe chat (--chat): the database is MONGODB_URI if that is set,
/// else mongod if it is on the PATH, else a MongoDB-compatible server that is built once.
#[derive(Parser)]
#[command(name = "local-gateway", version)]
struct Arguments {
    /// The template [default: template.yaml, template.yml or infra/template.yaml, here or above]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// Value of a parameter of the template; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,

    /// Port of the WebSocket API, @connections and the Invoke API; 0 takes any free one
    #[arg(long, default_value_t = 3001, value_name = "PORT")]
    ws_port: u16,

    /// Port of the HTTP API; 0 takes any free one
    #[arg(long, default_value_t = 3000, value_name = "PORT")]
    http_port: u16,

    /// Build the functions with optimisations
    #[arg(long)]
    release: bool,

    /// Take the functions from this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,

    /// Processes of a function, each with one event at a time, started as they are needed
    /// [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: Option<u32>,

    /// Instead: one process of a function, with so many events at once
    /// (AWS_LAMBDA_MAX_CONCURRENCY)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    #[arg(conflicts_with = "concurrency")]
    in_flight: Option<u32>,

    /// Instead: run the functions by `cargo lambda watch`, which builds them again when their source
    /// changes
    #[arg(long, conflicts_with_all = ["concurrency", "in_flight", "binaries", "lambda_endpoint"])]
    watch: bool,

    /// Instead: invoke the functions by the Lambda Invoke API at this address, such as that of
    /// `cargo lambda watch`
    #[arg(long, value_name = "URL")]
    #[arg(conflicts_with_all = ["concurrency", "in_flight", "binaries", "release"])]
    lambda_endpoint: Option<String>,

    /// Close sockets after so many seconds of silence
    #[arg(long, default_value = "600", value_name = "SECONDS", value_parser = seconds)]
    idle_timeout: Duration,

    /// Close sockets after so many seconds
    #[arg(long, default_value = "7200", value_name = "SECONDS", value_parser = seconds)]
    lifetime: Duration,

    /// Key that may call @connections, may be repeated; functions get the first
    #[arg(
        long = "access-key",
        default_value = "local:local",
        value_name = "ID:SECRET"
    )]
    access_keys: Vec<AccessKey>,

    /// Faults on demand, as JSON: see the README of this program
    #[arg(long, default_value = "{}", value_name = "JSON")]
    fault: Faults,

    /// Least level of log lines: error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log: LevelFilter,

    /// Format of the functions' log lines; in JSON they are as on Lambda, with metrics among them
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,

    /// Address of an X-Ray daemon (HOST:PORT): functions are told it, and send it their traces
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["watch", "lambda_endpoint"])]
    xray_daemon: Option<String>,

    /// Serve the MeetMe chat: with a database, and the URLs of the old system
    #[arg(long)]
    chat: bool,

    #[command(flatten)]
    chat_auth: chat_auth::Flags,

    #[command(flatten)]
    chat_database: chat_database::Flags,

    #[command(subcommand)]
    command: Option<Internal>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// What functions are told.
    fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Json => "JSON",
        }
    }
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

fn pair(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').context("a parameter is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse()?)?;
    match duration.is_zero() {
        true => bail!("it must be more than 0"),
        false => Ok(duration),
    }
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
        // In one write: functions that still end share standard error, and their lines come between
        // the pieces that `eprintln` writes.
        let line = format!("error: {error:#}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        std::process::exit(1);
    }
}

async fn serve(arguments: Arguments) -> Result<()> {
    logs::start(arguments.log);
    raise_file_limit();
    let path = find_template(&arguments)?;
    let document = Document::read(&path)?;
    let authorization = arguments.chat_auth.choose(&arguments.parameters).await?;
    let template = document.evaluate(&parameters(&arguments, &authorization, "not known yet"))?;
    for resource in &template.not_served {
        tracing::warn!("not served here: {resource}");
    }
    // A port in use shows before minutes of building.
    let listeners = Listeners::open(&arguments, &template).await?;
    if arguments.watch {
        watch::check_installed().await?;
    }
    if arguments.chat && matches!(authorization, Authorization::Off) {
        tracing::warn!("{}", chat_auth::OFF);
    }
    let source = Source::prepare(&arguments, &template)?;
    let database = match arguments.chat {
        true => Some(ChatDatabase::choose()?),
        false => None,
    };

    // Until here Ctrl-C ends us and the builds at once; from here on it is a request to stop.
    let mut interrupt = Interrupt::listen()?;
    let start = async {
        let database = match database {
            Some(database) => Some(database.start(&arguments.chat_database, &path).await?),
            None => None,
        };
        let uri = database.as_ref().map_or("", |database| &database.uri);
        let mut template = document.evaluate(&parameters(&arguments, &authorization, uri))?;
        template.set_addresses(&listeners.websocket_address()?, &listeners.http_address()?);
        let host = Host::start(&arguments, &template, source).await?;
        custom_resource::create_all(&template, &host.lambdas()).await?;
        anyhow::Ok((template, host, database))
    };
    let (template, mut host, mut database) = tokio::select! {
        started = start => started?,
        // What has been started ends with us.
        () = interrupt.wait() => return Ok(()),
    };
    let settings = Settings {
        idle_timeout: arguments.idle_timeout,
        lifetime: arguments.lifetime,
        access_keys: arguments.access_keys,
        chat_paths: arguments.chat,
        faults: Switches::new(Faults::default()),
    };
    let gateway = Gateway::new(template, host.lambdas(), settings);
    gateway.set_faults(arguments.fault).context("--fault")?;
    let chat = arguments.chat.then_some(&authorization);
    show_screen(&gateway.template, &listeners, chat)?;
    listeners.serve(&gateway);
    println!("ready");

    let outcome = tokio::select! {
        () = interrupt.wait() => Ok(()),
        problem = database_ended(&mut database) => Err(problem),
        problem = host.ended() => Err(problem),
    };
    tracing::info!("stopping");
    let stop = async {
        gateway.end().await;
        host.end().await?;
        match database {
            Some(database) => database.stop().await,
            None => Ok(()),
        }
    };
    tokio::select! {
        stopped = stop => outcome.and(stopped),
        // Asked twice: what is left ends with us.
        () = interrupt.wait() => std::process::exit(130),
    }
}

/// Values for the template's parameters: the chat's own, unless the developer gives others.
fn parameters(
    arguments: &Arguments,
    authorization: &Authorization,
    uri: &str,
) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    if arguments.chat {
        parameters.extend(arguments.chat_database.parameters(uri));
        parameters.extend(authorization.parameters());
    }
    parameters.extend(arguments.parameters.iter().cloned());
    parameters
}

async fn database_ended(database: &mut Option<ChatDatabase>) -> anyhow::Error {
    match database {
        Some(database) => database.ended().await,
        None => std::future::pending().await,
    }
}

/// Each socket is a file; the usual limit is for programs with few.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

/// The template that is asked for, else the nearest one.
fn find_template(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(path) = &arguments.template {
        return Ok(path.clone());
    }
    let here = std::env::current_dir().context("there is no current folder")?;
    let names = ["template.yaml", "template.yml", "infra/template.yaml"];
    let candidates = here
        .ancestors()
        .flat_map(|folder| names.map(|name| folder.join(name)));
    let mut found = candidates.filter(|path| path.is_file());
    found
        .next()
        .context("there is no template.yaml here or above: name one with --template")
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("where is this program?")
}

/// The ports that a template needs.
struct Listeners {
    websocket: TcpListener,
    http: Option<TcpListener>,
}

impl Listeners {
    async fn open(arguments: &Arguments, template: &Template) -> Result<Self> {
        Ok(Self {
            // It has the Invoke API, whatever the template has.
            websocket: listen(arguments.ws_port, "--ws-port").await?,
            http: match &template.http {
                Some(_) => Some(listen(arguments.http_port, "--http-port").await?),
                None => None,
            },
        })
    }

    fn websocket_address(&self) -> Result<String> {
        Ok(self.websocket.local_addr()?.to_string())
    }

    fn http_address(&self) -> Result<String> {
        match &self.http {
            Some(http) => Ok(http.local_addr()?.to_string()),
            None => Ok(String::new()),
        }
    }

    fn serve(self, gateway: &std::sync::Arc<Gateway>) {
        gateway.serve_websocket(self.websocket);
        if let Some(http) = self.http {
            gateway.serve_http(http);
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

/// Where the functions come from.
enum Source {
    Binaries(build::Binaries),
    Watch,
    Endpoint(String),
}

impl Source {
    fn prepare(arguments: &Arguments, template: &Template) -> Result<Self> {
        if let Some(url) = &arguments.lambda_endpoint {
            return Ok(Self::Endpoint(url.clone()));
        }
        let functions = template.functions.values();
        let binaries = match &arguments.binaries {
            Some(folder) => build::find(folder, functions)?,
            // cargo lambda watch finds them built, which is quicker and shows what goes on.
            None => build::build(functions, arguments.release)?,
        };
        Ok(if arguments.watch {
            Self::Watch
        } else {
            Self::Binaries(binaries)
        })
    }
}

/// What runs the functions.
enum Host {
    Own(Functions),
    Watch(Watch, Lambdas),
    Endpoint(Lambdas),
}

impl Host {
    async fn start(arguments: &Arguments, template: &Template, source: Source) -> Result<Self> {
        let program = this_program()?;
        let access_key = arguments
            .access_keys
            .first()
            .context("there is no access key")?;
        let log_level = arguments.log.to_string();
        let log_format = arguments.log_format.name();
        Ok(match source {
            Source::Binaries(binaries) => {
                let settings = pool::Settings {
                    concurrency: match arguments.in_flight {
                        Some(events) => Concurrency::InFlight(events),
                        None => Concurrency::Processes(arguments.concurrency.unwrap_or(PROCESSES)),
                    },
                    log_level,
                    log_format,
                    xray_daemon: arguments.xray_daemon.clone(),
                    access_key: access_key.clone(),
                };
                Self::Own(Functions::start(template, &binaries, settings, &program).await?)
            }
            Source::Watch => {
                let release = arguments.release;
                let log = (log_level.as_str(), log_format);
                let watch = Watch::start(template, access_key, log, release, &program).await?;
                let names = Names::Binaries;
                let lambdas = endpoint::functions(template, &watch.url, names, access_key)?;
                endpoint::warm_up(template, &lambdas).await;
                Self::Watch(watch, lambdas)
            }
            Source::Endpoint(url) => {
                let names = Names::Functions;
                let lambdas = endpoint::functions(template, &url, names, access_key);
                let lambdas = lambdas.context("--lambda-endpoint")?;
                endpoint::warm_up(template, &lambdas).await;
                Self::Endpoint(lambdas)
            }
        })
    }

    fn lambdas(&self) -> Lambdas {
        match self {
            Self::Own(functions) => functions.lambdas(),
            Self::Watch(_, lambdas) | Self::Endpoint(lambdas) => lambdas.clone(),
        }
    }

    /// Waits until it has ended by itself, which it should not.
    async fn ended(&mut self) -> anyhow::Error {
        match self {
            Self::Watch(watch, _) => watch.ended().await,
            Self::Own(_) | Self::Endpoint(_) => std::future::pending().await,
        }
    }

    async fn end(self) -> Result<()> {
        match self {
            Self::Own(functions) => functions.end().await,
            Self::Watch(watch, _) => watch.stop().await?,
            Self::Endpoint(_) => {}
        }
        Ok(())
    }
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

/// Addresses, and lines to paste.
fn show_screen(
    template: &Template,
    listeners: &Listeners,
    chat: Option<&Authorization>,
) -> Result<()> {
    let (ws, http) = (listeners.websocket_address()?, listeners.http_address()?);
    println!();
    if let Some(api) = &template.websocket {
        let stage = &api.stage.name;
        println!("  WebSocket     ws://{ws}/{stage}");
        println!("  @connections  http://{ws}/{stage}");
    }
    if let Some(api) = &template.http {
        let stage = match api.stage.name.as_str() {
            "$default" => String::new(),
            name => format!("/{name}"),
        };
        println!("  HTTP          http://{http}{stage}");
    }
    println!(
        "  Functions     http://{ws} (Invoke API: {})",
        names(template)
    );
    if let Some(authorization) = chat {
        chat_screen::show(authorization, &ws, &http)?;
    }
    println!("\n  Ctrl-C stops everything.\n");
    Ok(())
}

fn names(template: &Template) -> String {
    let names: Vec<&str> = template.functions.keys().map(String::as_str).collect();
    names.join(", ")
}

/// The folder of what belongs to a template: its workspace, else its own.
fn home_of(template: &Path) -> Result<PathBuf> {
    let folder = template.canonicalize()?;
    let folder = folder.parent().context("a file is in a folder")?;
    Ok(build::workspace_of(folder).unwrap_or_else(|_| folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from(["local-gateway"]);
        assert!(
            find_template(&arguments)
                .expect("ours")
                .ends_with("infra/template.yaml")
        );
        assert!(Arguments::try_parse_from(["local-gateway", "--idle-timeout", "0"]).is_err());
        assert!(Arguments::try_parse_from(["local-gateway", "--parameter", "Stage"]).is_err());
    }
}
