//! The store against a list of bytes.

use std::sync::Arc;

use proptest::prelude::*;

use crate::disk::config::{Config, Faults, Initial};
use crate::disk::fetch::Flight;
use crate::disk::header::Process;
use crate::disk::store::Store;
use crate::disk::tests::rig::open_again;
use crate::nbd::{Piece, Span};

/// A short last block on purpose.
pub(super) const SECTORS: u64 = 8 * 12 + 3;
pub(super) const SIZE: u64 = SECTORS * 512;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Write {
        at: u64,
        sectors: u64,
        value: u8,
    },
    Zero {
        at: u64,
        sectors: u64,
    },
    Trim {
        at: u64,
        sectors: u64,
    },
    /// A fetch is sent; its answer is what the source holds now.
    BeginFetch {
        block: u64,
        blocks: u64,
    },
    /// The oldest fetch comes back.
    EndFetch,
    /// The source changed, and the target is told.
    SourceWrites {
        block: u64,
        value: u8,
    },
    Sync,
    /// Kill and restart: only memory is lost.
    Reopen,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let span = || (0..SECTORS, 1..20u64);
    prop_oneof![
        (span(), any::<u8>()).prop_map(|((at, sectors), value)| Op::Write { at, sectors, value }),
        span().prop_map(|(at, sectors)| Op::Zero { at, sectors }),
        span().prop_map(|(at, sectors)| Op::Trim { at, sectors }),
        (0..12u64, 1..6u64).prop_map(|(block, blocks)| Op::BeginFetch { block, blocks }),
        Just(Op::EndFetch),
        (0..13u64, any::<u8>()).prop_map(|(block, value)| Op::SourceWrites { block, value }),
        Just(Op::Sync),
        Just(Op::Reopen),
    ]
}

/// The store beside what must be in it.
pub(super) struct Pair {
    pub(super) config: Config,
    pub(super) store: Option<Arc<Store>>,
    pub(super) source: Vec<u8>,
    /// Bytes that the guest wrote, and whether it did.
    guest: Vec<Option<u8>>,
    /// What each sector may hold after a loss of power: what it held at the last sync, and what was written since.
    pub(super) possible: Vec<Vec<Option<u8>>>,
    /// The image as of the last sync.
    pub(super) stable: Vec<u8>,
    flights: Vec<(Flight, Piece)>,
    pub(super) folder: tempfile::TempDir,
}

impl Pair {
    pub(super) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("lhd-").tempdir().unwrap();
        let config = Config {
            vm: "vm".into(),
            image: folder.path().join("image"),
            map: folder.path().join("map"),
            disk_bytes: SIZE,
            initial: Initial::Absent,
            sockets: folder.path().into(),
            origin: None,
            faults: Faults::default(),
        };
        let store = Store::open(&config).unwrap();
        store.grant(1).unwrap();
        store.take_epoch(1, Process::living(std::process::id()).unwrap()).unwrap();
        store.attach(7).unwrap();
        let source = (0..SIZE).map(|at| (at / 512 + 1) as u8).collect();
        Self {
            config,
            store: Some(Arc::new(store)),
            source,
            guest: vec![None; SIZE as usize],
            possible: vec![vec![None]; SECTORS as usize],
            stable: vec![0; SIZE as usize],
            flights: Vec::new(),
            folder,
        }
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        self.store.as_ref().unwrap()
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match *op {
            Op::Write { at, sectors, value } => {
                let span = clip(at, sectors);
                self.store().write(1, span.offset, &vec![value; span.length as usize]).unwrap();
                self.guest_has(span, value);
            }
            Op::Zero { at, sectors } => {
                self.store().zero(1, clip(at, sectors), at % 2 == 0).unwrap();
                self.guest_has(clip(at, sectors), 0);
            }
            Op::Trim { at, sectors } => {
                self.store().trim(1, clip(at, sectors)).unwrap();
                let whole = self.store().geometry.whole(clip(at, sectors));
                if !whole.is_empty() {
                    self.guest_has(self.store().geometry.span(&whole), 0);
                }
            }
            Op::BeginFetch { block, blocks } => {
                let flight = Flight::begin(self.store(), block..(block + blocks).min(13));
                let span = self.store().geometry.span(&flight.blocks);
                let data = self.source[range(span)].to_vec();
                self.flights.push((flight, Piece::Data(data.into())));
            }
            Op::EndFetch if !self.flights.is_empty() => {
                let (flight, piece) = self.flights.remove(0);
                flight.store(&flight.blocks.clone(), &[piece]).unwrap();
            }
            Op::EndFetch => {}
            Op::SourceWrites { block, value } => self.source_writes(block, value),
            Op::Sync => {
                self.store().sync().unwrap();
                self.possible.iter_mut().for_each(|values| drop(values.drain(..values.len() - 1)));
                self.stable = std::fs::read(&self.config.image).unwrap();
            }
            Op::Reopen => {
                self.flights.clear();
                self.store = None;
                self.store = Some(Arc::new(open_again(&self.config).unwrap()));
            }
        }
    }

    fn source_writes(&mut self, block: u64, value: u8) {
        let span = self.store().geometry.span(&(block..block + 1));
        if self.guest[range(span)].iter().any(Option::is_some) {
            assert!(self.store().mark_absent(&[span]).is_err(), "what the guest wrote is never given up");
            return;
        }
        self.source[range(span)].fill(value);
        self.store().mark_absent(&[span]).unwrap();
    }

    fn guest_has(&mut self, span: Span, value: u8) {
        self.guest[range(span)].fill(Some(value));
        let sectors = range(span).step_by(512).map(|at| at / 512);
        sectors.for_each(|sector| self.possible[sector].push(Some(value)));
    }

    /// Every present block holds the guest's bytes over the source's; every absent one holds the guest's sectors.
    fn check(&self) {
        let geometry = self.store().geometry;
        let image = std::fs::read(&self.config.image).unwrap();
        for block in 0..geometry.blocks() {
            let present = self.store().state().present.get(block);
            for at in range(geometry.span(&(block..block + 1))) {
                match self.guest[at] {
                    Some(value) => assert_eq!(image[at], value, "byte {at} is the guest's"),
                    None if present => assert_eq!(image[at], self.source[at], "byte {at} is the source's"),
                    None => {}
                }
            }
        }
    }

    /// Fetches what is absent; then the whole disk must be right.
    fn complete(&mut self) {
        self.apply(&Op::BeginFetch { block: 0, blocks: 13 });
        let last = self.flights.pop().unwrap();
        last.0.store(&(0..13), &[last.1]).unwrap();
        assert_eq!(self.store().state().absent(), 0);
        self.check();
    }
}

