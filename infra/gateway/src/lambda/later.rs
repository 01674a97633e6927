//! Asynchronous invocations, whose result nobody waits for. As on Lambda, one that fails is repeated twice.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Functions, Invocation, InvokeError, MAX_TIMEOUT};

/// The pauses before the repetitions.
const PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// Invokes a function, and again if it fails. Gives up at `stop`.
pub async fn invoke(
    functions: &Arc<Functions>,
    function: &str,
    cause: &'static str,
    payload: Bytes,
    stop: CancellationToken,
) {
    let invoke = || {
        functions.invoke(Invocation {
            function,
            cause,
            connection_id: None,
            caller: None,
            payload: payload.clone(),
            timeout: MAX_TIMEOUT,
            dropped: None,
        })
    };
    let mut outcome = invoke().await;
    for pause in PAUSES {
        match outcome {
            Ok(_) => return,
            Err(InvokeError::TooLarge | InvokeError::NotInvocable(_)) => break,
            Err(error) => {
                let seconds = pause.as_secs();
                tracing::warn!(
                    "{function} failed, and is invoked again in {seconds} seconds: {error}"
                );
            }
        }
        let paused = stop.run_until_cancelled(tokio::time::sleep(pause));
        if paused.await.is_none() {
            return;
        }
        outcome = invoke().await;
    }
    if let Err(error) = outcome {
        tracing::warn!("{function} failed: {error}");
    }
}
