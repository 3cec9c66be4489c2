//! The dirty map of a source: what was written since the target began to read, in rounds.
//!
//! A block is marked before its data is written and again after it. So a round that ends between the two cannot lose it:
//! the first mark went out with that round, perhaps too early, and the second one goes out with the next.
//! On disk there is only the union since the beginning (`Touched`); a restarted server hands all of it out again, which
//! is more than needed and never too little.

use std::ops::Range;

use super::bitmap::Bitmap;

/// The dirty map in memory.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// Dirtied and in no round yet.
    dirty: Bitmap,
    /// In a round that the asker has not acknowledged.
    pending: Bitmap,
    /// Everything since the beginning.
    touched: Bitmap,
    number: u64,
    blocks: u64,
}

impl Rounds {
    /// Begins, or goes on after a restart with what was touched before it.
    pub(crate) fn new(blocks: u64, touched: Bitmap) -> Self {
        Self { dirty: touched.clone(), pending: Bitmap::new(blocks), touched, number: 0, blocks }
    }

    /// Marks blocks. Returns the bytes of the union that changed and must reach the kernel before the write is
    /// acknowledged.
    pub(crate) fn mark(&mut self, blocks: &Range<u64>) -> Option<(u64, Vec<u8>)> {
        self.dirty.put(blocks, true);
        let changed = self.touched.put(blocks, true)?;
        Some((changed.start, self.touched.bytes(&changed)))
    }

    /// Ends a round and begins the next. `applied` is the last round that the asker has dealt with; what lies behind the
    /// first `most` runs stays dirty.
    pub(crate) fn next(&mut self, applied: u64, most: usize) -> (u64, Vec<Range<u64>>) {
        if applied == self.number {
            self.pending = Bitmap::new(self.blocks);
        }
        let dirty = std::mem::replace(&mut self.dirty, Bitmap::new(self.blocks));
        self.pending.merge(&dirty);
        // After a restart the asker's count is the higher one.
        self.number = self.number.max(applied) + 1;
        let runs: Vec<_> = self.pending.runs(0..self.blocks, true).take(most).collect();
        let end = runs.last().map_or(self.blocks, |run| run.end);
        let rest: Vec<_> = self.pending.runs(end..self.blocks, true).collect();
        for run in &rest {
            self.dirty.put(run, true);
        }
        self.pending.put(&(end..self.blocks), false);
        (self.number, runs)
    }

    /// The attempt failed: everything handed out is dirty again.
    pub(crate) fn abort(&mut self) {
        self.dirty = self.touched.clone();
        self.pending = Bitmap::new(self.blocks);
    }

    /// Blocks dirtied and in no round yet.
    pub(crate) fn dirty(&self) -> u64 {
        self.dirty.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds() -> Rounds {
        Rounds::new(100, Bitmap::new(100))
    }

    /// More runs than any test has.
    const ALL: usize = usize::MAX;

    /// Proves that the runs over the bound wait for the next round, in order, with what was dirtied since.
    #[test]
    fn a_round_has_a_bound() {
        let mut rounds = rounds();
        [3..5, 9..10, 20..30, 40..41].iter().for_each(|blocks| drop(rounds.mark(blocks)));
        assert_eq!((rounds.next(0, 2), rounds.dirty()), ((1, vec![3..5, 9..10]), 11));
        assert_eq!((rounds.next(0, 2), rounds.dirty()), ((2, vec![3..5, 9..10]), 11), "not acknowledged");
        rounds.mark(&(1..2));
        assert_eq!((rounds.next(2, 2), rounds.dirty()), ((3, vec![1..2, 20..30]), 1));
        assert_eq!((rounds.next(3, 2), rounds.dirty()), ((4, run(40..41)), 0));
        assert_eq!((rounds.next(4, 2), rounds.dirty()), ((5, vec![]), 0));
    }

    fn run(blocks: Range<u64>) -> Vec<Range<u64>> {
        std::iter::once(blocks).collect()
    }

    /// Proves that a round holds what was marked since the previous one, and nothing else.
    #[test]
    fn a_round_holds_what_is_new() {
        let mut rounds = rounds();
        rounds.mark(&(3..5));
        assert_eq!(rounds.next(0, ALL), (1, run(3..5)));
        rounds.mark(&(4..7));
        assert_eq!(rounds.next(1, ALL), (2, run(4..7)));
        assert_eq!(rounds.next(2, ALL), (3, vec![]));
    }

    /// Proves that a round whose answer was lost is handed out again, with what came since.
    #[test]
    fn a_lost_answer_is_repeated() {
        let mut rounds = rounds();
        rounds.mark(&(3..5));
        assert_eq!(rounds.next(0, ALL), (1, run(3..5)));
        rounds.mark(&(9..10));
        assert_eq!(rounds.next(0, ALL), (2, vec![3..5, 9..10]));
    }

    /// Proves that an aborted attempt makes every handed-out block dirty again.
    #[test]
    fn an_abort_merges_back() {
        let mut rounds = rounds();
        rounds.mark(&(3..5));
        rounds.next(0, ALL);
        rounds.mark(&(50..60));
        rounds.next(1, ALL);
        rounds.abort();
        assert_eq!(rounds.dirty(), 12);
        assert_eq!(rounds.next(2, ALL), (3, vec![3..5, 50..60]));
    }

    /// Proves that a restarted server hands everything out again, whatever round the asker had reached.
    #[test]
    fn a_restart_repeats_everything() {
        let mut touched = Bitmap::new(100);
        touched.put(&(7..9), true);
        let mut rounds = Rounds::new(100, touched);
        assert_eq!(rounds.next(5, ALL), (6, run(7..9)));
        assert_eq!(rounds.next(6, ALL), (7, vec![]));
    }
}
