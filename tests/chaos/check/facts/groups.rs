//! Groups after each of their entries, and what was in force at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::tests::client::Frame;
use chat::Kind;

use super::{Facts, frames, largest_so_far};
use crate::contents::Stored;
use crate::history::{History, Key};
use crate::roster::Roster;

/// The largest numbers that clients had seen at a time, by conversation and time.
pub type Seen<'a> = HashMap<&'a str, Vec<(Duration, i64)>>;

/// A group after each of its entries.
pub struct Timeline {
    /// The numbers of entries, with the group after them; the first one is before all.
    rosters: Vec<(i64, Arc<Roster>)>,
    /// Numbers of entries, each with the earliest time at which it may have been stored.
    starts: Vec<(Duration, i64)>,
    /// The times of each user in the group, by their first and last numbers.
    periods: HashMap<String, Vec<(i64, i64)>>,
}

impl Timeline {
    fn of(log: &[&Stored], start: impl Fn(&Stored) -> Duration) -> Self {
        let mut timeline = Self {
            rosters: vec![(0, Arc::default())],
            starts: Vec::new(),
            periods: HashMap::new(),
        };
        let mut earliest = Duration::ZERO;
        for entry in log {
            earliest = earliest.max(start(entry));
            timeline.starts.push((earliest, entry.seq));
            timeline.add(entry);
        }
        timeline
    }

    fn add(&mut self, entry: &Stored) {
        let before = self.last();
        let mut after = (*before).clone();
        after.apply(entry);
        for user_id in &entry.users {
            let was_here = before.member(user_id).is_some();
            let is_here = after.member(user_id).is_some();
            let periods = self.periods.entry(user_id.clone()).or_default();
            match periods.last_mut() {
                Some((_, end)) if was_here && !is_here => *end = entry.seq,
                _ if is_here && !was_here => periods.push((entry.seq, i64::MAX)),
                _ => {}
            }
        }
        // Most entries change nothing, and share what they leave.
        let after = if after == *before {
            before
        } else {
            Arc::new(after)
        };
        self.rosters.push((entry.seq, after));
    }

    /// Returns the group after all entries.
    pub fn last(&self) -> Arc<Roster> {
        let (_, last) = self.rosters.last().expect("the first one");
        Arc::clone(last)
    }

    /// Returns the group before each entry, in the order of their numbers, and after it.
    pub fn steps(&self) -> impl Iterator<Item = (&Roster, &Roster)> {
        let pairs = self.rosters.windows(2);
        pairs.map(|pair| (&*pair[0].1, &*pair[1].1))
    }

    /// Returns the different states of the group after the entries from one number to another.
    fn between(&self, first: i64, last: i64) -> Vec<&Roster> {
        let begin = self.rosters.partition_point(|(seq, _)| *seq <= first);
        let from_first = self.rosters[begin - 1..].iter();
        let rosters = from_first.take_while(|(seq, _)| *seq <= first.max(last));
        let mut rosters: Vec<&Arc<Roster>> = rosters.map(|(_, roster)| roster).collect();
        rosters.dedup_by(|a, b| Arc::ptr_eq(a, b));
        rosters.into_iter().map(|roster| &**roster).collect()
    }

    /// Returns the largest number that may have been stored before a time.
    fn reached(&self, time: Duration) -> i64 {
        let stored = self.starts.partition_point(|(start, _)| *start < time);
        self.starts[..stored].last().map_or(0, |(_, seq)| *seq)
    }
}

impl<'a> Facts<'a> {
    pub(super) fn add_timelines(&mut self) {
        let is_group = |id: &&str| crate::history::is_group(id);
        let ids = self.logs.keys().copied().filter(is_group);
        let timelines = ids.map(|id| {
            let start = |entry: &Stored| {
                let sent = Key::of(entry).and_then(|key| self.sent.get(&key).copied());
                sent.map_or(Duration::ZERO, |sent| sent.start())
            };
            (id, Timeline::of(&self.logs[id], start))
        });
        self.groups = timelines.collect();
    }

