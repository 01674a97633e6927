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

/// A user of a queue, who knows what has to be in it.
struct User {
    queue: Queue,
    known: Vec<Known>,
    now: Millis,
}

impl User {
    fn take(&mut self, step: Step) {
        match step {
            Step::Add { delay } => self.add(delay),
            Step::Wait { time } => self.now += time,
            Step::Delete { which } => self.delete(which),
            Step::Receive { count, hidden_for } => {
                self.receive(count, Duration::from_secs(hidden_for));
            }
        }
    }

    fn add(&mut self, delay: Millis) {
        let visible_at = self.now + delay;
        let message = message(self.known.len() as u64, self.now);
        self.queue.add(message, visible_at, self.now);
        self.known.push(Known {
            hidden_until: visible_at,
            ..Known::default()
        });
    }

    fn delete(&mut self, which: usize) {
        let count = self.known.len().max(1);
        let one = self.known.get_mut(which % count);
        if let Some(one) = one.filter(|one| one.receives > 0) {
            assert!(self.queue.delete(&one.handle));
            one.is_gone = true;
        }
    }

    /// Receives, and checks that each message may be received or be dead.
    fn receive(&mut self, count: usize, hidden_for: Duration) {
        let now = self.now;
        let batch = self.queue.receive(Limits { count, ..ALL }, hidden_for, now);
        assert!(batch.messages.len() <= count);
        for dead in &batch.dead {
            let one = self.visible(dead);
            assert_eq!(one.receives, MAX_RECEIVES);
            one.is_gone = true;
        }
        for received in batch.messages {
            let one = self.visible(&received.message);
            one.receives += 1;
            assert_eq!(received.receive_count, one.receives);
            assert!(one.receives <= MAX_RECEIVES);
            one.hidden_until = now + millis(hidden_for);
            one.handle = received.receipt_handle;
        }
    }

    /// Returns a message, which must be visible.
    fn visible(&mut self, message: &Message) -> &mut Known {
        let one = &mut self.known[message.id.parse::<usize>().expect("a number")];
        assert!(!one.is_gone && one.hidden_until <= self.now);
        one
    }

    /// Checks that the queue has exactly the messages that it has to have, in their states.
    fn check(&mut self) {
        let (mut expected, mut memory_bytes) = (Counts::default(), 0);
        for (id, one) in self
            .known
            .iter()
            .enumerate()
            .filter(|(_, one)| !one.is_gone)
        {
            let is_hidden = one.hidden_until > self.now;
            match (is_hidden, one.receives) {
                (false, _) => expected.visible += 1,
                (true, 0) => expected.delayed += 1,
                (true, _) => expected.in_flight += 1,
            }
            memory_bytes += message(id as u64, 0).memory_bytes();
        }
        assert_eq!(self.queue.counts(self.now), expected);
        assert_eq!(self.queue.memory_bytes(), memory_bytes);
        let all = expected.visible + expected.delayed + expected.in_flight;
        assert_eq!(self.queue.len(), all);
    }
}

proptest! {
    /// Nobody receives a message while it is hidden, or more often than the redrive policy allows; none
    /// is lost or in two states at once.
    #[test]
    fn every_message_is_in_one_state(steps in prop::collection::vec(step(), 0..80)) {
        let mut user = User {
            queue: queue(MAX_RECEIVES),
            known: Vec::new(),
            now: 1_000,
        };
        for step in steps {
            user.take(step);
            user.check();
        }
    }
}
