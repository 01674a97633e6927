use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// Processes of a function.
const PROCESSES: usize = 4;

/// Returns an event that belongs to no connection.
fn event_of(id: &str, payload: Bytes) -> Event {
    Event {
        id: id.to_owned(),
        connection_id: None,
        payload,
        kill: None,
        dropped: None,
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// An event arrives.
    Push,
    /// The caller of an event gives up, counted from the newest.
    GiveUp(usize),
    /// An idle process polls; one that has got an event finishes it before.
    Poll(usize),
    /// The TCP connection of a process that polls breaks.
    Break(usize),
    /// A process gets no more events.
    Retire(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        1 => (0..4_usize).prop_map(Step::GiveUp),
        6 => (0..PROCESSES).prop_map(Step::Poll),
        2 => (0..PROCESSES).prop_map(Step::Break),
        1 => (0..PROCESSES).prop_map(Step::Retire),
    ]
}

/// What a queue should do, in plain lists, and what happens at the queue itself.
struct Model<'a> {
    queue: &'a Queue,
    processes: &'a [Arc<ProcessState>],
    polls: Vec<Option<Poll<'a>>>,
    /// Results that callers wait for, by event.
    callers: BTreeMap<usize, oneshot::Receiver<Outcome>>,
    pushed: usize,
    waiting: VecDeque<usize>,
    /// Processes that poll, the most recent one last.
    idle: Vec<usize>,
    /// The event of each process.
    given: Vec<Option<usize>>,
    retired: Vec<bool>,
}

impl<'a> Model<'a> {
    fn new(queue: &'a Queue, processes: &'a [Arc<ProcessState>]) -> Self {
        Self {
            queue,
            processes,
            polls: processes.iter().map(|_| None).collect(),
            callers: BTreeMap::new(),
            pushed: 0,
            waiting: VecDeque::new(),
            idle: Vec::new(),
            given: vec![None; processes.len()],
            retired: vec![false; processes.len()],
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Push => self.push(),
            Step::GiveUp(age) => {
                let event = self.pushed.checked_sub(age);
                event.map(|event| self.callers.remove(&event));
            }
            Step::Poll(process) => self.poll(process),
            Step::Break(process) => self.break_off(process),
            Step::Retire(process) => {
                self.processes[process].retire();
                self.retired[process] = true;
            }
        }
        assert_eq!(self.queue.waiting(), self.waiting.len());
        assert_eq!(self.queue.0.lock().bytes, 10 * self.waiting.len());
        self.check_polls();
    }

    /// The process that has polled last gets the event.
    fn give(&mut self, event: usize) -> bool {
        while let Some(process) = self.idle.pop() {
            if !self.retired[process] {
                self.given[process] = Some(event);
                return true;
            }
        }
        false
    }

    fn push(&mut self) {
        self.pushed += 1;
        let event = self.pushed;
        let payload = Bytes::from_static(b"ten bytes!");
        let pushed = self.queue.push(event_of(&event.to_string(), payload));
        let pushed = pushed.expect("the queue is not full");
        let is_given = self.give(event);
        assert_eq!(pushed.taken.is_none(), is_given);
        self.callers.insert(event, pushed.outcome);
        if !is_given {
            self.waiting.push_back(event);
        }
    }

    fn poll(&mut self, process: usize) {
        if self.polls[process].is_some() && self.given[process].is_none() {
            return;
        }
        self.finish(process);
        match self.queue.poll(&self.processes[process]) {
            Ok(event) => {
                let expected = self.first_waiting().expect("no event waits");
                assert_eq!(event.id, expected.to_string());
                self.given[process] = Some(expected);
            }
            Err(poll) => {
                if let Some(event) = self.first_waiting() {
                    assert!(self.retired[process], "{event} waits");
                    self.waiting.push_front(event);
                }
                self.polls[process] = Some(poll);
                self.idle.push(process);
            }
        }
    }

    /// Takes the event that has waited longest, without those whose callers have given up.
    fn first_waiting(&mut self) -> Option<usize> {
        loop {
            let event = self.waiting.pop_front()?;
            if self.callers.contains_key(&event) {
                return Some(event);
            }
        }
    }

