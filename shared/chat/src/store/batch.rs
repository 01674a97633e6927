//! Several requests of a process served by one operation ([group commit]).
//!
//! A database is far quicker with one operation of ten items than with ten operations. A process with
//! one request at a time notices nothing of this: its request is served at once, by itself.
//!
//! [group commit]: https://dev.mysql.com/doc/refman/8.4/en/innodb-performance-group_commit.html

use std::pin::pin;
use std::time::Duration;

use mongodb::error::{Error as DriverError, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The time after which the next operation starts although this one has not ended. An operation that takes
/// longer goes on in parallel with the next: the driver has no response timeout, so it may hang.
const TURN_TIMEOUT: Duration = Duration::from_millis(500);

/// A queue of items for the next operation. The caller that queued the first item (the leader) runs the
/// operation for all of them.
pub(super) struct Batch<Item, Output> {
    queue: Mutex<Vec<Queued<Item, Output>>>,
    /// Held during an operation. Items that arrive meanwhile belong to the next one.
    turn: tokio::sync::Mutex<()>,
}

type Queued<Item, Output> = (Item, oneshot::Sender<Result<Output>>);

impl<Item, Output> Default for Batch<Item, Output> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<Item, Output> Batch<Item, Output> {
    /// Runs an operation for an item, together with all others that are queued when its turn comes.
    /// `operation` returns an output for each item, in their order.
    ///
    /// # Errors
    ///
    /// That of the operation for this item, or the leader was dropped before its turn.
    pub async fn run(
        &self,
        item: Item,
        operation: impl AsyncFnOnce(Vec<Item>) -> Vec<Result<Output>>,
    ) -> Result<Output> {
        let (sender, output) = oneshot::channel();
        if self.push(item, sender) {
            self.lead(operation).await;
        }
        let abandoned = |_| DriverError::custom("the operation was abandoned");
        output.await.map_err(abandoned)?
    }

    /// Queues an item. Returns whether it is the first.
    fn push(&self, item: Item, sender: oneshot::Sender<Result<Output>>) -> bool {
        let mut queue = self.queue.lock();
        queue.push((item, sender));
        queue.len() == 1
    }

    /// Runs the operation for all queued items, when the turn has come.
    async fn lead(&self, operation: impl AsyncFnOnce(Vec<Item>) -> Vec<Result<Output>>) {
        let leader = Leader(Some(self));
        let turn = self.turn.lock().await;
        let (items, senders): (Vec<_>, Vec<_>) = leader.take().into_iter().unzip();
        let mut running = pin!(operation(items));
        let outputs = match timeout(TURN_TIMEOUT, &mut running).await {
            Ok(outputs) => outputs,
            Err(_) => {
                drop(turn);
                running.await
            }
        };
        for (sender, output) in senders.into_iter().zip(outputs) {
            // The receiver may have been dropped: its request has timed out.
            let _ = sender.send(output);
        }
    }
}

/// Empties the queue if the leader is dropped before its turn, which fails the queued items: without a
/// leader they would wait for ever.
struct Leader<'a, Item, Output>(Option<&'a Batch<Item, Output>>);

impl<Item, Output> Leader<'_, Item, Output> {
    /// Takes all items out of the queue.
    fn take(mut self) -> Vec<Queued<Item, Output>> {
        let batch = self.0.take().expect("it is taken once");
        std::mem::take(&mut *batch.queue.lock())
    }
}

impl<Item, Output> Drop for Leader<'_, Item, Output> {
    fn drop(&mut self) {
        if let Some(batch) = self.0 {
            batch.queue.lock().clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_single_item_is_served_at_once() {
        let batch = Batch::default();
        let output = batch.run(7, async |items: Vec<u32>| {
            assert_eq!(items, [7]);
            vec![Ok(items[0] * 2)]
        });
        assert_eq!(output.await.ok(), Some(14));
    }

    #[tokio::test]
    async fn queued_items_share_an_operation_and_each_gets_its_own_output() {
        let (batch, operations) = (Batch::default(), AtomicUsize::new(0));
        let requests = (0..100_u32).map(|item| {
            batch.run(item, async |items: Vec<u32>| {
                operations.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                let outputs = items.into_iter().map(|item| match item % 2 {
                    0 => Ok(item * 2),
                    _ => Err(DriverError::custom(item)),
                });
                outputs.collect()
            })
        });
        for (item, output) in join_all(requests).await.into_iter().enumerate() {
            let item = item as u32;
            match output {
                Ok(output) => assert_eq!((output, item % 2), (item * 2, 0)),
                Err(error) => assert_eq!(error.get_custom(), Some(&item)),
            }
        }
        // The first one finds the queue empty, and all the others are queued meanwhile.
        assert_eq!(operations.into_inner(), 2);
    }

    async fn hang(_: Vec<u32>) -> Vec<Result<u32>> {
        std::future::pending().await
    }

    async fn echo(items: Vec<u32>) -> Vec<Result<u32>> {
        items.into_iter().map(Ok).collect()
    }

    #[tokio::test]
    async fn an_operation_that_hangs_delays_the_next_one_only_until_its_timeout() {
        let batch = Batch::default();
        let hanging = batch.run(0, hang);
        let others = async {
            tokio::task::yield_now().await;
            let output = timeout(TURN_TIMEOUT * 10, batch.run(1, echo)).await;
            output.expect("it is served")
        };
        let output = tokio::select! {
            _ = hanging => unreachable!("it hangs"),
            output = others => output,
        };
        assert_eq!(output.ok(), Some(1));
    }

    #[tokio::test]
    async fn dropping_the_leader_fails_its_followers() {
        let batch = Batch::default();
        let mut hanging = Box::pin(batch.run(0, hang));
        let mut leader = Box::pin(batch.run(1, echo));
        let mut follower = Box::pin(batch.run(2, echo));
        assert!(futures_util::poll!(&mut hanging).is_pending());
        assert!(futures_util::poll!(&mut leader).is_pending());
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(leader);
        assert!(follower.await.is_err());
        drop(hanging);
        assert_eq!(batch.run(3, echo).await.ok(), Some(3));
    }
}
