//! Ctrl-C during long work.

use tokio::signal::ctrl_c;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::outcome::Outcome;

/// Whether Ctrl-C was pressed since this was made. It is heard between two steps; pressed once more, it ends the program
/// at once, which does no harm: all work may be repeated.
pub struct Interrupt(CancellationToken);

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> Self {
        let pressed = CancellationToken::new();
        let first = pressed.clone();
        tokio::spawn(async move {
            if ctrl_c().await.is_ok() {
                first.cancel();
                if ctrl_c().await.is_ok() {
                    std::process::exit(Outcome::UNKNOWN);
                }
            }
        });
        Self(pressed)
    }

    /// Returns whether it was pressed.
    pub fn is_pressed(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is pressed.
    pub fn pressed(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }
}
