//! A valid run has no violation; one change to it is found, and nothing else.
//!
//! - `run`: builds a valid run
//! - `mutations`: the changes, by the violations that they cause

mod mutations;
mod run;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::history::Attempt;
use chat::Kind;
use mutations::{any_mutation, any_sent, worded};
use run::{DELETED, EDIT_OF_DELETED, EDITED, Run};

/// Returns the kinds of violations: the names of the variants.
fn kinds(violations: &[Violation]) -> BTreeSet<String> {
    let names = violations.iter().map(|violation| {
        let text = format!("{violation:?}");
        let name = text.split_whitespace().next();
        name.expect("it has a name").to_owned()
    });
    names.collect()
}

#[test]
fn each_kind_of_violation_is_found_as_that_kind() {
    for (kind, mutations) in mutations::all() {
        for (index, mutate) in mutations.iter().enumerate() {
            let mut run = Run::good(7, 10);
            mutate(&mut run);
            let found = run.check();
            assert_eq!(
                kinds(&found),
                [kind.to_owned()].into(),
                "{kind} {index}: {found:#?}"
            );
        }
    }
}

#[test]
fn a_run_without_messages_has_no_violation() {
    assert_eq!(check(&History::default(), &Contents::default()), []);
}

#[test]
fn a_message_that_was_given_up_may_be_stored_later() {
    let mut run = Run::good(7, 10);
    run.send(0, 0, false);
    assert_eq!(run.check(), []);
    run.send(0, 0, true);
    assert_eq!(kinds(&run.check()), ["LogDiffers".to_owned()].into());
}

#[test]
fn a_wording_that_a_deletion_has_left_in_the_log_is_found() {
    for seq in [DELETED, EDIT_OF_DELETED] {
        let mut run = Run::good(7, 10);
        *run.entry(seq) = Message {
            deleted_seq: run.entry(seq).deleted_seq,
            ..worded(&mut run, seq, None)
        };
        let expected = ["NotErased", "WordingDiffers"].map(str::to_owned);
        assert_eq!(kinds(&run.check()), expected.into(), "{seq}");
    }
}

#[test]
fn a_change_whose_fate_is_unknown_may_be_half_done() {
    let mut run = Run::good(7, 10);
    let older = run.entry(EDITED).clone();
    run.change(Kind::Edit, 0, EDITED, false);
    run.forget_pushes_of_the_last();
    run.hold();
    assert_eq!(run.check(), []);
    *run.entry(EDITED) = older;
    assert_eq!(run.check(), []);
}

#[test]
fn the_outcome_of_a_message_combines_its_attempts() {
    let mut run = Run::good(7, 0);
    let unknown = || Outcome::Unknown("no response".to_owned());
    let refused = || Outcome::Failed("rate_limited".to_owned());
    for (outcomes, expected) in [
        (vec![unknown(), Outcome::Ok, refused()], Outcome::Ok),
        (vec![refused(), unknown(), refused()], unknown()),
        (vec![refused(), refused()], refused()),
    ] {
        let sent = any_sent(&mut run);
        let attempt = sent.attempts[0].clone();
        let attempts = outcomes.into_iter().map(|outcome| Attempt {
            outcome,
            ..attempt.clone()
        });
        sent.attempts = attempts.collect();
        assert_eq!(sent.outcome(), expected);
    }
}

proptest! {
    #[test]
    fn a_good_run_is_clean(seed: u64, messages in 0_usize..40) {
        prop_assert_eq!(Run::good(seed, messages).check(), []);
    }

    #[test]
    fn one_thing_that_is_wrong_in_a_run_is_found_and_nothing_else(
        seed: u64,
        messages in 0_usize..40,
        (kind, mutate) in any_mutation(),
    ) {
        let mut run = Run::good(seed, messages);
        mutate(&mut run);
        let found = run.check();
        prop_assert_eq!(kinds(&found), [kind.to_owned()].into(), "{:#?}", found);
    }
}
