//! What a hand-over is handed: the disk servers of both sides, and a way to ask the peer.

use std::sync::Arc;

use async_trait::async_trait;
use longhaul_model::ids::{RunId, VmId};

use super::error::HookError;
use super::frame::Extent;
use super::question::Answer;
use crate::facts::Epoch;

/// Who may write a disk from now on.
///
/// A QEMU keeps the name under which it attached its disk, `VM@ATTACHED`, for life. After a NACK the very QEMU that attached as
/// `VM@1` goes on under epoch 3: the grant then says that the session of that name, and its reconnects, hold epoch 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The epoch that may write. Lower ones may not any more.
    pub epoch: Epoch,
    /// The epoch in the export name of the session that holds it.
    pub attached: Epoch,
}

/// The source's disk server. Every call may be repeated.
#[async_trait]
pub trait SourceDisk: Send + Sync {
    /// Freezes the disk (writes are held or refused, flushes are answered) and returns what was written since the last
    /// round that the target fetched. The guest is stopped.
    async fn last_round(&self) -> Result<Vec<Extent>, HookError>;
    /// Puts the last round back into the dirty map and lets the disk take writes again.
    async fn thaw(&self) -> Result<(), HookError>;
    /// Lets a session write.
    async fn grant(&self, grant: Grant) -> Result<(), HookError>;
}

/// The target's disk server. Every call may be repeated.
#[async_trait]
pub trait TargetDisk: Send + Sync {
    /// Forgets these blocks: they were fetched before the guest wrote them.
    async fn mark_absent(&self, extents: &[Extent]) -> Result<(), HookError>;
    /// Lets a session write.
    async fn grant(&self, grant: Grant) -> Result<(), HookError>;
}

/// The other site's `Handover` question.
#[async_trait]
pub trait PeerQuestions: Send + Sync {
    /// Asks once what the target decided; with `give_up` it decides for NACK if it had not.
    async fn handover(&self, vm: &VmId, run: &RunId, asked: (Epoch, bool)) -> Result<Answer, HookError>;
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of state sent.
    pub bytes_done: u64,
    /// Bytes of state sent and still to be sent, as far as known now.
    pub bytes_total: u64,
    /// Current rate.
    pub bytes_per_second: u64,
    /// `memory`, `switch` or `answer`.
    pub phase: &'static str,
}

/// Called with every change of progress; must not block.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;
