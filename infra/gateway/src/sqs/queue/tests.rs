use proptest::prelude::*;

use super::*;
use crate::model::Redrive;
use crate::sqs::message::Attributes;

const ALL: Limits = Limits {
    count: usize::MAX,
    record_bytes: usize::MAX,
};

const HIDDEN: Duration = Duration::from_secs(30);

fn settings(redrive: Option<Redrive>) -> model::Queue {
    model::Queue {
        name: "Q".to_owned(),
        visibility_timeout: HIDDEN,
        delay: Duration::ZERO,
        receive_wait: Duration::ZERO,
        retention: Duration::from_secs(345_600),
        max_message_bytes: 1_024,
        redrive,
    }
}

fn queue(max_receive_count: u32) -> Queue {
    let redrive = Redrive {
        dead_letter_queue: "Dead".to_owned(),
        max_receive_count,
    };
    Queue::new(settings(Some(redrive)), 7)
}

fn message(id: u64, sent_at: Millis) -> Arc<Message> {
    Arc::new(Message {
        id: id.to_string(),
        body: "x".repeat(usize::try_from(id % 5).expect("small")),
        attributes: Attributes::new(),
        trace_header: None,
        sent_at,
    })
}

fn ids(batch: &Batch) -> Vec<&str> {
    let messages = batch.messages.iter();
    messages.map(|received| &*received.message.id).collect()
}

#[test]
fn a_message_is_hidden_for_a_time_after_it_was_received() {
    let mut queue = queue(3);
    queue.add(message(1, 0), 0, 0);
    assert_eq!(ids(&queue.receive(ALL, HIDDEN, 0)), ["1"]);
    assert!(queue.receive(ALL, HIDDEN, 29_999).messages.is_empty());
    assert_eq!(queue.next_visible_at(), Some(30_000));
    let again = queue.receive(ALL, HIDDEN, 30_000);
    let received = &again.messages[0];
    assert_eq!((received.receive_count, received.first_received_at), (2, 0));
}

#[test]
fn a_message_that_is_deleted_does_not_come_back() {
    let mut queue = queue(3);
    queue.add(message(1, 0), 0, 0);
    let handle = queue.receive(ALL, HIDDEN, 0).messages[0]
        .receipt_handle
        .clone();
    assert!(queue.delete(&handle));
    assert!(queue.is_empty());
    // As often as one likes.
    assert!(queue.delete(&handle));
    assert!(queue.receive(ALL, HIDDEN, 30_000).messages.is_empty());
    assert!(!queue.delete("no handle"));
    assert!(!queue.delete(&"é".repeat(20)));
}

#[test]
fn the_handle_of_an_earlier_receive_or_run_deletes_nothing() {
    let mut queue = queue(3);
    queue.add(message(1, 0), 0, 0);
    let first = queue.receive(ALL, HIDDEN, 0).messages[0]
        .receipt_handle
        .clone();
    let second = queue.receive(ALL, HIDDEN, 30_000).messages[0]
        .receipt_handle
        .clone();
    assert!(queue.delete(&first));
    assert!(queue.delete(&receipt_handle(8, 0, 2)));
    assert_eq!(queue.len(), 1);
    assert!(queue.delete(&second));
    assert!(queue.is_empty());
}

#[test]
fn a_message_that_was_received_too_often_is_dead() {
    let mut queue = queue(2);
    queue.add(message(1, 0), 0, 0);
    for now in [0, 30_000] {
        assert_eq!(ids(&queue.receive(ALL, HIDDEN, now)), ["1"]);
    }
    assert!(queue.receive(ALL, HIDDEN, 59_999).dead.is_empty());
    let batch = queue.receive(ALL, HIDDEN, 60_000);
    assert!(batch.messages.is_empty());
    assert_eq!(batch.dead[0].id, "1");
    assert!(queue.is_empty());
}

#[test]
fn a_receive_is_limited_by_number_and_by_size() {
    let mut queue = queue(9);
    let record_bytes = message(5, 0).record_bytes();
    for id in [5, 10, 15] {
        queue.add(message(id, 0), 0, 0);
    }
    let two = Limits { count: 2, ..ALL };
    let batch = queue.receive(two, Duration::ZERO, 0);
    assert_eq!((ids(&batch), batch.is_full), (vec!["5", "10"], true));
    let record_bytes = 2 * record_bytes;
    let batch = queue.receive(
        Limits {
            record_bytes,
            ..ALL
        },
        Duration::ZERO,
        0,
    );
    assert_eq!((batch.messages.len(), batch.is_full), (2, true));
    let batch = queue.receive(Limits { count: 3, ..ALL }, Duration::ZERO, 0);
    assert_eq!((batch.messages.len(), batch.is_full), (3, false));
}

