//! Operations that move bytes: how long they take follows from the share of the link that their steps have.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;

use super::{Simulation, Thing};
use crate::Moves;
use crate::world::OperationId;

/// Bits, and thousandths of them: what a millisecond moves at a rate in bits a second is a whole number of these.
const PER_BYTE: u128 = 8 * 1_000;

/// Bytes under way.
#[derive(Debug)]
struct Transfer {
    id: OperationId,
    over: String,
    left: u128,
    bits_per_second: u64,
    since_unix_ms: u64,
    /// What the operation takes besides.
    then_ms: u64,
}

/// The operations that move bytes, by their steps.
#[derive(Debug, Default)]
pub(super) struct Transfers(BTreeMap<StepPath, Transfer>);

impl Transfer {
    /// Takes off what was moved since the last look, and what went by after that.
    fn advance(&mut self, now_unix_ms: u64) {
        let elapsed = now_unix_ms.saturating_sub(self.since_unix_ms);
        self.then_ms = self.then_ms.saturating_sub(elapsed.saturating_sub(self.moving_ms()));
        let moved = u128::from(elapsed) * u128::from(self.bits_per_second);
        self.left = self.left.saturating_sub(moved);
        self.since_unix_ms = now_unix_ms;
    }

    /// How long moving what is left takes; for ever if its step has nothing of the link.
    fn moving_ms(&self) -> u64 {
        match (self.left, self.bits_per_second) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            (left, rate) => u64::try_from(left.div_ceil(u128::from(rate))).unwrap_or(u64::MAX),
        }
    }

    /// From the last look to its end.
    fn needs_ms(&self) -> u64 {
        self.moving_ms().saturating_add(self.then_ms)
    }
}

impl Simulation<'_> {
    /// When an operation that begins now comes to its end, as far as its step's share stays what it is.
    pub(super) fn planned_end(&mut self, id: &OperationId, takes_ms: u64, moves: Option<Moves>) -> u64 {
        let now_unix_ms = self.now_unix_ms;
        let Some(Moves { bytes, over }) = moves else { return now_unix_ms.saturating_add(takes_ms) };
        let transfer = Transfer {
            id: id.clone(),
            bits_per_second: self
                .claims
                .get(&id.step)
                .and_then(|claims| claims.get(&over))
                .copied()
                .unwrap_or(0),
            over,
            left: u128::from(bytes) * PER_BYTE,
            since_unix_ms: now_unix_ms,
            then_ms: takes_ms,
        };
        let at = now_unix_ms.saturating_add(transfer.needs_ms());
        self.transfers.0.insert(id.step.clone(), transfer);
        at
    }

    /// A step has another share than before: what it moves comes to its end sooner, or later.
    pub(super) fn share(&mut self, step: &StepPath, claims: &BTreeMap<String, u64>) {
        self.claims.insert(step.clone(), claims.clone());
        let Some(transfer) = self.transfers.0.get_mut(step) else { return };
        transfer.advance(self.now_unix_ms);
        transfer.bits_per_second = claims.get(&transfer.over).copied().unwrap_or(0);
        let at = self.now_unix_ms.saturating_add(transfer.needs_ms());
        let id = transfer.id.clone();
        match self.world.put_off(&id) {
            Some(plan) => self.queue.push(at, Thing::End { id, plan }),
            // It is over, or was asked to stop.
            None => drop(self.transfers.0.remove(step)),
        }
    }
}
