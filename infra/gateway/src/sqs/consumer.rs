//! Sends the messages of a queue to its function.
//!
//! As on Lambda: a batch is what waits, up to a number, or what comes within a window; messages are
//! deleted when the function has handled them, and become visible again when it has not.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::event;
use super::queue::{Batch, Limits, Received};
use super::queues::Queues;
use crate::lambda::shares::Caller;
use crate::lambda::{Functions, Invocation, InvokeError, MAX_PAYLOAD_BYTES, MAX_TIMEOUT};
use crate::model::EventSource;

/// Size of an event without its records, in bytes.
const EVENT_BYTES: usize = 64;

/// The consumer of an event source.
pub struct Consumer {
    source: EventSource,
    queues: Arc<Queues>,
    functions: Arc<Functions>,
    hidden_for: Duration,
    /// Places for batches that are handled at once.
    places: Arc<Semaphore>,
}

impl Consumer {
    /// Returns the consumer of a source. It has as many batches at once as the source and the
    /// processes of the function allow: others would wait for a process, while their time to be
    /// handled passes.
    pub fn new(source: EventSource, queues: &Arc<Queues>, functions: &Arc<Functions>) -> Arc<Self> {
        let capacity = functions.capacity(&source.function);
        let places = source.max_concurrency.unwrap_or(capacity).min(capacity);
        let settings = queues.settings(&source.queue);
        Arc::new(Self {
            hidden_for: settings.map_or(Duration::ZERO, |queue| queue.visibility_timeout),
            places: Arc::new(Semaphore::new(places)),
            queues: Arc::clone(queues),
            functions: Arc::clone(functions),
            source,
        })
    }

    /// Runs until `stop`. Batches that are handled then are `tasks` of their own.
    pub async fn run(self: Arc<Self>, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            let next = async {
                // In this order: the time of a message must not pass while it waits for a place.
                let place = Arc::clone(&self.places).acquire_owned().await;
                (place, self.batch().await)
            };
            let (place, batch) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                next = next => next,
            };
            if let Ok(place) = place {
                tasks.spawn(Arc::clone(&self).handle(batch, place));
            }
        }
    }

    /// Waits for messages, and collects more of them if there is a window.
    async fn batch(&self) -> Vec<Received> {
        let mut limits = Limits {
            count: self.source.batch_size,
            record_bytes: MAX_PAYLOAD_BYTES - EVENT_BYTES,
        };
        let Batch {
            mut messages,
            mut is_full,
            ..
        } = self.receive(&mut limits, None).await;
        let end = Instant::now() + self.source.batching_window;
        while !is_full && limits.count > 0 && Instant::now() < end {
            let more = self.receive(&mut limits, Some(end)).await;
            is_full = more.is_full;
            messages.extend(more.messages);
        }
        messages
    }

    /// Receives messages within limits, and takes them from these.
    async fn receive(&self, limits: &mut Limits, deadline: Option<Instant>) -> Batch {
        let queue = &self.source.queue;
        let received = self
            .queues
            .receive(queue, *limits, self.hidden_for, deadline);
        let batch = received.await;
        let sizes = batch
            .messages
            .iter()
            .map(|received| received.message.record_bytes());
        limits.record_bytes -= sizes.sum::<usize>();
        limits.count -= batch.messages.len();
        batch
    }

    /// Invokes the function, and deletes the messages that it has handled.
    async fn handle(self: Arc<Self>, messages: Vec<Received>, _place: OwnedSemaphorePermit) {
        let EventSource {
            queue, function, ..
        } = &self.source;
        let failed = match self.invoke(&messages).await {
            Ok(result) if self.source.reports_failures => event::failures(&result, &messages),
            Ok(_) => HashSet::new(),
            Err(error) => {
                tracing::warn!("{function} failed: {error}");
                event::all_ids(&messages)
            }
        };
        if !failed.is_empty() {
            let (count, all, seconds) = (failed.len(), messages.len(), self.hidden_for.as_secs());
            tracing::warn!(
                "{queue}: {count} of {all} messages failed; they are visible again {seconds} seconds \
                 after they were received"
            );
        }
        let is_handled = |received: &&Received| !failed.contains(&*received.message.id);
        for handled in messages.iter().filter(is_handled) {
            // The handle is one of ours.
            let _ = self.queues.delete(queue, &handled.receipt_handle);
        }
    }

    async fn invoke(&self, messages: &[Received]) -> Result<Bytes, InvokeError> {
        let event = event::event(messages, &self.source.queue);
        let invocation = Invocation {
            function: &self.source.function,
            cause: "SQS",
            connection_id: None,
            caller: Some(Caller::Queue(self.source.queue.clone())),
            payload: event.to_string().into(),
            timeout: MAX_TIMEOUT,
            dropped: None,
        };
        self.functions.invoke_from_task(invocation).await
    }
}
