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
use mutations::{MUTATIONS, any_mutation, any_sent};
use run::Run;

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
    for (kind, mutations) in MUTATIONS {
        for (index, mutate) in mutations.iter().enumerate() {
            let mut run = Run::good(7, 10);
            mutate(&mut run);
            let found = run.check();
            assert_eq!(
                kinds(&found),
                [(*kind).to_owned()].into(),
                "{kind} {index}: {found:#?}"
            );
        }
    }
}

#[test]
fn a_run_without_messages_has_no_violation() {
    assert_eq!(check(&History::default(), &[]), []);
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