#[test]
fn a_message_is_kept_for_its_time_and_no_longer() {
    let mut queue = queue(9);
    queue.settings.retention = Duration::from_secs(60);
    queue.add(message(1, 0), 0, 0);
    queue.add(message(2, 1), 0, 1);
    queue.receive(Limits { count: 1, ..ALL }, HIDDEN, 1);
    assert_eq!(queue.counts(59_999).visible, 2);
    assert_eq!(ids(&queue.receive(ALL, HIDDEN, 60_000)), ["2"]);
    assert_eq!(queue.counts(60_001), Counts::default());
}

/// A step of a user of a queue.
#[derive(Debug, Clone)]
enum Step {
    Add {
        delay: Millis,
    },
    Receive {
        count: usize,
        hidden_for: u64,
    },
    /// Deletes by a handle that was received some time.
    Delete {
        which: usize,
    },
    Wait {
        time: Millis,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let delay = prop_oneof![Just(0), 0..20_000_u64];
    prop_oneof![
        delay.prop_map(|delay| Step::Add { delay }),
        (1..4_usize, 0..20_u64).prop_map(|(count, hidden_for)| Step::Receive { count, hidden_for }),
        any::<usize>().prop_map(|which| Step::Delete { which }),
        (0..10_000_u64).prop_map(|time| Step::Wait { time }),
    ]
}

/// What a user knows of a message.
#[derive(Default)]
struct Known {
    hidden_until: Millis,
    receives: u32,
    handle: String,
    is_gone: bool,
}

const MAX_RECEIVES: u32 = 3;

proptest! {
    /// Nobody receives a message while it is hidden, or more often than the redrive policy allows; none
    /// is lost or in two states at once.
    #[test]
    fn every_message_is_in_one_state(steps in prop::collection::vec(step(), 0..80)) {
        let mut queue = queue(MAX_RECEIVES);
        let mut known: Vec<Known> = Vec::new();
        let mut now = 1_000;
        for step in steps {
            match step {
                Step::Add { delay } => {
                    queue.add(message(known.len() as u64, now), now + delay, now);
                    known.push(Known { hidden_until: now + delay, ..Known::default() });
                }
                Step::Wait { time } => now += time,
                Step::Delete { which } => {
                    let count = known.len().max(1);
                    if let Some(one) = known.get_mut(which % count).filter(|one| one.receives > 0) {
                        prop_assert!(queue.delete(&one.handle));
                        one.is_gone = true;
                    }
                }
                Step::Receive { count, hidden_for } => {
                    let hidden_for = Duration::from_secs(hidden_for);
                    let limits = Limits { count, ..ALL };
                    let batch = queue.receive(limits, hidden_for, now);
                    prop_assert!(batch.messages.len() <= count);
                    for dead in &batch.dead {
                        let one = &mut known[dead.id.parse::<usize>().expect("a number")];
                        prop_assert_eq!(one.receives, MAX_RECEIVES);
                        prop_assert!(!one.is_gone && one.hidden_until <= now);
                        one.is_gone = true;
                    }
                    for received in batch.messages {
                        let id: usize = received.message.id.parse().expect("a number");
                        let one = &mut known[id];
                        prop_assert!(!one.is_gone && one.hidden_until <= now);
                        one.receives += 1;
                        prop_assert_eq!(received.receive_count, one.receives);
                        prop_assert!(one.receives <= MAX_RECEIVES);
                        one.hidden_until = now + millis(hidden_for);
                        one.handle = received.receipt_handle;
                    }
                }
            }
            let there = known.iter().filter(|one| !one.is_gone);
            let hidden = there.clone().filter(|one| one.hidden_until > now);
            let counts = queue.counts(now);
            prop_assert_eq!(queue.len(), there.clone().count());
            prop_assert_eq!(counts.in_flight + counts.delayed, hidden.count());
            prop_assert_eq!(counts.visible + counts.in_flight + counts.delayed, queue.len());
            let delayed = there.filter(|one| one.hidden_until > now && one.receives == 0);
            prop_assert_eq!(counts.delayed, delayed.count());
            let memory: usize = queue.entries.values().map(|entry| entry.message.memory_bytes()).sum();
            prop_assert_eq!(queue.memory_bytes(), memory);
        }
    }
}