    /// The process has received its event, and responds.
    fn finish(&mut self, process: usize) {
        let Some(event) = self.given[process].take() else {
            return;
        };
        if let Some(mut poll) = self.polls[process].take() {
            let received = poll.receiver.take().expect("it waits").try_recv();
            assert_eq!(received.expect("an event").id, event.to_string());
        }
        let reply = self.processes[process].release(&event.to_string());
        assert!(reply.is_some(), "{process} has {event}");
    }

    /// An event that was on its way over the connection goes to another process, before all others.
    fn break_off(&mut self, process: usize) {
        if self.polls[process].take().is_none() {
            return;
        }
        match self.given[process].take() {
            Some(event) if !self.give(event) => self.waiting.push_front(event),
            Some(_) => {}
            None => self.idle.retain(|idle| *idle != process),
        }
    }

    /// Each event that was given has reached its process.
    fn check_polls(&mut self) {
        for (process, poll) in self.polls.iter_mut().enumerate() {
            let Some(poll) = poll else { continue };
            let receiver = poll.receiver.as_mut().expect("it waits");
            assert_eq!(!receiver.is_empty(), self.given[process].is_some());
        }
    }
}

proptest! {
    /// No event is lost, overtaken by a later one, or given twice, and the process that was used
    /// last gets the next one.
    #[test]
    fn events_wait_in_order_and_go_to_the_process_that_was_used_last(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let queue = Queue::default();
        let new = |_| ProcessState::new(Duration::from_secs(60));
        let processes: Vec<_> = (0..PROCESSES).map(new).collect();
        let mut model = Model::new(&queue, &processes);
        for step in &steps {
            model.apply(step);
        }
    }
}

#[test]
fn a_queue_rejects_events_beyond_its_limits() {
    let (queue, payload) = (Queue::default(), Bytes::from(vec![0; 1 + QUEUE_BYTES / 2]));
    let mut callers = Vec::new();
    for _ in 0..2 {
        callers.push(queue.push(event_of("a", payload.clone())).expect("room"));
    }
    assert!(queue.push(event_of("b", Bytes::new())).is_none());

    let queue = Queue::default();
    for _ in 0..QUEUE_EVENTS {
        callers.push(queue.push(event_of("a", Bytes::new())).expect("room"));
    }
    assert!(queue.push(event_of("b", Bytes::new())).is_none());
    let process = ProcessState::new(Duration::from_secs(60));
    assert!(queue.poll(&process).is_ok());
    assert!(queue.push(event_of("b", Bytes::new())).is_some());
}

#[test]
fn a_process_that_has_ended_gets_no_event() {
    let queue = Queue::default();
    let process = ProcessState::new(Duration::from_secs(60));
    let poll = queue.poll(&process);
    process.end(None);
    let waiting = queue.push(event_of("a", Bytes::new()));
    assert!(waiting.expect("room").taken.is_some());
    let mut poll = poll.err().expect("no event has come");
    let receiver = poll.receiver.as_mut().expect("it waits");
    assert!(
        receiver
            .try_recv()
            .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
    );
}

#[test]
fn the_events_of_one_connection_are_dropped() {
    let queue = Queue::default();
    let dropped = CancellationToken::new();
    let push = |connection_id: &str| {
        let mut event = event_of(connection_id, Bytes::from_static(b"payload"));
        event.connection_id = Some(connection_id.to_owned());
        event.dropped = (connection_id == "a").then(|| dropped.clone());
        queue.push(event).expect("room").outcome
    };
    let mut callers = vec![push("a"), push("b"), push("a")];
    dropped.cancel();
    queue.drop_events("a");
    callers.push(push("a"));
    queue.drop_events("c");
    assert_eq!((queue.waiting(), queue.0.lock().bytes), (1, 7));
    let closed = Err(oneshot::error::TryRecvError::Closed);
    assert_eq!(callers[0].try_recv(), closed);
    assert_eq!(callers[2].try_recv(), closed);
    assert_eq!(callers[3].try_recv(), closed, "it comes too late");
    let process = ProcessState::new(Duration::from_secs(60));
    let event = queue.poll(&process);
    assert_eq!(event.ok().expect("an event").id, "b");
}
