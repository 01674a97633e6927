//! From a template to a gateway that runs, step by step: [`Startup::open`], [`Startup::build`],
//! [`Startup::start`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::apigw::state::{Gateway, PathRewrite, Settings};
use crate::cli::Flags;
use crate::deploy;
use crate::faults::{Faults, Switches};
use crate::http::sigv4::verify::Verifier;
use crate::lambda::{self, Functions, Source, watch};
use crate::model::{Schedule, Template};
use crate::process::{build, script};
use crate::server;
use crate::template::Document;
use crate::tls::Tls;

/// Options of a gateway.
pub struct Options {
    /// The flags of the command line.
    pub flags: Flags,
    /// Values for parameters of the template that the command line does not give.
    pub parameters: BTreeMap<String, String>,
    /// Other paths of the WebSocket API than its stage.
    pub path_rewrite: Option<PathRewrite>,
    /// Refuses the requests of web pages that are not on this machine, with this message. For APIs without
    /// authorization: any page that somebody visits could call them.
    pub page_refusal: Option<&'static str>,
}

/// A gateway that does not run yet: its template is valid and its ports are open.
pub struct Startup {
    flags: Flags,
    template_path: PathBuf,
    template: Template,
    listeners: Listeners,
    /// `None` if there is no certificate.
    tls: Option<TlsAcceptor>,
    path_rewrite: Option<PathRewrite>,
    page_refusal: Option<&'static str>,
    /// The schedules that fire at the start.
    fire_now: Vec<Schedule>,
    source: Option<Source>,
}

impl Startup {
    /// Reads the template and opens the ports.
    ///
    /// # Errors
    ///
    /// The template is malformed, or a port is in use.
    pub async fn open(options: Options) -> Result<Self> {
        let Options {
            flags,
            parameters,
            path_rewrite,
            page_refusal,
        } = options;
        let template_path = flags.find_template()?;
        let document = Document::read(&template_path)?;
        let mut template = document.evaluate(&flags.parameters(parameters))?;
        for resource in &template.not_served {
            tracing::warn!("not served here: {resource}");
        }
        let fire_now = fire_now(&flags, &template)?;
        // A port that is in use is reported now, and not after minutes of building.
        let listeners = Listeners::open(&flags, &template).await?;
        template.set_addresses(&listeners.websocket_address()?, &listeners.http_address()?);
        let tls = open_tls(&mut template).await;
        let mut functions = template.functions.values();
        if flags.watch && functions.any(|function| function.binary().is_some()) {
            watch::check_installed().await?;
        }
        Ok(Self {
            flags,
            template_path,
            template,
            listeners,
            tls,
            path_rewrite,
            page_refusal,
            fire_now,
            source: None,
        })
    }

    /// Returns the folder of the workspace of the template, else the folder of the template.
    ///
    /// # Errors
    ///
    /// The template does not exist any longer.
    pub async fn home(&self) -> Result<PathBuf> {
        let path = self.template_path.canonicalize()?;
        let folder = path.parent().context("a file is in a folder")?;
        let workspace = build::workspace_of(folder).await;
        Ok(workspace.unwrap_or_else(|_| folder.to_owned()))
    }

    /// Builds the functions, or finds them.
    ///
    /// # Errors
    ///
    /// They do not build, or one is missing.
    pub async fn build(&mut self) -> Result<()> {
        let base = self
            .template_path
            .parent()
            .context("a file is in a folder")?;
        self.source = Some(source(&self.flags, &self.template, base).await?);
        Ok(())
    }

    /// Starts the functions, makes the custom resources, and serves.
    ///
    /// # Errors
    ///
    /// A function does not start, or a custom resource is not made.
    pub async fn start(self) -> Result<Running> {
        let source = self.source.context("the functions are not built")?;
        let (flags, template, listeners) = (self.flags, self.template, self.listeners);
        let faults = Arc::new(Switches::new(Faults::default()));
        let settings = function_settings(&flags)?;
        let functions = Functions::start(&template, source, settings, Arc::clone(&faults)).await;
        let functions = match &flags.lambda_endpoint {
            Some(_) => functions.context("--lambda-endpoint")?,
            None => functions?,
        };
        // A custom resource needs its own function, and not all others.
        let skip_failed = flags.skip_failed_resources;
        tokio::try_join!(
            deploy::create_all(&template, &functions, skip_failed),
            async {
                functions.wait_started().await;
                Ok(())
            }
        )?;
        let settings = Settings {
            idle_timeout: flags.idle_timeout,
            lifetime: flags.lifetime,
            management_verifier: Verifier::new("execute-api", flags.access_keys.clone()),
            invoke_verifier: Verifier::new("lambda", flags.access_keys.clone()),
            sqs_verifier: Verifier::new("sqs", flags.access_keys),
            sqs_url: format!("http://{}", listeners.websocket_address()?),
            path_rewrite: self.path_rewrite,
            page_refusal: self.page_refusal,
        };
        let running = Running {
            websocket: listeners.websocket_address()?,
            http: listeners.http_address()?,
            gateway: Gateway::new(template, functions, faults, settings),
        };
        running.gateway.set_faults(flags.fault).context("--fault")?;
        listeners.serve(&running.gateway, self.tls);
        running.gateway.consume_queues();
        running.gateway.run_schedules(self.fire_now);
        Ok(running)
    }
}

/// A gateway that serves.
pub struct Running {
    /// The address of the WebSocket API, of @connections, of the Invoke API and of the queues:
    /// `127.0.0.1:3001`.
    pub websocket: String,
    /// The address of the HTTP API; empty if there is none.
    pub http: String,
    gateway: Arc<Gateway>,
}

