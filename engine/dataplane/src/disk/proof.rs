//! The comparison of a filled disk with its frozen source, leaf by leaf.
//!
//! The source's hashes come through the tunnel from the export `VM#leaves`, 32 bytes for 64 KiB. A leaf in which the guest
//! has written is counted as superseded: there is nothing left to compare it with.

use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::control::{Proof, ProofState};
use super::demand::blocking;
use super::error::Error;
use super::leaf::{HASH, LEAF_BLOCKS, Leaf, Root, count, hashes, span};
use super::origin::{Lane, Origin};
use super::store::Store;
use crate::nbd::{Piece, Span};

/// Leaves per question: 4 KiB of hashes for 8 MiB of disk.
const BATCH: u64 = 128;
/// Questions in flight. The source reads and hashes all of their disk within the time that an answer may take.
const PIPELINE: usize = 8;

/// The proof of one disk; the latest one counts.
#[derive(Debug)]
pub(crate) struct Prover {
    proof: Mutex<Proof>,
}

impl Prover {
    /// With the proof of a disk that was settled before.
    pub(crate) fn new(settled: Option<Proof>) -> Self {
        Self { proof: Mutex::new(settled.unwrap_or_default()) }
    }

    pub(crate) fn proof(&self) -> Proof {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Proof> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk changed otherwise than by its guest: an earlier proof says nothing.
    pub(crate) fn forget(&self) {
        *self.lock() = Proof::default();
    }

    /// Begins, unless it is at work.
    pub(crate) fn start(self: &Arc<Self>, store: &Arc<Store>, origin: &Arc<Origin>) -> Result<(), Error> {
        if store.state().absent() > 0 {
            return Err(Error::State("some blocks are absent".into()));
        }
        let leaves = count(store.geometry.disk_bytes);
        {
            let mut proof = self.lock();
            if proof.state == ProofState::Running {
                return Ok(());
            }
            *proof = Proof { state: ProofState::Running, leaves, ..Proof::default() };
        }
        let (prover, store, lane) = (Arc::clone(self), Arc::clone(store), Lane::to_leaves(origin));
        tokio::spawn(async move {
            let result = prover.compare_all(&store, &lane, leaves).await;
            prover.end(result);
        });
        Ok(())
    }

    fn end(&self, result: Result<String, String>) {
        let mut proof = self.lock();
        if proof.state != ProofState::Running {
            return;
        }
        match result {
            Ok(root) => {
                proof.root = Some(root);
                proof.state = if proof.bad == 0 { ProofState::Good } else { ProofState::Bad };
            }
            Err(message) => proof.state = ProofState::Failed { message },
        }
    }

    async fn compare_all(&self, store: &Arc<Store>, lane: &Lane, leaves: u64) -> Result<String, String> {
        let mut root = Root::default();
        let batches = (0..leaves).step_by(BATCH as usize).map(|first| first..(first + BATCH).min(leaves));
        let answers =
            batches.map(|batch| async move { read_leaves(lane, &batch).await.map(|theirs| (batch, theirs)) });
        let mut answers = pin!(stream::iter(answers).buffered(PIPELINE));
        while let Some((batch, theirs)) = answers.try_next().await? {
            theirs.iter().for_each(|leaf| root.push(*leaf));
            let (here, range) = (Arc::clone(store), batch.clone());
            let found = blocking(move || compare(&here, range, &theirs)).await;
            self.note(&batch, &found.map_err(|error| error.to_string())?);
        }
        Ok(root.finish())
    }

    fn note(&self, batch: &Range<u64>, found: &Found) {
        let mut proof = self.lock();
        proof.checked += batch.end - batch.start;
        proof.superseded += found.superseded;
        proof.bad += found.bad.len() as u64;
        proof.first_bad = proof.first_bad.or(found.bad.first().copied());
    }
}

/// Result of one batch.
#[derive(Debug, Default)]
struct Found {
    superseded: u64,
    /// Offsets of the leaves that differ.
    bad: Vec<u64>,
}

async fn read_leaves(lane: &Lane, leaves: &Range<u64>) -> Result<Vec<Leaf>, String> {
    let wanted = (leaves.end - leaves.start) * HASH;
    // The export ends at a sector; the rest of the last one is padding.
    let pieces =
        lane.read_unless_refused(Span::new(leaves.start * HASH, wanted.next_multiple_of(512))).await?;
    let mut bytes = Vec::with_capacity(wanted as usize);
    for piece in pieces {
        match piece {
            Piece::Data(data) => bytes.extend_from_slice(&data),
            Piece::Zeroes(_) => return Err("source sent a hole where hashes belong".into()),
        }
    }
    bytes.truncate(wanted as usize);
    Ok(bytes.chunks_exact(HASH as usize).map(|hash| hash.try_into().expect("chunks are exact")).collect())
}

fn compare(store: &Store, leaves: Range<u64>, theirs: &[Leaf]) -> std::io::Result<Found> {
    let mut found = Found::default();
    for (leaf, expected) in leaves.zip(theirs) {
        let blocks = leaf * LEAF_BLOCKS..((leaf + 1) * LEAF_BLOCKS).min(store.geometry.blocks());
        // A guest's write changes data first and the bit later; the lock keeps us out of between.
        let _held = store.locks.lock(blocks.clone());
        if store.state().written.any(&blocks, true) {
            found.superseded += 1;
        } else if hashes(store, leaf..leaf + 1)?[0] != *expected {
            found.bad.push(span(store.geometry.disk_bytes, leaf).offset);
        }
    }
    Ok(found)
}
