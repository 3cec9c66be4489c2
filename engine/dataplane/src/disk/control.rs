//! What the agent and observers ask a disk server: JSON lines on `control.sock`, one request, one reply.
//!
//! Every request may be repeated: a second call after a lost reply changes nothing more.

use serde::{Deserialize, Serialize};

use crate::nbd::Span;

/// Longest request or reply in bytes: a million extents, ten times what a dirty round may have.
pub(super) const MAX_LINE: usize = 64 << 20;

/// Most extents of a dirty round. Between agents a round is one message of gRPC, which may have 4 MiB; an extent has 22 bytes
/// at most.
pub const ROUND_EXTENTS_MAX: usize = 100_000;

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is the case?
    Status,
    /// Lets writers of this epoch in and shuts lower ones out, durably. Equal: nothing. Lower: refused.
    Grant {
        /// Epoch of the export name `VM@EPOCH`.
        epoch: u64,
    },
    /// Source: starts the dirty map if it is not running, and lets readers in.
    OpenOrigin,
    /// Source: hands out what was dirtied since the previous round.
    DirtyRound {
        /// Number of the last round whose extents the caller has applied; 0 for none. A round that is not
        /// acknowledged this way is handed out again.
        applied: u64,
    },
    /// Source: the attempt failed; everything dirtied since `open_origin` is dirty again. The map goes on.
    AbortRounds,
    /// Source: stops the dirty map and shuts readers out. Refused while frozen.
    CloseOrigin,
    /// Source: no write is accepted from now on, durably; waits for those in work.
    Freeze {
        /// Epoch under which the right to run was given away.
        epoch: u64,
    },
    /// Source: takes a freeze back, because the target refused; the same writers go on.
    Thaw {
        /// The freeze's own, for an attempt that was given up, or a later one. A freeze of this epoch or an earlier one is
        /// refused afterwards, and a delayed thaw cannot undo a newer freeze.
        epoch: u64,
    },
    /// Target: attaches the origin, starts or continues the fill. Absent blocks of another origin are dropped.
    StartFill {
        /// Identity from [`OriginOpened::origin`]: what was fetched under another one is marked absent.
        origin: u64,
    },
    /// Target: how far the fill goes; one that a full or failing disk has stopped goes on. Kept in memory only; a restart
    /// fills everything.
    LimitFill {
        /// Of the allocated bytes, in thousandths; 1000 for all, 0 to pause.
        present_permille: u16,
    },
    /// Target: how many bytes of the disk the fill may ask for in a second, in bits. What the guest waits for is not bounded. Kept in
    /// memory only; a restart goes back to the configured bound.
    LimitRate {
        /// 0 for no bound.
        bits_per_second: u64,
    },
    /// Target: these bytes are out of date, durably. Refused where the guest has written.
    MarkAbsent {
        /// Whole 4 KiB blocks are marked.
        extents: Vec<Span>,
    },
    /// Target: compares with the frozen source, in the background; see [`Status::proof`].
    Verify,
    /// Target: needs the source no more, durably. Refused unless everything is present and verified.
    Finish,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// It is done.
    Done,
    /// It is not.
    Refused(Refusal),
    /// To `status`.
    Status(Box<Status>),
    /// To `open_origin`.
    OriginOpened(OriginOpened),
    /// To `dirty_round`.
    Round(Round),
    /// To `freeze`.
    Frozen(Frozen),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For programs.
    pub kind: RefusalKind,
    /// For people.
    pub message: String,
}

/// Classes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request makes no sense.
    Invalid,
    /// The disk's state forbids it.
    State,
    /// The epoch is too low.
    Epoch,
    /// The disk failed.
    Disk,
}

/// Facts of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginOpened {
    /// Identity of this dirty map; the target keeps what it fetched only under the same one.
    pub origin: u64,
    /// Highest granted epoch.
    pub epoch: u64,
    /// Size of the disk.
    pub disk_bytes: u64,
    /// Bytes that are not holes.
    pub allocated_bytes: u64,
}

/// A dirty round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Its number, to be acknowledged in the next request.
    pub round: u64,
    /// Dirtied extents in ascending order, apart from each other; [`ROUND_EXTENTS_MAX`] at most.
    pub extents: Vec<Span>,
    /// Bytes dirtied that were too many for this round, and are for the next.
    #[serde(default)]
    pub rest_bytes: u64,
}

