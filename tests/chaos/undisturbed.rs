//! On a chat without faults, the check finds nothing, and every client has done its part.

use std::time::Duration;

use tests::Chat;
use tests::client::Frame;
use tokio::time::{sleep, timeout};

use crate::check::check;
use crate::contents::{Contents, Stored};
use crate::history::{History, Outcome, Sent};
use crate::roster::GROUP_SIZE;
use crate::workload::{Settings, Workload};

const CONVERSATIONS: usize = 9;

/// Time limit for the clients to reach their number of messages, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs clients on a chat of their own until so many messages are acknowledged.
async fn run(acked: u64, messages: u64, seconds: u64) -> (History, Contents) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let group_size = format!("GroupSize={GROUP_SIZE}");
    let chat = Chat::with().parameters(&[group_size]).start().await;
    let workload = Workload::start(Settings {
        ws: chat.ws.clone(),
        http: chat.http.clone(),
        conversations: CONVERSATIONS,
        messages,
        seconds,
        seed,
    });
    let so_far = async {
        while workload.progress().acked < acked {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TIMEOUT, so_far).await.expect("they get so far");
    let progress = workload.progress();
    assert!(progress.attempts >= progress.sent, "{progress:?}");
    assert!(
        progress.reads > 0 && progress.connections > 0,
        "{progress:?}"
    );
    let history = workload.finish().await;
    let contents = Contents::read(&chat.database).await.expect("it is read");
    chat.stop().await;
    (history, contents)
}

fn count(history: &History, is_counted: impl Fn(&Sent) -> bool) -> usize {
    let sends = history.sends.iter();
    sends.filter(|sent| is_counted(sent)).count()
}

#[tokio::test]
async fn the_check_finds_nothing_and_every_client_has_done_its_part() {
    let (history, contents) = run(100, 200, 4).await;
    assert_eq!(check(&history, &contents), []);

    let acked = count(&history, |sent| sent.outcome() == Outcome::Ok);
    assert_eq!(
        contents.stored.len(),
        acked,
        "all good messages are settled"
    );
    let open = count(&history, |sent| {
        let last = sent.attempts.last().expect("it was sent");
        matches!(last.outcome, Outcome::Unknown(_))
    });
    assert_eq!(open, 0, "and so are the bad ones");
    let pushes = history
        .connections
        .iter()
        .flat_map(|connection| &connection.received);
    let pushes = pushes.filter(|it| matches!(it.frame, Frame::Message(_) | Frame::Entry(_)));
    // Pushes from before the receivers' handshakes are missing.
    assert!(pushes.count() >= acked / 2, "most are pushed");
    let reads = history.reads.iter();
    let polls = reads.filter(|read| read.reader.starts_with("poller"));
    assert!(polls.map(|read| read.messages.len()).sum::<usize>() > 0);
    assert_marks_were_seen(&history);
}

/// Checks that there is something for the rules of marks and lists: receipts, and lists with marks of others.
fn assert_marks_were_seen(history: &History) {
    let received = history.connections.iter().flat_map(|it| &it.received);
    let mut frames = received.map(|it| &it.frame);
    assert!(frames.any(|frame| matches!(frame, Frame::Receipt(_))));
    let rows: Vec<_> = history.lists.iter().flat_map(|list| &list.rows).collect();
    assert!(rows.iter().any(|row| row.unread > 0));
    assert!(rows.iter().any(|row| row.marks.read > 0));
    assert!(rows.iter().any(|row| row.peer_read > 0));
}

#[tokio::test]
async fn a_message_lost_or_altered_afterwards_is_found() {
    let (history, mut contents) = run(50, 100, 2).await;
    assert_eq!(check(&history, &contents), []);
    for index in 0..contents.stored.len() {
        let lost = contents.stored.remove(index);
        assert_ne!(check(&history, &contents), [], "{lost:?}");
        let altered = Stored {
            message: format!("{}!", lost.message),
            ..lost.clone()
        };
        contents.stored.insert(index, altered);
        assert_ne!(check(&history, &contents), [], "{lost:?}");
        contents.stored[index] = lost;
    }
}

#[tokio::test]
async fn the_check_finds_nothing_at_full_speed() {
    let (history, contents) = run(100, 0, 1).await;
    assert_eq!(check(&history, &contents), []);
    let acked = count(&history, |sent| sent.outcome() == Outcome::Ok);
    assert_eq!(contents.stored.len(), acked);
}
