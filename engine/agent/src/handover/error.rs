//! Why a hand-over could not be brought to an end here and now.

use std::io;

use longhaul_model::ids::VmId;

use crate::{facts, qmp, vm};

/// An error of something that this module was handed: a disk, the peer.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Why a hand-over could not be brought to an end here and now. The facts then say where it stands, and recovering
/// goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The facts refused, or are unusable ([`facts::Error::is_fatal`]: the agent has to stop).
    #[error("keep the facts of the hand-over")]
    Facts(#[from] facts::Error),
    /// QEMU cannot be started, found or stopped.
    #[error("handle QEMU")]
    Vm(#[from] vm::Error),
    /// QEMU did not do as it was asked.
    #[error("ask QEMU")]
    Qmp(#[from] qmp::Error),
    /// The disk server did not do as it was asked.
    #[error("have the disk server {what}")]
    Disk {
        /// What it was asked.
        what: &'static str,
        /// Its words.
        source: HookError,
    },
    /// The guest's QEMU is gone, and with it the guest's memory. This site still owns the VM.
    #[error("find the QEMU of {vm}: the guest is lost, its disk is here")]
    Crashed {
        /// The VM.
        vm: VmId,
    },
    /// The stream between the sites ended or does not make sense.
    #[error("carry the state")]
    Stream(#[from] io::Error),
    /// The memory copy cannot reach the pause that was asked for.
    #[error(
        "bring the pause below {wanted_ms} ms: after {tried_seconds} s without progress it would be {implied_ms} ms"
    )]
    Diverges {
        /// The bound.
        wanted_ms: u64,
        /// What stopping now would cost.
        implied_ms: u64,
        /// How long there was no progress.
        tried_seconds: u64,
    },
    /// QEMU gave the migration up.
    #[error("migrate: QEMU says {status}: {said}")]
    Migration {
        /// QEMU's word.
        status: String,
        /// Its explanation.
        said: String,
    },
    /// The guest was stopped for longer than is allowed before the promise, and was let go on.
    #[error("finish the switch within {allowed_ms} ms")]
    SwitchTooLong {
        /// The bound.
        allowed_ms: u64,
    },
    /// Nothing happened for too long.
    #[error("wait for {what}")]
    Deadline {
        /// What did not come.
        what: &'static str,
    },
    /// The other side said something that does not belong to this hand-over.
    #[error("understand the other side: {what}")]
    Protocol {
        /// What is wrong.
        what: String,
    },
    /// The target refused before anything was promised.
    #[error("have the target take the VM: {reason}")]
    Refused {
        /// The target's words.
        reason: String,
    },
}

impl Error {
    /// The error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }

    /// Whether the agent has to stop.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Facts(error) if error.is_fatal())
    }
}
