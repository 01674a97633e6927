//! Several requests of a process served by one operation ([group commit]).
//!
//! A database is far quicker with one operation of ten items than with ten operations. A process with
//! one request at a time notices nothing of this: its request is served at once, by itself.
//!
//! [group commit]: https://dev.mysql.com/doc/refman/8.4/en/innodb-performance-group_commit.html

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use mongodb::error::{Error as DriverError, Result};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long others wait for an operation. One that takes longer may hang, since the driver has no
/// time-out of its own for an answer: it goes on, and no longer keeps the next one from starting.
const LONGEST_TURN: Duration = Duration::from_millis(500);

/// Where items wait to be served together.
pub(super) struct Batch<Item, Answer> {
    /// The first of them has come with the one who will serve them all.
    waiting: Mutex<Vec<Waiting<Item, Answer>>>,
    /// Held during an operation: what comes in meanwhile becomes the next one.
    turn: tokio::sync::Mutex<()>,
}

type Waiting<Item, Answer> = (Item, oneshot::Sender<Result<Answer>>);

impl<Item, Answer> Default for Batch<Item, Answer> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<Item, Answer> Batch<Item, Answer> {
    /// Serves an item, together with all others that wait by the time it is its turn. `serve` gives
    /// an answer to each item, in their order.
    pub async fn serve(
        &self,
        item: Item,
        serve: impl AsyncFnOnce(Vec<Item>) -> Vec<Result<Answer>>,
    ) -> Result<Answer> {
        let (sender, answer) = oneshot::channel();
        if self.is_first(item, sender) {
            self.serve_all(serve).await;
        }
        let abandoned = |_| DriverError::custom("the operation was abandoned");
        answer.await.map_err(abandoned)?
    }

    /// Lets an item wait. Whether it is the first that does.
    fn is_first(&self, item: Item, sender: oneshot::Sender<Result<Answer>>) -> bool {
        let mut waiting = self.lock();
        waiting.push((item, sender));
        waiting.len() == 1
    }

    /// Serves those who wait when it is their turn.
    async fn serve_all(&self, serve: impl AsyncFnOnce(Vec<Item>) -> Vec<Result<Answer>>) {
        let group = Group(Some(self));
        let turn = self.turn.lock().await;
        let (items, senders): (Vec<_>, Vec<_>) = group.take().into_iter().unzip();
        let mut serving = pin!(serve(items));
        let answers = match timeout(LONGEST_TURN, &mut serving).await {
            Ok(answers) => answers,
            Err(_) => {
                drop(turn);
                serving.await
            }
        };
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Who waits no longer wants no answer.
            let _ = sender.send(answer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<Item, Answer>>> {
        self.waiting.lock().expect("no holder panics")
    }
}

/// Those who wait for the same turn. If the one who is to serve them gives up before it comes, they are
/// told so: else they would wait for ever.
struct Group<'a, Item, Answer>(Option<&'a Batch<Item, Answer>>);

impl<Item, Answer> Group<'_, Item, Answer> {
    fn take(mut self) -> Vec<Waiting<Item, Answer>> {
        let batch = self.0.take().expect("it is taken once");
        std::mem::take(&mut *batch.lock())
    }
}

impl<Item, Answer> Drop for Group<'_, Item, Answer> {
    fn drop(&mut self) {
        if let Some(batch) = self.0 {
            batch.lock().clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn an_item_alone_is_served_alone_and_at_once() {
        let batch = Batch::default();
        let answer = batch.serve(7, async |items: Vec<u32>| {
            assert_eq!(items, [7]);
            vec![Ok(items[0] * 2)]
        });
        assert_eq!(answer.await.ok(), Some(14));
    }

    #[tokio::test]
    async fn items_that_wait_are_served_together_and_each_gets_its_own_answer() {
        let (batch, operations) = (Batch::default(), AtomicUsize::new(0));
        let requests = (0..100_u32).map(|item| {
            batch.serve(item, async |items: Vec<u32>| {
                operations.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                let answers = items.into_iter().map(|item| match item % 2 {
                    0 => Ok(item * 2),
                    _ => Err(DriverError::custom(item)),
                });
                answers.collect()
            })
        });
        for (item, answer) in join_all(requests).await.into_iter().enumerate() {
            let item = item as u32;
            match answer {
                Ok(answer) => assert_eq!((answer, item % 2), (item * 2, 0)),
                Err(error) => assert_eq!(error.get_custom(), Some(&item)),
            }
        }
        // The first one finds nobody else, and all the others wait meanwhile.
        assert_eq!(operations.into_inner(), 2);
    }

    /// Serves nobody, ever.
    async fn never(_: Vec<u32>) -> Vec<Result<u32>> {
        std::future::pending().await
    }

    async fn echo(items: Vec<u32>) -> Vec<Result<u32>> {
        items.into_iter().map(Ok).collect()
    }

    #[tokio::test]
    async fn an_operation_that_hangs_keeps_the_others_waiting_for_a_moment_only() {
        let batch = Batch::default();
        let hanging = batch.serve(0, never);
        let others = async {
            tokio::task::yield_now().await;
            let answer = timeout(LONGEST_TURN * 10, batch.serve(1, echo)).await;
            answer.expect("it is served")
        };
        let answer = tokio::select! {
            _ = hanging => unreachable!("it hangs"),
            answer = others => answer,
        };
        assert_eq!(answer.ok(), Some(1));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nobody_waiting_for_ever() {
        let batch = Batch::default();
        let mut hanging = Box::pin(batch.serve(0, never));
        let mut leader = Box::pin(batch.serve(1, echo));
        let mut follower = Box::pin(batch.serve(2, echo));
        assert!(futures_util::poll!(&mut hanging).is_pending());
        assert!(futures_util::poll!(&mut leader).is_pending());
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(leader);
        assert!(follower.await.is_err());
        drop(hanging);
        assert_eq!(batch.serve(3, echo).await.ok(), Some(3));
    }
}
