//! The faults, and at which point the other side has to stand when one is struck.

use longhaul_agent::faults::FaultPoint;

/// What is done to a move that is held at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    SourceAgent,
    TargetAgent,
    Controller,
    SourceQemu,
    TargetQemu,
    SourceDiskServer,
    TargetDiskServer,
    LinkCut,
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::SourceAgent,
        Self::TargetAgent,
        Self::Controller,
        Self::SourceQemu,
        Self::TargetQemu,
        Self::SourceDiskServer,
        Self::TargetDiskServer,
        Self::LinkCut,
    ];

    /// Its column of the page.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::SourceAgent => "source agent",
            Self::TargetAgent => "target agent",
            Self::Controller => "controller",
            Self::SourceQemu => "source QEMU",
            Self::TargetQemu => "target QEMU",
            Self::SourceDiskServer => "source disk server",
            Self::TargetDiskServer => "target disk server",
            Self::LinkCut => "link cut",
        }
    }
}

/// A point of the other side, which runs beside the one that is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beside {
    /// The other side waits by itself for what the held one will do.
    Nothing,
    /// It gets there, and stands there when the fault is struck.
    At(FaultPoint),
    /// It may get there and does not pass.
    NotPast(FaultPoint),
}

/// Where the other side is while this point is held: the outcome has to follow from the point and the fault alone.
pub(super) const fn beside(point: FaultPoint) -> Beside {
    use FaultPoint as P;
    match point {
        // How much of the memory fits into the stream decides whether the source gets to its switch meanwhile.
        P::TargetLoading => Beside::NotPast(P::SourcePreSwitchover),
        P::TargetListApplied => Beside::At(P::SourceListSent),
        P::SourceRelinquishSent => Beside::At(P::TargetRelinquishHere),
        P::TargetRelinquishHere => Beside::At(P::SourceRelinquishSent),
        P::TargetAnswered => Beside::At(P::SourceHeardRun),
        P::SourceHeardRun => Beside::At(P::TargetAnswered),
        P::SourceBegun
        | P::SourceHelloSent
        | P::SourceMigrating
        | P::SourcePreSwitchover
        | P::SourceFrozen
        | P::SourceListSent
        | P::SourceContinued
        | P::SourceCompleted
        | P::SourceRelinquished
        | P::SourceLearnedRun
        | P::SourceQuit
        | P::SourceHeardNack
        | P::SourceLearnedNack
        | P::SourceGranted
        | P::TargetBegun
        | P::TargetPrepared
        | P::TargetLoaded
        | P::TargetGranted
        | P::TargetRun
        | P::TargetContinued
        | P::TargetRefusing
        | P::TargetNack
        | P::PrefetchFilling
        | P::PrefetchRound
        | P::CopyLetGo
        | P::CopyKept
        | P::CopyTaken
        | P::NameRedirected
        | P::SettleFilling
        | P::SettleProven
        | P::SettleComplete
        | P::SourceReleased => Beside::Nothing,
    }
}
