//! What is going to happen, in the order of virtual time; at one instant in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Things to come.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    order: BinaryHeap<Reverse<(u64, u64)>>,
    things: BTreeMap<u64, T>,
    last: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { order: BinaryHeap::new(), things: BTreeMap::new(), last: 0 }
    }

    /// Plans a thing for this time, in Unix milliseconds.
    pub(crate) fn push(&mut self, at_unix_ms: u64, thing: T) {
        self.last += 1;
        self.order.push(Reverse((at_unix_ms, self.last)));
        self.things.insert(self.last, thing);
    }

    /// The next thing and its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at, number)) = self.order.pop()?;
        let thing = self.things.remove(&number).expect("whatever has an order is there");
        Some((at, thing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Earlier comes first, and at one instant what was planned first.
    #[test]
    fn time_and_then_sequence() {
        let mut queue = Queue::new();
        for (at, thing) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.push(at, thing);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, thing)| thing).collect();
        assert_eq!(order, "abcd");
    }
}