    /// Returns a group as it may have been at some moment between two times: everything that a client had seen before is
    /// in it.
    pub fn moments(&self, group: &str, start: Duration, end: Duration) -> Vec<&Roster> {
        self.moments_from(group, self.seen_before(group, start), end)
    }

    /// Returns what may be stored of a group beside the log at some moment between two times. A change is there once it was
    /// acknowledged or pushed.
    pub fn projections(&self, group: &str, start: Duration, end: Duration) -> Vec<&Roster> {
        let known = largest_before(&self.known_changes, group, start);
        self.moments_from(group, known, end)
    }

    /// Returns the number of the last change of a group that was acknowledged or pushed.
    pub fn last_known_change(&self, group: &str) -> i64 {
        largest_before(&self.known_changes, group, Duration::MAX)
    }

    fn moments_from(&self, group: &str, first: i64, end: Duration) -> Vec<&Roster> {
        match self.groups.get(group) {
            Some(timeline) => timeline.between(first, timeline.reached(end)),
            None => vec![&self.unknown],
        }
    }

    /// Returns a group as it may be after all: an entry that was given up may have been stored when nobody looked any
    /// more.
    pub fn endings(&self, group: &str) -> Vec<&Roster> {
        let settled = self.log(group).iter().rev().find(|it| !self.is_open(it));
        let settled = settled.map_or(0, |entry| entry.seq);
        self.moments_from(group, settled, Duration::MAX)
    }

    /// Whether a user may see an entry of a group at a time.
    pub fn may_see(&self, user_id: &str, group: &str, seq: i64, time: Duration) -> bool {
        let Some(timeline) = self.groups.get(group) else {
            return false;
        };
        let reached = timeline.reached(time);
        let shows_all = timeline.last().shows_all;
        let periods = timeline.periods.get(user_id).into_iter().flatten();
        let mut periods = periods.filter(|(joined, _)| *joined <= reached);
        periods.any(|(joined, left)| (shows_all || *joined <= seq) && seq <= *left)
    }

    /// Whether a user may have joined a group before a time.
    pub fn may_have_joined(&self, user_id: &str, group: &str, time: Duration) -> bool {
        let timeline = self.groups.get(group);
        let joined = timeline.and_then(|it| it.periods.get(user_id)?.first());
        joined.is_some_and(|(joined, _)| timeline.is_some_and(|it| *joined <= it.reached(time)))
    }
}

/// Returns the largest number of a conversation that was seen before a time; 0 if there is none.
pub fn largest_before(seen: &Seen, conversation_id: &str, time: Duration) -> i64 {
    let seen = seen.get(conversation_id).map_or(&[][..], Vec::as_slice);
    let later = seen.partition_point(|(at, _)| *at < time);
    seen[..later].last().map_or(0, |(_, seq)| *seq)
}

/// Returns the changes of groups that were acknowledged or pushed.
pub fn known_changes<'a>(history: &'a History, stored: &HashMap<Key, Vec<&'a Stored>>) -> Seen<'a> {
    let mut known = Seen::new();
    for (connection, at, frame) in frames(history) {
        let (id, seq) = match frame {
            Frame::Entry(entry) if is_of_group(entry.kind) => (&entry.conversation_id, entry.seq),
            Frame::Ack(ack) => {
                let entries = stored.get(&super::ack_key(connection, ack));
                let mut entries = entries.into_iter().flatten();
                if !entries.any(|entry| is_of_group(entry.kind)) {
                    continue;
                }
                (&ack.conversation_id, ack.seq)
            }
            _ => continue,
        };
        known.entry(id).or_default().push((at, seq));
    }
    largest_so_far(known)
}

/// Whether entries of a kind change who is in a group, or how it is called.
fn is_of_group(kind: Kind) -> bool {
    !matches!(kind, Kind::Text | Kind::Edit | Kind::Delete)
}
