//! Items that take turns by their source: a source with many of them delays no other source by more
//! than one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items in the order in which they are due. Those of one source keep their order.
pub(super) struct Turns<Source, Item> {
    /// The items of each source; none is empty.
    queues: HashMap<Source, VecDeque<Item>>,
    /// The sources that have items, the one whose turn it is first.
    order: VecDeque<Source>,
    len: usize,
}

impl<Source, Item> Default for Turns<Source, Item> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            order: VecDeque::new(),
            len: 0,
        }
    }
}

impl<Source: Clone + Eq + Hash, Item> Turns<Source, Item> {
    /// Returns how many items there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the newest item of a source. A source that had none is the last to have its turn.
    pub(super) fn push_back(&mut self, source: Source, item: Item) {
        self.len += 1;
        let queue = self.queues.entry(source.clone()).or_default();
        if queue.is_empty() {
            self.order.push_back(source);
        }
        queue.push_back(item);
    }

    /// Puts back an item that was taken: it is due next.
    pub(super) fn push_front(&mut self, source: Source, item: Item) {
        self.len += 1;
        self.order.retain(|other| *other != source);
        self.order.push_front(source.clone());
        self.queues.entry(source).or_default().push_front(item);
    }

    /// Takes all items of a source.
    pub(super) fn remove(&mut self, source: &Source) -> VecDeque<Item> {
        let items = self.queues.remove(source).unwrap_or_default();
        if !items.is_empty() {
            self.order.retain(|other| other != source);
        }
        self.len -= items.len();
        items
    }

    /// Takes the item that is due.
    pub(super) fn pop_front(&mut self) -> Option<Item> {
        let source = self.order.pop_front()?;
        let queue = self.queues.get_mut(&source)?;
        let item = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(&source);
        } else {
            self.order.push_back(source);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_single_item_of_a_source_does_not_wait_for_all_of_another() {
        let mut turns = Turns::default();
        for item in 0..100 {
            turns.push_back("flood", item);
        }
        turns.push_back("other", 100);
        assert_eq!([turns.pop_front(), turns.pop_front()], [Some(0), Some(100)]);
        assert_eq!(turns.pop_front(), Some(1));
    }

    #[test]
    fn the_items_of_a_source_leave_together() {
        let mut turns = Turns::default();
        for item in 0..9 {
            turns.push_back(item % 3, item);
        }
        assert_eq!(turns.remove(&1), [1, 4, 7]);
        assert!(turns.remove(&1).is_empty() && turns.remove(&5).is_empty());
        assert_eq!(turns.len(), 6);
        turns.push_back(1, 9);
        let left: Vec<_> = std::iter::from_fn(|| turns.pop_front()).collect();
        assert_eq!(left, [0, 2, 9, 3, 5, 6, 8]);
    }

    proptest! {
        /// Each item comes out once, those of a source in their order, and between two items of a source
        /// there is at most one of each other.
        #[test]
        fn sources_take_turns(sources in proptest::collection::vec(0..5_u8, 0..60)) {
            let mut turns = Turns::default();
            for (number, source) in sources.iter().enumerate() {
                turns.push_back(*source, (*source, number));
            }
            let mut left: Vec<(u8, usize)> = Vec::new();
            while let Some(item) = turns.pop_front() {
                turns.push_front(item.0, item);
                prop_assert_eq!(turns.pop_front(), Some(item), "it is due next");
                left.push(item);
            }
            prop_assert_eq!(turns.len(), 0);
            let mut sorted = left.clone();
            sorted.sort_by_key(|(_, number)| *number);
            let pushed: Vec<_> = sources.iter().copied().zip(0..).collect();
            prop_assert_eq!(sorted, pushed);
            for source in 0..5 {
                let of_source: Vec<_> = (0..left.len()).filter(|at| left[*at].0 == source).collect();
                for pair in of_source.windows(2) {
                    prop_assert!(left[pair[0]].1 < left[pair[1]].1);
                    let mut between: Vec<_> = left[pair[0] + 1..pair[1]].iter().map(|item| item.0).collect();
                    between.sort_unstable();
                    let count = between.len();
                    between.dedup();
                    prop_assert_eq!(between.len(), count);
                }
            }
        }
    }
}
