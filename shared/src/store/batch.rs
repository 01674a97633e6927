//! Several requests of a process served by one operation ([group commit]).
//!
//! A database is far quicker with one operation of ten items than with ten operations. A process with
//! one request at a time notices nothing of this: its request is served at once, by itself.
//!
//! [group commit]: https://dev.mysql.com/doc/refman/8.4/en/innodb-performance-group_commit.html

use std::sync::Mutex;

use mongodb::error::{Error as DriverError, Result};
use tokio::sync::{Semaphore, oneshot};

/// Operations at once. While they are under way, what comes in waits and becomes the next one.
const OPERATIONS: usize = 2;

/// Where items wait to be served together.
pub(super) struct Batch<Item, Answer> {
    waiting: Mutex<Vec<Waiting<Item, Answer>>>,
    turns: Semaphore,
}

type Waiting<Item, Answer> = (Item, oneshot::Sender<Result<Answer>>);

impl<Item, Answer> Default for Batch<Item, Answer> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turns: Semaphore::new(OPERATIONS),
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
        let (sender, mut answer) = oneshot::channel();
        self.lock().push((item, sender));
        let abandoned = |_| DriverError::custom("the operation was abandoned");
        let turn = tokio::select! {
            biased;
            // Another one has served it.
            answer = &mut answer => return answer.map_err(abandoned)?,
            turn = self.turns.acquire() => turn.expect("it is never closed"),
        };
        let (items, senders): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *self.lock()).into_iter().unzip();
        if !items.is_empty() {
            for (sender, answer) in senders.into_iter().zip(serve(items).await) {
                // Who waits no longer wants no answer.
                let _ = sender.send(answer);
            }
        }
        drop(turn);
        answer.await.map_err(abandoned)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<Item, Answer>>> {
        self.waiting.lock().expect("no holder panics")
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
        // The first ones find nobody else, and all the others wait meanwhile.
        assert_eq!(operations.into_inner(), OPERATIONS + 1);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nobody_along() {
        let batch = Batch::default();
        let never = async |_: Vec<u32>| std::future::pending().await;
        let given_up = batch.serve(1, never);
        assert!(futures_util::FutureExt::now_or_never(given_up).is_none());
        let answer = batch.serve(2, async |items: Vec<u32>| {
            items.into_iter().map(Ok).collect()
        });
        assert_eq!(answer.await.ok(), Some(2));
    }
}