impl Running {
    /// Opens the ports, builds the functions and starts them.
    ///
    /// # Errors
    ///
    /// A step of [`Startup`] fails.
    pub async fn start(options: Options) -> Result<Self> {
        let mut startup = Startup::open(options).await?;
        startup.build().await?;
        startup.start().await
    }

    /// Returns the base URL of the `@connections` API; `None` without a WebSocket API.
    pub fn management_endpoint(&self) -> Option<String> {
        let api = self.gateway.template.websocket.as_ref()?;
        Some(format!("http://{}/{}", self.websocket, api.stage.name))
    }

    /// Returns the addresses for the start-up screen, a line each.
    pub fn addresses(&self) -> String {
        let (ws, http) = (&self.websocket, &self.http);
        let template = &self.gateway.template;
        let mut lines = Vec::new();
        if let Some(api) = &template.websocket {
            let stage = &api.stage.name;
            lines.push(format!("  WebSocket     ws://{ws}/{stage}"));
        }
        if let Some(endpoint) = self.management_endpoint() {
            lines.push(format!("  @connections  {endpoint}"));
        }
        if let Some(api) = &template.http {
            let stage = match api.stage.name.as_str() {
                "$default" => String::new(),
                name => format!("/{name}"),
            };
            lines.push(format!("  HTTP          http://{http}{stage}"));
        }
        let names: Vec<&str> = template.functions.keys().map(String::as_str).collect();
        let names = names.join(", ");
        lines.push(format!("  Functions     http://{ws} (Invoke API: {names})"));
        if !template.queues.is_empty() {
            let names: Vec<&str> = template.queues.keys().map(String::as_str).collect();
            lines.push(format!(
                "  Queues        http://{ws} (SQS: {})",
                names.join(", ")
            ));
        }
        if !template.schedules.is_empty() {
            let names: Vec<&str> = template.schedules.iter().map(|it| it.id.as_str()).collect();
            lines.push(format!("  Schedules     {}", names.join(", ")));
        }
        lines.join("\n")
    }

    /// Waits until the functions have ended by themselves; returns why.
    pub async fn wait(&self) -> anyhow::Error {
        self.gateway.functions.wait().await
    }

    /// Closes all connections and stops the functions.
    ///
    /// # Errors
    ///
    /// `cargo lambda watch` cannot be waited for.
    pub async fn shutdown(self) -> Result<()> {
        self.gateway.shutdown().await;
        self.gateway.functions.shutdown().await
    }
}

/// The ports that a template needs.
struct Listeners {
    websocket: TcpListener,
    http: Option<TcpListener>,
}

impl Listeners {
    async fn open(flags: &Flags, template: &Template) -> Result<Self> {
        Ok(Self {
            // It has the Invoke API, whatever the template has.
            websocket: listen(flags.ws_port, "--ws-port").await?,
            http: match &template.http {
                Some(_) => Some(listen(flags.http_port, "--http-port").await?),
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

    fn serve(self, gateway: &Arc<Gateway>, tls: Option<TlsAcceptor>) {
        server::serve_websocket(gateway, self.websocket, tls.clone());
        if let Some(http) = self.http {
            server::serve_http(gateway, http, tls);
        }
    }
}

/// Opens the certificate authority, and tells functions to trust it. Without one, all is served but TLS.
async fn open_tls(template: &mut Template) -> Option<TlsAcceptor> {
    match Tls::open().await {
        Ok(tls) => {
            for (name, file) in tls.bundle.variables() {
                template.set_default(name, &file.display().to_string());
            }
            Some(tls.acceptor)
        }
        Err(why) => {
            tracing::warn!("no TLS, so functions cannot post to https://{{domainName}}: {why:#}");
            None
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

/// Returns the schedules that are to fire at the start.
fn fire_now(flags: &Flags, template: &Template) -> Result<Vec<Schedule>> {
    let find = |name: &String| {
        let all: Vec<&str> = template.schedules.iter().map(|it| it.id.as_str()).collect();
        let unknown = || match all.as_slice() {
            [] => format!("--fire {name}: the template has no schedule"),
            _ => format!("--fire {name}: the schedules are {}", all.join(", ")),
        };
        template.schedule(name).cloned().with_context(unknown)
    };
    flags.fire.iter().map(find).collect()
}

/// Returns where the functions come from; builds them if they are to be built. The template is in the
/// folder `base`.
async fn source(flags: &Flags, template: &Template, base: &Path) -> Result<Source> {
    if let Some(url) = &flags.lambda_endpoint {
        return Ok(Source::Endpoint(url.clone()));
    }
    let functions = template.functions.values();
    let mut programs = match &flags.binaries {
        Some(folder) => build::find(folder, functions.clone())?,
        // For cargo lambda watch too: building once is faster than its own builds, and has progress
        // lines.
        None => build::build(functions.clone(), flags.release).await?,
    };
    let scripts = script::programs(functions, base, flags.watch).await;
    if flags.watch {
        let release = flags.release;
        return Ok(Source::Watch { scripts, release });
    }
    programs.extend(scripts);
    Ok(Source::Programs(programs))
}

fn function_settings(flags: &Flags) -> Result<lambda::Settings> {
    let access_key = flags.access_keys.first();
    Ok(lambda::Settings {
        concurrency: flags.concurrency(),
        fair_concurrency: flags.fair_concurrency(),
        log_level: flags.log.to_string(),
        log_format: flags.log_format.name(),
        xray_daemon: flags.xray_daemon.clone(),
        access_key: access_key.context("there is no access key")?.clone(),
    })
}
