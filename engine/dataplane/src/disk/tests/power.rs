//! Power that fails at any moment of a sync.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use super::model::{Op, Pair, SECTORS, op, range};
use crate::disk::config::Config;
use crate::disk::fetch::Flight;

use crate::disk::map::Page;
use crate::disk::tests::rig::open_again;
use crate::nbd::Piece;

/// What the disk held when the power went.
struct Wreck {
    image: Vec<u8>,
    map: Vec<u8>,
}

impl Pair {
    /// Begins a sync, and returns every state in which a loss of power may leave the files: all stages before one, and
    /// any of the pages of that one.
    fn wrecks(&self, seed: u64) -> Vec<Wreck> {
        let store = self.store();
        let other_boot = |header: &mut crate::disk::header::Header| {
            header.boot = "another".into();
            Ok(())
        };
        store.change_header(other_boot).unwrap();
        let mut map = fs::read(&self.config.map).unwrap();
        let image = fs::read(&self.config.image).unwrap();
        let snapshot = store.map.snapshot(&mut store.state().unsynced).unwrap();
        let mut wrecks = vec![Wreck { image: self.half_written(&image, seed), map: map.clone() }];
        for stage in store.map.stages(snapshot) {
            let subsets = (0..1_u32 << stage.len()).map(|chosen| {
                let mut torn = map.clone();
                let pages = stage.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
                pages.for_each(|(_, page)| put(&mut torn, page));
                Wreck { image: image.clone(), map: torn }
            });
            wrecks.extend(subsets);
            stage.iter().for_each(|page| put(&mut map, page));
        }
        wrecks
    }

    /// The image as it may be before it is synced: some sectors as they were at the last sync, some as they are now.
    fn half_written(&self, image: &[u8], seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut half = image.to_vec();
        for (sector, old) in half.chunks_mut(512).zip(self.stable.chunks(512)) {
            if random.bool() {
                sector.copy_from_slice(old);
            }
        }
        half
    }

    /// Opens the disk after the other boot, fetches what is absent, and looks at every sector.
    fn recovers(&self, wreck: &Wreck) {
        let folder = tempfile::Builder::new().prefix("lhd-").tempdir_in(self.folder.path()).unwrap();
        let (image, map) = (folder.path().join("image"), folder.path().join("map"));
        fs::write(&image, &wreck.image).unwrap();
        fs::write(&map, &wreck.map).unwrap();
        let store =
            Arc::new(open_again(&Config { image: image.clone(), map, ..self.config.clone() }).unwrap());
        let all = 0..store.geometry.blocks();
        let flight = Flight::begin(&store, all.clone());
        flight.store(&all, &[Piece::Data(self.source.clone().into())]).unwrap();
        assert_eq!(store.state().absent(), 0);
        let found = fs::read(&image).unwrap();
        for sector in 0..SECTORS as usize {
            let here = &found[sector * 512..(sector + 1) * 512];
            let may_be = |value: &Option<u8>| {
                here.iter().all(|byte| *byte == value.unwrap_or(self.source[sector * 512]))
            };
            let possible = &self.possible[sector];
            assert!(
                possible.iter().any(may_be),
                "sector {sector} holds {}, not one of {possible:?}",
                here[0]
            );
        }
        for block in all {
            let bytes = range(store.geometry.span(&(block..block + 1)));
            let is_source = found[bytes.clone()] == self.source[bytes];
            assert!(store.state().written.get(block) || is_source, "the proof would call block {block} bad");
        }
    }

    pub(super) fn survives_a_loss_of_power(&self, seed: u64) {
        self.wrecks(seed).iter().for_each(|wreck| self.recovers(wreck));
    }
}

fn put(map: &mut [u8], (offset, bytes): &Page) {
    map[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Proves that whatever part of a sync reached the disk before the power failed, what the guest had flushed is there,
    /// nothing is there that nobody wrote, and the proof blames no block.
    #[test]
    fn no_torn_sync_loses_what_was_flushed(ops in prop::collection::vec(op(), 1..40), seed in any::<u64>()) {
        let mut pair = Pair::new();
        ops.iter().for_each(|op| pair.apply(op));
        pair.survives_a_loss_of_power(seed);
    }
}

/// Proves that sectors flushed in an absent block stay the guest's when the sync that tells of the rest of the block is torn.
#[test]
fn flushed_sectors_survive_the_arrival_of_their_block() {
    let mut pair = Pair::new();
    pair.apply(&Op::Write { at: 9, sectors: 1, value: 200 });
    pair.apply(&Op::Sync);
    pair.apply(&Op::BeginFetch { block: 1, blocks: 1 });
    pair.apply(&Op::EndFetch);
    pair.survives_a_loss_of_power(0);
}

/// Proves that bytes of an unflushed write that reached the image over a fetched block are not taken for the source's, and
/// that a disk in which no guest could write keeps what was fetched.
#[test]
fn an_unflushed_write_over_a_fetched_block_is_not_blamed() {
    let mut pair = Pair::new();
    pair.apply(&Op::BeginFetch { block: 1, blocks: 4 });
    pair.apply(&Op::EndFetch);
    pair.apply(&Op::Sync);
    pair.apply(&Op::Write { at: 8, sectors: 24, value: 200 });
    (0..8).for_each(|seed| pair.survives_a_loss_of_power(seed));
    let nobody = |header: &mut crate::disk::header::Header| {
        header.holder = None;
        Ok(())
    };
    pair.store().change_header(nobody).unwrap();
    pair.apply(&Op::Reopen);
    assert!(pair.store().state().present.get(1), "fetched, and no guest to doubt");
}

/// Proves that a block is never durably present before it is durably the guest's.
#[test]
fn a_block_that_the_guest_wrote_is_not_blamed() {
    let mut pair = Pair::new();
    pair.apply(&Op::Write { at: 8, sectors: 8, value: 200 });
    pair.apply(&Op::Write { at: 19, sectors: 2, value: 201 });
    pair.survives_a_loss_of_power(0);
}
