//! An invocation that runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::queue::Event;
use super::shares::{Caller, Shares};
use super::{Backend, FunctionError, InvokeError, MAX_PAYLOAD_BYTES};

/// An invocation that runs.
pub(super) struct Call {
    pub backend: Backend,
    /// The caller whose share it takes.
    pub share: Option<(Arc<Shares>, Caller)>,
    pub event: Event,
    pub timeout: Duration,
}

impl Call {
    /// Invokes the function and waits for its result.
    pub async fn run(self) -> Result<Bytes, InvokeError> {
        if self.event.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(InvokeError::TooLarge);
        }
        let (bytes, dropped) = (self.event.payload.len(), self.event.dropped.clone());
        let invoked = async {
            match self.backend {
                Backend::Local(pool) => pool.invoke(self.event).await,
                Backend::Remote(function) => function.invoke(self.event.payload).await,
            }
        };
        let served = async {
            match self.share {
                Some((shares, caller)) => {
                    let dropped = dropped.as_ref();
                    shares.serve(caller, bytes, dropped, invoked).await
                }
                None => invoked.await,
            }
        };
        let result = tokio::time::timeout(self.timeout, served).await;
        let result = result.unwrap_or(Err(InvokeError::TimedOut))?;
        if result.len() > MAX_PAYLOAD_BYTES {
            return Err(InvokeError::Function(FunctionError::too_large()));
        }
        Ok(result)
    }
}
