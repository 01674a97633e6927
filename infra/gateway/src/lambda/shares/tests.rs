use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

/// Events that are served at once, in these tests.
const EVENTS: u32 = 4;

fn caller(number: usize) -> Caller {
    Caller::User(number.to_string())
}

/// An event, from its arrival to its end.
type Event<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Place, InvokeError>> + 'a>>;

fn arrive<'a>(shares: &'a Shares, number: usize) -> Event<'a> {
    Box::pin(shares.place(caller(number), 10, None))
}

fn poll(event: &mut Event<'_>) -> Option<Place> {
    match event.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(place) => Some(place.expect("it waits for its place")),
        Poll::Pending => None,
    }
}

/// The events of a caller.
#[derive(Default)]
struct Lane<'a> {
    /// By the order in which they came, with their numbers.
    waiting: Vec<(usize, Event<'a>)>,
    served: Vec<Place>,
    arrived: usize,
    next: usize,
}

impl Lane<'_> {
    /// Gives their places to those that can have one.
    fn advance(&mut self) {
        let (next, served) = (&mut self.next, &mut self.served);
        self.waiting.retain_mut(|(number, event)| {
            let Some(place) = poll(event) else {
                return true;
            };
            assert_eq!(*number, *next, "they are served in their order");
            *next += 1;
            served.push(place);
            false
        });
    }
}

proptest! {
    /// Of several callers, each has its share served at once and no more, whatever it sends; events of one
    /// are served in their order; and an event waits only for others of its caller.
    #[test]
    fn each_of_several_callers_has_its_share(
        callers in 2..7_usize,
        steps in prop::collection::vec((0..7_usize, any::<bool>()), 0..80),
    ) {
        let shares = Shares::new(EVENTS);
        let mut lanes: Vec<Lane> = Vec::new();
        // Each is active before the first step.
        for number in 0..callers {
            shares.callers.lock().share(caller(number), EVENTS, Instant::now());
            lanes.push(Lane::default());
        }
        let share = (EVENTS as usize / callers).max(1);
        for (number, arrives) in steps {
            let number = number % callers;
            let lane = &mut lanes[number];
            if arrives {
                lane.waiting.push((lane.arrived, arrive(&shares, number)));
                lane.arrived += 1;
            } else {
                lane.served.pop();
            }
            lane.advance();
            let expected = share.min(lane.served.len() + lane.waiting.len());
            prop_assert_eq!(lane.served.len(), expected);
        }
    }
}

#[test]
fn a_caller_that_is_alone_has_all_its_events_served() {
    let shares = Shares::new(EVENTS);
    let mut events: Vec<_> = (0..100).map(|_| arrive(&shares, 0)).collect();
    let places: Vec<_> = events.iter_mut().filter_map(poll).collect();
    assert_eq!(places.len(), 100);
}

#[test]
fn a_caller_counts_until_a_second_after_its_last_event() {
    let (mut callers, start) = (Callers::default(), Instant::now());
    let mut share_after = |number, ms| {
        let now = start + Duration::from_millis(ms);
        callers.share(caller(number), EVENTS, now).1
    };
    assert_eq!(share_after(0, 0), PERMITS);
    assert_eq!(share_after(1, 0), EVENTS / 2);
    assert_eq!(share_after(0, 900), EVENTS / 2);
    assert_eq!(share_after(2, 1_200), EVENTS / 2, "the second has left");
    assert_eq!(share_after(2, 3_000), PERMITS);
}

#[test]
fn a_caller_counts_while_it_has_events() {
    let (mut callers, start) = (Callers::default(), Instant::now());
    let held = callers.share(caller(0), EVENTS, start).0;
    let mut later = |seconds| {
        let now = start + Duration::from_secs(seconds);
        callers.share(caller(1), EVENTS, now).1
    };
    assert_eq!(later(10), EVENTS / 2);
    drop(held);
    assert_eq!(later(20), PERMITS);
}

#[test]
fn an_event_that_is_given_up_leaves_its_place_to_the_next() {
    let shares = Shares::new(EVENTS);
    for number in 0..4 {
        shares
            .callers
            .lock()
            .share(caller(number), EVENTS, Instant::now());
    }
    let mut events: Vec<_> = (0..3).map(|_| arrive(&shares, 0)).collect();
    let place = poll(&mut events[0]).expect("it is the first");
    assert!(poll(&mut events[1]).is_none() && poll(&mut events[2]).is_none());
    drop(place);
    // It has got its place, and is dropped before it knows.
    drop(events.remove(1));
    assert!(poll(&mut events[1]).is_some());
}

#[tokio::test]
async fn a_long_event_leaves_its_place_to_the_next() {
    let shares = Shares::new(1);
    shares.callers.lock().share(caller(1), 1, Instant::now());
    let (finish, finished) = tokio::sync::oneshot::channel();
    let long = shares.serve(caller(0), 10, None, async {
        finished.await.map_err(|_| InvokeError::TimedOut)
    });
    let next = shares.serve(caller(0), 10, None, async {
        finish.send(()).map_err(|()| InvokeError::TimedOut)
    });
    // The first ends only after the second.
    let both = async { tokio::join!(long, next) };
    let both = tokio::time::timeout(Duration::from_secs(10), both).await;
    let (long, next) = both.expect("the second is served before the first ends");
    assert!(long.is_ok() && next.is_ok());
}

#[test]
fn a_dropped_event_waits_no_longer() {
    let (shares, dropped) = (Shares::new(1), CancellationToken::new());
    shares.callers.lock().share(caller(1), 1, Instant::now());
    let _place = poll(&mut arrive(&shares, 0)).expect("it is the first");
    let mut event = Box::pin(shares.place(caller(0), 10, Some(&dropped)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(event.as_mut().poll(&mut context).is_pending());
    dropped.cancel();
    let Poll::Ready(result) = event.as_mut().poll(&mut context) else {
        panic!("it still waits");
    };
    assert!(matches!(result, Err(InvokeError::Dropped)));
}

#[test]
fn events_that_wait_have_a_limit_of_memory() {
    let shares = Shares::new(1);
    shares.callers.lock().share(caller(1), 1, Instant::now());
    let _place = poll(&mut arrive(&shares, 0)).expect("it is the first");
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    let busy = loop {
        let mut event = arrive(&shares, 0);
        match event.as_mut().poll(&mut context) {
            Poll::Pending => waiting.push(event),
            Poll::Ready(result) => break result,
        }
    };
    assert!(matches!(busy, Err(InvokeError::Busy)));
    assert_eq!(waiting.len(), WAITING_BYTES / LEAST_BYTES);
    waiting.pop();
    assert!(
        poll(&mut arrive(&shares, 0)).is_none(),
        "there is room again"
    );
}
