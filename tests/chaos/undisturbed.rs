//! On a chat that nobody disturbs, nothing is wrong, and the clients have done all that they are for.

use std::time::Duration;

use tests::Stack;
use tokio::time::sleep;

use crate::check::check;
use crate::history::{Frame, History, Outcome, Sent, Stored, read_stored};
use crate::workload::{Settings, Workload};

const CONVERSATIONS: usize = 9;

/// Runs clients on a chat of their own for some seconds.
async fn run(messages: u64, seconds: u64) -> (History, Vec<Stored>) {
    let stack = Stack::start().await;
    let workload = Workload::start(Settings {
        ws: stack.ws.clone(),
        http: stack.http.clone(),
        conversations: CONVERSATIONS,
        messages,
        seconds,
        seed: fastrand::u64(..),
    });
    sleep(Duration::from_secs(seconds)).await;
    let progress = workload.progress();
    let history = workload.finish().await;
    let stored = read_stored(&stack.database).await.expect("it is read");
    stack.stop().await;
    assert!(progress.acked > 0, "{progress:?}");
    assert!(progress.attempts >= progress.sent, "{progress:?}");
    (history, stored)
}

fn count(history: &History, is_counted: impl Fn(&Sent) -> bool) -> usize {
    let sends = history.sends.iter();
    sends.filter(|sent| is_counted(sent)).count()
}

#[tokio::test]
async fn nothing_is_wrong_and_every_client_has_done_its_part() {
    let (history, stored) = run(200, 4).await;
    assert_eq!(check(&history, &stored), []);

    let acked = count(&history, |sent| sent.outcome() == Outcome::Ok);
    assert_eq!(stored.len(), acked, "all good messages are settled");
    let unknown = count(&history, |sent| {
        matches!(sent.outcome(), Outcome::Unknown(_))
    });
    assert_eq!(unknown, 0, "and so are the bad ones");
    assert!(acked >= 100, "{acked}");
    let pushes = history.sockets.iter().flat_map(|socket| &socket.received);
    let pushes = pushes.filter(|received| matches!(received.frame, Frame::Message(_)));
    assert!(pushes.count() >= acked, "each one is pushed");
    let read = history
        .reads
        .iter()
        .filter(|read| read.reader.starts_with("poller"));
    assert!(read.map(|read| read.messages.len()).sum::<usize>() > 0);
}

#[tokio::test]
async fn as_fast_as_it_goes_is_as_right() {
    let (history, stored) = run(0, 2).await;
    assert_eq!(check(&history, &stored), []);
    let acked = count(&history, |sent| sent.outcome() == Outcome::Ok);
    assert_eq!(stored.len(), acked);
}
