//! The faults of a run and their times, by a seed.
//!
//! A run consists of rounds of half a minute: a calm, which shows the usual speed, and a storm.
//! Faults of one lane follow each other; those of different lanes overlap. Each lane goes through
//! its kinds in a shuffled order again and again, so that two rounds have all of them.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::Kind::{self, *};
use crate::fault::{Action, Planned, between};

/// Approximate length of a round.
const ROUND: Duration = Duration::from_secs(30);

/// Part of a round that is calm, at its beginning.
const CALM: f64 = 0.2;

/// End of the storm in a round; in the rest of the round the last faults heal.
const STORM_END: f64 = 0.93;

/// Part of its slot in which a fault begins, and part at which it has ended at the latest.
const LATEST_BEGIN: f64 = 0.25;
const LATEST_END: f64 = 0.75;

/// Returns the schedule of a seed, by time. It has all kinds if `length` is a minute or more; those
/// of the database only with `own_database`.
pub fn of(seed: u64, length: Duration, own_database: bool) -> Vec<Planned> {
    let mut dice = Rng::with_seed(seed);
    let rounds = (length.div_duration_f64(ROUND).round() as u32).max(1);
    let mut schedule = Vec::new();
    for kinds in lanes() {
        let kinds = kinds.iter().copied();
        let kinds: Vec<_> = kinds
            .filter(|kind| own_database || !kind.is_of_database())
            .collect();
        fill(&mut schedule, &kinds, length / rounds, rounds, &mut dice);
    }
    schedule.sort_by_key(|planned| planned.at);
    schedule
}

/// Returns the kinds of each lane.
fn lanes() -> [&'static [Kind]; 5] {
    [
        &[KillDatabase, KillGateway, PauseDatabase, PauseGateway],
        &[
            KillConnect,
            KillDisconnect,
            KillHistory,
            PauseFunction,
            CutAll,
        ],
        &[KillAtInvoke, KillBeforePush, KillAfterPush, CutSome],
        &[
            DropPushes,
            DelayPushes,
            DuplicatePushes,
            DropDisconnects,
            DelayDisconnects,
        ],
        &[Refuse410, Refuse429, Refuse500],
    ]
}

/// Plans the faults of a lane: so many in each round that two rounds have all of its kinds.
fn fill(schedule: &mut Vec<Planned>, kinds: &[Kind], round: Duration, rounds: u32, dice: &mut Rng) {
    let slots = kinds.len().div_ceil(2);
    let slot = round.mul_f64((STORM_END - CALM) / slots as f64);
    let mut bag = Vec::new();
    for number in 0..rounds {
        for place in 0..slots {
            if bag.is_empty() {
                bag.extend_from_slice(kinds);
                dice.shuffle(&mut bag);
            }
            let Some(kind) = bag.pop() else { return };
            let slot_start = round * number + round.mul_f64(CALM) + slot * place as u32;
            schedule.push(plan(kind, slot_start, slot, dice));
        }
    }
}

/// Plans a fault of a kind in its slot.
fn plan(kind: Kind, slot_start: Duration, slot: Duration, dice: &mut Rng) -> Planned {
    let begin = slot.mul_f64(between(0.0, LATEST_BEGIN, dice));
    let seconds = match kind {
        CutAll => 0.0,
        KillGateway => between(0.1, 2.0, dice),
        KillDatabase => between(0.1, 5.0, dice),
        PauseFunction | PauseDatabase | PauseGateway => between(0.5, 5.0, dice),
        _ => between(2.0, 6.0, dice),
    };
    let longest = slot.mul_f64(LATEST_END) - begin;
    Planned {
        at: slot_start + begin,
        lasts: Duration::from_secs_f64(seconds).min(longest),
        kind,
        action: Action::of(kind, dice),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::IntoEnumIterator;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn kinds(schedule: &[Planned]) -> BTreeSet<Kind> {
        schedule.iter().map(|planned| planned.kind).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        assert_eq!(of(7, MINUTE, true), of(7, MINUTE, true));
        assert_ne!(of(7, MINUTE, true), of(8, MINUTE, true));
    }

    #[test]
    fn every_kind_comes_in_a_minute() {
        for seed in 0..1_000 {
            assert_eq!(
                kinds(&of(seed, MINUTE, true)),
                Kind::iter().collect(),
                "{seed}"
            );
        }
    }

    #[test]
    fn a_database_that_is_not_the_runs_has_no_faults() {
        let schedule = of(7, MINUTE, false);
        let expected = Kind::iter().filter(|kind| !kind.is_of_database());
        assert_eq!(kinds(&schedule), expected.collect());
    }

    #[test]
    fn faults_lie_in_storms_and_end_before_the_run() {
        for seed in 0..1_000 {
            for planned in of(seed, MINUTE * 3, true) {
                let end = planned.at + planned.lasts;
                let in_round = |time: Duration| (time.as_secs_f64() / ROUND.as_secs_f64()).fract();
                assert!(in_round(planned.at) >= CALM, "{planned}");
                assert!(in_round(end) <= STORM_END, "{planned}");
                assert!(end < MINUTE * 3, "{planned}");
            }
        }
    }

    #[test]
    fn a_process_goes_for_no_longer_than_five_seconds_and_one_at_a_time() {
        for seed in 0..1_000 {
            let schedule = of(seed, MINUTE, true);
            let outages = schedule
                .iter()
                .filter(|planned| lanes()[0].contains(&planned.kind));
            let mut before = Duration::ZERO;
            for planned in outages {
                assert!(planned.at >= before, "{planned}");
                assert!(planned.lasts <= Duration::from_secs(5), "{planned}");
                before = planned.at + planned.lasts;
            }
        }
    }

    #[test]
    fn different_faults_overlap() {
        let schedule = of(7, MINUTE, true);
        let overlap = |pair: &[Planned]| pair[1].at < pair[0].at + pair[0].lasts;
        assert!(schedule.windows(2).any(overlap), "{schedule:?}");
    }
}
