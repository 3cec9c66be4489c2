//! What a restarted server still knows of what was not synced.

use super::model::{Op, Pair};
use crate::disk::map::{Table, Unsynced};

/// Proves that a flush after a restart makes stable what was acknowledged before it.
#[test]
fn a_flush_after_a_kill_covers_the_writes_before_it() {
    let mut pair = Pair::new();
    pair.apply(&Op::Write { at: 9, sectors: 1, value: 200 });
    pair.apply(&Op::Write { at: 16, sectors: 8, value: 201 });
    pair.apply(&Op::Reopen);
    pair.apply(&Op::Sync);
    pair.survives_a_loss_of_power(0);
}

/// Proves that a block that is marked absent again, after a kill between the two areas, is durably absent.
#[test]
fn a_mark_that_was_cut_short_is_made_good_by_the_next() {
    let mut pair = Pair::new();
    pair.apply(&Op::BeginFetch { block: 0, blocks: 13 });
    pair.apply(&Op::EndFetch);
    pair.apply(&Op::Sync);
    pair.store().map.write(Table::Present, 0, &[0xfe], &mut Unsynced::default()).unwrap();
    pair.apply(&Op::Reopen);
    pair.apply(&Op::SourceWrites { block: 0, value: 77 });
    pair.survives_a_loss_of_power(0);
}