/// Result of a freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Bytes dirtied and in no round yet; anything but 0 means that the target lacks them.
    pub dirty_bytes: u64,
}

/// What is the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Id of the VM.
    pub vm: String,
    /// Process id of the disk server.
    pub pid: u32,
    /// Size of the disk.
    pub disk_bytes: u64,
    /// Highest granted epoch; 0 for none.
    pub epoch: u64,
    /// Epoch of the freeze, if frozen.
    pub frozen: Option<u64>,
    /// Whether every byte is here and the disk needs no source.
    pub complete: bool,
    /// Who may write now: connections to `disk.sock` that are open.
    pub writers: Vec<Writer>,
    /// Bytes acknowledged to writers since the start of the process.
    pub written_bytes: u64,
    /// Bytes dirtied and in no round yet; `None` without a dirty map.
    pub dirty_bytes: Option<u64>,
    /// Identity of the running dirty map.
    pub origin: Option<u64>,
    /// At a target: the source's dirty map under which what is here was fetched.
    pub fetched_from: Option<u64>,
    /// The fill, at a target.
    pub fill: Fill,
    /// The comparison with the source, at a target.
    pub proof: Proof,
}

/// An open connection that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// Its epoch.
    pub epoch: u64,
    /// Process at the other end.
    pub pid: u32,
    /// Since when, wall clock.
    pub connected_unix_ms: u64,
    /// Bytes it wrote.
    pub bytes_written: u64,
}

/// How far the fill is. Counters start with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Bytes that are not holes at the source; `None` until its allocation map was read.
    pub allocated_bytes: Option<u64>,
    /// Of those, here.
    pub present_bytes: u64,
    /// Bytes of the disk that are not known to be here, holes included.
    pub absent_bytes: u64,
    /// Data bytes that came from the source, repeats included.
    pub fetched_bytes: u64,
    /// Reads of the guest that had to wait for the source.
    pub demand_reads: u64,
    /// Data bytes fetched for them, with their read-ahead.
    pub demand_bytes: u64,
    /// Fetched blocks thrown away because the guest wrote them, or they were marked absent, in the meantime.
    pub superseded: u64,
    /// What the fill may ask for in a second; 0 for no bound.
    #[serde(default)]
    pub bits_per_second_max: u64,
    /// What holds the fill up.
    pub condition: Option<FillCondition>,
}

/// What holds a fill up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "condition", rename_all = "snake_case", deny_unknown_fields)]
pub enum FillCondition {
    /// The file system is full; the fill waits for another `start_fill` or `limit_fill`.
    NoSpace,
    /// The image or map failed otherwise; the fill waits for another `start_fill` or `limit_fill`.
    Disk {
        /// The failure.
        message: String,
    },
    /// The source cannot be reached; it is tried again and again.
    Unreachable {
        /// Since when, wall clock.
        since_unix_ms: u64,
        /// The last failure.
        message: String,
    },
    /// The source's disk server was reached and does not let us read: the dirty map that was attached has ended there. A
    /// server that is merely coming up refuses nothing, it is [`FillCondition::Unreachable`]. It is tried again and again.
    Refused {
        /// Since when the source gives nothing, wall clock.
        since_unix_ms: u64,
        /// The source's words.
        message: String,
    },
}

/// The comparison with the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// How far it is.
    pub state: ProofState,
    /// Leaves compared or superseded so far.
    pub checked: u64,
    /// Leaves of the disk, 64 KiB each.
    pub leaves: u64,
    /// Leaves in which the guest has written, which therefore cannot be compared.
    pub superseded: u64,
    /// Leaves that differ.
    pub bad: u64,
    /// Offset of the first one that differs.
    pub first_bad: Option<u64>,
    /// BLAKE3 Merkle root of the source's leaves, hex; once all are read.
    pub root: Option<String>,
}

/// How far a proof is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofState {
    /// Not asked for.
    #[default]
    None,
    /// At work.
    Running,
    /// Every leaf is equal or superseded.
    Good,
    /// Some leaves differ.
    Bad,
    /// It could not be done; ask again.
    Failed {
        /// Why.
        message: String,
    },
}
