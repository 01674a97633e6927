//! Ctrl-C and its kin: waits for them, and shuts down.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT (Ctrl-C) and SIGTERM.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Begins to listen for the signals; they no longer end the process.
    ///
    /// # Errors
    ///
    /// The system does not allow it.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for a signal while the program runs.
    ///
    /// # Errors
    ///
    /// `failure`, if the program ends by itself before.
    pub async fn wait_unless(
        &mut self,
        failure: impl Future<Output = anyhow::Error>,
    ) -> Result<()> {
        tokio::select! {
            () = self.wait() => Ok(()),
            error = failure => Err(error),
        }
    }

    /// Runs `shutdown` to its end, unless a second signal comes: that ends this process, and what is
    /// left with it.
    ///
    /// # Errors
    ///
    /// Those of `shutdown`.
    pub async fn shut_down(&mut self, shutdown: impl Future<Output = Result<()>>) -> Result<()> {
        tracing::info!("stopping");
        tokio::select! {
            result = shutdown => result,
            () = self.wait() => std::process::exit(130),
        }
    }
}
