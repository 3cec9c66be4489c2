//! Named points of a move at which a test can hold an agent and kill something exactly there.
//!
//! In production [`Faults::none`] makes every point free. A test hands in the path of a unix socket on which it listens: at
//! each point the agent connects, writes the point's name and a line feed, and waits for the connection to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A forgotten test must not hold a VM for ever.
const HELD_MAX: Duration = Duration::from_secs(300);

macro_rules! fault_points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A step of the move, in the order in which a move reaches them on each side of its hand-over, and around it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FaultPoint { $($(#[$doc])* $name,)* }

        impl FaultPoint {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name: `SIDE-WHERE` in the hand-over, else what has just become so.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

fault_points! {
    /// Target: blocks have come, and more have to come before the guest may be handed over.
    PrefetchFilling = "prefetch-filling",
    /// Target: what the guest dirtied at the source was marked absent again; the source was not told.
    PrefetchRound = "prefetch-round",
    /// Target: the source has let the VM go and counts writes for the copy that is to be kept; the target holds the VM.
    CopyLetGo = "copy-let-go",
    /// Target: the copy is kept and nobody holds the VM; the run was not told.
    CopyKept = "copy-kept",
    /// Target: a copy that was kept is a run's again; its disk server was not started.
    CopyTaken = "copy-taken",
    /// ATTEMPT is durable and the stream is open; nothing was sent.
    SourceBegun = "source-begun",
    /// The target knows which hand-over this is.
    SourceHelloSent = "source-hello-sent",
    /// QEMU sends memory.
    SourceMigrating = "source-migrating",
    /// The guest is stopped, the disk is not frozen yet.
    SourcePreSwitchover = "source-pre-switchover",
    /// The disk is frozen, the last dirty list is read.
    SourceFrozen = "source-frozen",
    /// The list was sent.
    SourceListSent = "source-list-sent",
    /// QEMU was told to go on.
    SourceContinued = "source-continued",
    /// QEMU has sent everything and nothing was promised.
    SourceCompleted = "source-completed",
    /// RELINQUISH is durable and was not sent.
    SourceRelinquished = "source-relinquished",
    /// RELINQUISH was sent.
    SourceRelinquishSent = "source-relinquish-sent",
    /// The target's RUN was heard and is not durable here.
    SourceHeardRun = "source-heard-run",
    /// The target's RUN is durable here; the source QEMU still lives.
    SourceLearnedRun = "source-learned-run",
    /// The source QEMU is gone.
    SourceQuit = "source-quit",
    /// The target's NACK was heard and is not durable here.
    SourceHeardNack = "source-heard-nack",
    /// The NACK and the new epoch are durable; the guest is still stopped.
    SourceLearnedNack = "source-learned-nack",
    /// The disk belongs to the new epoch; the guest is still stopped.
    SourceGranted = "source-granted",
    /// ATTEMPT is durable at the target; QEMU was not started.
    TargetBegun = "target-begun",
    /// QEMU waits for the state.
    TargetPrepared = "target-prepared",
    /// The first bytes of the state went into QEMU.
    TargetLoading = "target-loading",
    /// The last dirty list was applied.
    TargetListApplied = "target-list-applied",
    /// RELINQUISH is here and fits.
    TargetRelinquishHere = "target-relinquish-here",
    /// QEMU has loaded everything; the disk is not granted.
    TargetLoaded = "target-loaded",
    /// The disk is granted; nothing is decided.
    TargetGranted = "target-granted",
    /// RUN is durable; the guest is still stopped.
    TargetRun = "target-run",
    /// The guest runs; the source was not told.
    TargetContinued = "target-continued",
    /// The source was told.
    TargetAnswered = "target-answered",
    /// Target: its own server answers the guest's name with its address here; the run was not told.
    NameRedirected = "name-redirected",
    /// Target: the guest runs here, blocks of its disk are absent, and nothing has asked for the rest of them.
    SettleFilling = "settle-filling",
    /// Target: every block is here and was compared; the disk is still attached to the source.
    SettleProven = "settle-proven",
    /// Target: the disk needs no source any more; the source was not told.
    SettleComplete = "settle-complete",
    /// Source: its disk is put aside; the target was not told.
    SourceReleased = "source-released",
    /// NACK is about to be decided.
    TargetRefusing = "target-refusing",
    /// NACK is durable; QEMU still lives and the source was not told.
    TargetNack = "target-nack",
}

impl FaultPoint {
    /// Whether it lies within the hand-over.
    #[must_use]
    pub const fn in_hand_over(self) -> bool {
        !matches!(
            self,
            Self::PrefetchFilling
                | Self::PrefetchRound
                | Self::CopyLetGo
                | Self::CopyKept
                | Self::CopyTaken
                | Self::NameRedirected
                | Self::SettleFilling
                | Self::SettleProven
                | Self::SettleComplete
                | Self::SourceReleased
        )
    }

    /// Whether a move that succeeds never comes past it.
    #[must_use]
    pub const fn on_refusal_only(self) -> bool {
        matches!(
            self,
            Self::SourceHeardNack
                | Self::SourceLearnedNack
                | Self::SourceGranted
                | Self::TargetRefusing
                | Self::TargetNack
        )
    }
}

/// Where a test wants to be told of the points reached.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    control: Option<Arc<PathBuf>>,
}

impl Faults {
    /// Every point is free.
    #[must_use]
    pub const fn none() -> Self {
        Self { control: None }
    }

    /// Every point is reported to the socket at `path`, and held until that connection ends.
    #[must_use]
    pub fn controlled(path: &Path) -> Self {
        Self { control: Some(Arc::new(path.to_owned())) }
    }

    /// Says that a point was reached. Returns at once if nobody listens.
    pub async fn reach(&self, point: FaultPoint) {
        let Some(path) = &self.control else { return };
        if timeout(HELD_MAX, hold(path, point)).await.is_err() {
            tracing::warn!(point = point.name(), "held too long, going on");
        }
    }
}

async fn hold(path: &Path, point: FaultPoint) {
    let Ok(mut stream) = UnixStream::connect(path).await else { return };
    let told = stream.write_all(format!("{}\n", point.name()).as_bytes()).await;
    if told.is_ok() {
        // The end of the connection is the answer, whether orderly or not.
        let _ = stream.read(&mut [0]).await;
    }
}
