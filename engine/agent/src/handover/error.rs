//! Why a hand-over could not be brought to an end here and now.

use std::io;

use longhaul_model::ids::VmId;

use crate::error::Class;
use crate::facts::Refusal;
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
    #[error("have the target take the VM: {}", .0.reason)]
    Refused(Refusal),
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

    /// What kind of failure it is when the VM stays where it was because of it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Facts(error) => error.class(),
            Self::Vm(error) => error.class(),
            Self::Qmp(error) => error.class(),
            Self::Disk { source, .. } => source.downcast_ref().map_or(Class::Transient, class_of),
            Self::Refused(refusal) => refusal.class,
            // The guest writes faster than the link carries: the next copy would not end either.
            Self::Diverges { .. } => Class::Precondition,
            // A source whose guest is lost says so itself; here it is a target whose QEMU died under the copy. What makes no
            // sense may have been meant for an earlier attempt, and QEMU gives up for every stream that breaks.
            Self::Crashed { .. } | Self::Protocol { .. } | Self::Migration { .. } => Class::Transient,
            Self::Stream(_) | Self::SwitchTooLong { .. } | Self::Deadline { .. } => Class::Transient,
        }
    }

    /// The same as it is told to the other side.
    pub(super) fn refusal(&self) -> Refusal {
        Refusal::new(self.class(), self.chain())
    }

    /// Whether the agent has to stop.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Facts(error) if error.is_fatal())
    }
}

fn class_of(error: &crate::error::Error) -> Class {
    error.class
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What time or another try can heal is transient, whatever it is wrapped in; what somebody has to change is not.
    #[test]
    fn the_reason_decides_about_another_try() {
        let vm = || "vm-a".parse::<VmId>().unwrap();
        let disk = |class| {
            let source = crate::error::Error::new(class, "no").into();
            Error::Disk { what: "forget stale blocks", source }
        };
        let qmp = |command: &str| qmp::Error::Refused {
            command: command.to_owned(),
            class: "GenericError".to_owned(),
            description: "no".to_owned(),
        };
        let start = |kind: io::ErrorKind| vm::Error::Io { path: "qemu".into(), source: kind.into() };
        let classes = [
            (Error::Vm(vm::Error::Ended { vm: vm() }), Class::Transient),
            (Error::Vm(vm::Error::Refused { vm: vm(), said: "no such cpu".to_owned() }), Class::Permanent),
            (Error::Vm(start(io::ErrorKind::NotFound)), Class::Precondition),
            (Error::Vm(start(io::ErrorKind::PermissionDenied)), Class::Precondition),
            (Error::Vm(start(io::ErrorKind::OutOfMemory)), Class::Transient),
            (Error::Qmp(qmp("migrate-set-capabilities")), Class::Permanent),
            (Error::Qmp(qmp("migrate-continue")), Class::Transient),
            (disk(Class::Transient), Class::Transient),
            (disk(Class::Permanent), Class::Permanent),
            (Error::Stream(io::ErrorKind::UnexpectedEof.into()), Class::Transient),
            (Error::Crashed { vm: vm() }, Class::Transient),
            (Error::SwitchTooLong { allowed_ms: 1 }, Class::Transient),
            (Error::Diverges { wanted_ms: 1, implied_ms: 2, tried_seconds: 3 }, Class::Precondition),
            (Error::Refused(Refusal::new(Class::Conflict, "no")), Class::Conflict),
        ];
        for (error, class) in classes {
            assert_eq!(error.class(), class, "{}", error.chain());
        }
    }
}
