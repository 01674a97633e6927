//! The pages that the search gives, and what it reads for them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{History, Kind};

fn entry(seq: i64) -> Entry {
    Entry {
        message_id: String::new(),
        conversation_id: ConversationId::direct(
            &"a".to_owned().try_into().expect("a user"),
            &"b".to_owned().try_into().expect("a user"),
        ),
        seq,
        sender_id: "a".to_owned(),
        receiver_id: Some("b".to_owned()),
        message: String::new(),
        timestamp: String::new(),
        client_message_id: None,
        kind: Kind::Text,
        target_seq: None,
        users: Vec::new(),
        title: None,
        role: None,
        new_owner: None,
        history: History::default(),
        edited_seq: None,
        deleted_seq: None,
        withheld: false,
    }
}

/// A page by its numbers, and whether there are older and newer ones.
type Numbers = (Vec<i64>, bool, bool);

/// Queries of a page, and the numbers in their ranges.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    queries: usize,
    examined: usize,
}

/// Returns a page of the conversation with these numbers, as the store reads it.
fn search(
    numbers: &BTreeSet<i64>,
    range: Range,
    view: Option<Span>,
    limit: u32,
    reached: Option<i64>,
) -> (Numbers, Cost) {
    let mut found = Found::new(range, view, limit, |_: &Entry| true);
    let (mut queries, mut examined) = (0, 0);
    for step in Step::ALL {
        let reached = reached.filter(|_| found.asks_for_reached(step));
        let Some(query) = found.query(step, reached) else {
            continue;
        };
        let in_span = || numbers.range(query.span.low..=query.span.high).copied();
        let first: Vec<i64> = match query.forward {
            true => in_span().take(query.limit as usize).collect(),
            false => in_span().rev().take(query.limit as usize).collect(),
        };
        (queries, examined) = (queries + 1, examined + in_span().count());
        for seq in first {
            if !found.is_full() {
                found.add(entry(seq));
            }
        }
        found.finish(&query);
    }
    let side = match found.unknown_side() {
        Some(side) => numbers.range(side.low..=side.high).next().is_some(),
        None => found.excluded_exists,
    };
    let page = found.into_page(side);
    let seqs = page.entries.iter().map(|entry| entry.seq).collect();
    let numbers = (seqs, page.has_older, page.has_newer);
    (numbers, Cost { queries, examined })
}

/// Returns the same page by its definition.
fn model(numbers: &BTreeSet<i64>, range: Range, limit: u32) -> Numbers {
    let in_range = |seq: &i64| {
        range.after.is_none_or(|after| *seq > after)
            && range.before.is_none_or(|before| *seq < before)
    };
    let all: Vec<i64> = numbers.iter().copied().filter(in_range).collect();
    let more = all.len() > limit as usize;
    let page: Vec<i64> = match range.after {
        Some(_) => all.iter().copied().take(limit as usize).collect(),
        None => all[all.len().saturating_sub(limit as usize)..].to_vec(),
    };
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return (page, false, false);
    };
    let older = numbers.iter().any(|seq| seq < first);
    let newer = numbers.iter().any(|seq| seq > last);
    let (has_older, has_newer) = match (range.after, range.before) {
        (Some(_), None) => (older, more),
        (Some(_), Some(_)) => (false, more),
        (None, Some(_)) => (more, newer),
        (None, None) => (more, false),
    };
    (page, has_older, has_newer)
}

fn numbers() -> impl Strategy<Value = BTreeSet<i64>> {
    prop_oneof![
        (-300..=1_i64, 0..600_i64).prop_map(|(oldest, newest)| (oldest..=newest).collect()),
        prop::collection::btree_set(-40..80_i64, 0..60),
        prop::collection::btree_set(prop_oneof![any::<i64>(), extreme(), 0..9_i64], 0..20),
    ]
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![
        (0..4_i64).prop_map(|n| i64::MIN + n),
        (0..4_i64).prop_map(|n| i64::MAX - n),
    ]
}

fn end() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![
        6 => -50..90_i64,
        3 => -310..610_i64,
        1 => extreme(),
    ])
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![1..5_u32, 1..=1_000_u32]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_page_is_the_same_wherever_the_search_begins(
        numbers in numbers(),
        after in end(),
        before in end(),
        first in end(),
        last in end(),
        limit in limit(),
        reached in end(),
    ) {
        let range = Range { after, before };
        let view = Span::new(first.unwrap_or(i64::MIN), last.unwrap_or(i64::MAX));
        let is_visible = |seq: &i64| view.is_some_and(|view| view.contains(*seq));
        let (page, _) = search(&numbers, range, view, limit, reached);
        let visible = numbers.into_iter().filter(is_visible).collect();
        prop_assert_eq!(page, model(&visible, range, limit));
    }

    #[test]
    fn in_dense_numbers_a_page_is_a_few_queries_of_a_short_range(
        newest in 0..5_000_i64,
        behind in 0..64_i64,
        after in prop::option::of(-10..5_100_i64),
        before in prop::option::of(-10..5_100_i64),
        limit in 1..=200_u32,
    ) {
        let numbers = (1..=newest).collect();
        let reached = (newest >= 1).then_some((newest - behind).max(1));
        let (_, cost) = search(&numbers, Range { after, before }, Some(Span::ALL), limit, reached);
        // Around 0 there may be messages of the old system: one more query tells.
        let is_around_zero = [after, before].into_iter().flatten().any(|end| end <= 1);
        let queries = if is_around_zero { 3 } else { 2 };
        prop_assert!(cost.queries <= queries, "{cost:?}");
        prop_assert!(cost.examined <= 2 * (limit as usize + 64), "{cost:?}");
    }
}

#[test]
fn a_page_of_no_messages_is_three_queries_that_find_none() {
    for (after, before) in [
        (None, None),
        (Some(-1), None),
        (Some(-10), None),
        (None, Some(9)),
    ] {
        let (page, cost) = search(
            &BTreeSet::new(),
            Range { after, before },
            Some(Span::ALL),
            1,
            None,
        );
        assert_eq!(page, (Vec::new(), false, false));
        assert!(cost.queries <= 3 && cost.examined == 0, "{cost:?}");
    }
}

#[test]
fn pages_of_a_conversation_without_end() {
    let numbers: BTreeSet<i64> = (1..=100_000).collect();
    let range = |after, before| Range { after, before };
    for (range, queries, examined) in [
        // The newest page, the oldest one, one in the middle from either side, nothing new.
        (range(None, None), 1, 100 + 64),
        (range(Some(0), None), 1, 101),
        (range(Some(50_000), None), 1, 102),
        (range(None, Some(50_000)), 1, 102),
        (range(Some(100_000), None), 2, 2),
        (range(None, Some(i64::MAX)), 2, 100 + 64),
        (range(Some(i64::MIN), None), 2, 101),
    ] {
        let (page, cost) = search(&numbers, range, Some(Span::ALL), 100, Some(99_937));
        assert_eq!(page, model(&numbers, range, 100));
        assert_eq!(cost, Cost { queries, examined }, "{range:?}");
    }
}