fn clip(at: u64, sectors: u64) -> Span {
    Span::new(at * 512, sectors.min(SECTORS - at) * 512)
}

pub(super) fn range(span: Span) -> std::ops::Range<usize> {
    span.offset as usize..(span.offset + span.length) as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Proves that guest writes, trims, zeroes, late fetches, marks and restarts in any order never mix up bytes: what
    /// the guest wrote stays, a block marked absent after a fetch began is not brought back, the rest is the source's.
    #[test]
    fn any_order_keeps_the_right_bytes(ops in prop::collection::vec(op(), 1..60)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op);
            pair.check();
        }
        pair.complete();
    }
}

/// Proves that after another boot only synced writes count, and that unsynced blocks are absent again, not zeroes.
#[test]
fn a_loss_of_power_leaves_only_what_was_synced() {
    let mut pair = Pair::new();
    let write = |pair: &mut Pair, block: u64| pair.apply(&Op::Write { at: block * 8, sectors: 8, value: 9 });
    write(&mut pair, 1);
    pair.apply(&Op::Sync);
    write(&mut pair, 2);
    pair.store()
        .change_header(|header| {
            header.boot = "another".into();
            Ok(())
        })
        .unwrap();
    pair.apply(&Op::Reopen);
    let state = pair.store().state();
    assert!(state.present.get(1) && state.written.get(1));
    assert!(!state.present.get(2) && !state.written.get(2));
}

/// Proves that a block dirtied during a round swap is in a round, and that the map survives the death of the process.
#[test]
fn dirty_blocks_survive_a_restart() {
    let folder = tempfile::Builder::new().prefix("lhd-").tempdir().unwrap();
    let mut pair = Pair::new();
    pair.config.image = folder.path().join("whole");
    pair.config.map = folder.path().join("whole.map");
    pair.config.initial = Initial::Complete;
    std::fs::write(&pair.config.image, &pair.source).unwrap();
    pair.apply(&Op::Reopen);
    pair.store().grant(1).unwrap();
    let opened = pair.store().open_origin().unwrap();
    pair.apply(&Op::Write { at: 3, sectors: 1, value: 1 });
    assert_eq!(pair.store().dirty_round(0).unwrap().extents, [Span::new(0, 4096)]);
    pair.apply(&Op::Write { at: 17, sectors: 1, value: 1 });
    pair.apply(&Op::Reopen);
    assert_eq!(pair.store().open_origin().unwrap(), opened);
    let round = pair.store().dirty_round(1).unwrap();
    assert_eq!(round.extents, [Span::new(0, 4096), Span::new(8192, 4096)]);
    assert_eq!(pair.store().freeze(2).unwrap().dirty_bytes, 0);
    assert!(pair.store().write(1, 0, &[0; 512]).is_err(), "frozen is read-only");
    assert!(pair.store().thaw(1).is_err(), "a delayed thaw of an earlier attempt");
    pair.store().thaw(2).unwrap();
    assert!(pair.store().freeze(2).is_err(), "a delayed freeze of the attempt that was given up");
    assert!(pair.store().freeze(2).is_err(), "a delayed freeze fits nothing");
    pair.apply(&Op::Write { at: 0, sectors: 1, value: 5 });
}
