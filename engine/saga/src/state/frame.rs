//! A graph instance: the root, an item of a foreach, a workflow that runs as a step, `on_failure` or `always`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::node::NodeId;
use super::tally::Tally;

/// Place of a frame in the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FrameId(pub(super) usize);

/// What a frame belongs to: an item of a foreach step, or a step that runs another workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) owner: NodeId,
    /// None of a workflow.
    pub(super) key: Option<String>,
    pub(super) value: Value,
}

impl Item {
    pub(super) fn of_workflow(owner: NodeId) -> Self {
        Self { owner, key: None, value: Value::Null }
    }
}

/// A graph instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Frame {
    /// None for the root and for the run's own last blocks.
    pub(super) item: Option<Item>,
    /// In topological order.
    pub(super) nodes: Vec<NodeId>,
    /// Those of them that may hold a pivot, themselves or inside them.
    #[serde(skip)]
    pub(super) carriers: Vec<NodeId>,
    /// What is counted of them.
    #[serde(skip)]
    pub(super) tally: Tally,
    /// It has to be looked at again.
    #[serde(skip)]
    pub(super) is_touched: bool,
    mode: Mode,
    /// Something around it failed: it unwinds as soon as it may.
    pub(super) wind: bool,
    /// Which part of the workflow it belongs to; an item's is that of its foreach step.
    pub(super) block: Block,
    /// Third part of its effects' keys; raised when a graph runs again under the same paths.
    pub(super) incarnation: u32,
}

impl Frame {
    /// A graph instance without nodes that waits for its turn.
    pub(super) fn new(item: Option<Item>, block: Block, incarnation: u32) -> Self {
        Self {
            item,
            nodes: Vec::new(),
            carriers: Vec::new(),
            tally: Tally::default(),
            is_touched: false,
            mode: Mode::Queued,
            wind: false,
            block,
            incarnation,
        }
    }

    /// What it is doing.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Puts it into a mode and gives the one before. [`put_mode`](super::Saga::put_mode) counts it as well.
    pub(super) fn replace_mode(&mut self, mode: Mode) -> Mode {
        std::mem::replace(&mut self.mode, mode)
    }
}

/// A part of a workflow that holds steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Block {
    Steps,
    /// Beside the steps: the wait for the workflow's deadline.
    Deadline,
    OnFailure,
    Always,
    /// What people are asked before the steps begin.
    Admission,
    /// What people are asked before something is undone.
    Undoing,
}

impl Block {
    /// Whether it never unwinds: what it does is not a part of what the run is for.
    pub(super) fn is_apart(self) -> bool {
        self.is_last() || self.is_of_policies() || self == Self::Deadline
    }

    /// Whether it holds what policies want people asked about the run.
    pub(super) fn is_of_policies(self) -> bool {
        matches!(self, Self::Admission | Self::Undoing)
    }

    /// Whether it runs when all is decided.
    pub(super) fn is_last(self) -> bool {
        matches!(self, Self::OnFailure | Self::Always)
    }
}

/// What a frame is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mode {
    /// It waits for its turn.
    Queued,
    Forward,
    /// It will unwind once nothing in it is under way.
    Draining,
    Unwinding,
    /// What in it is to run again is undone; then it goes forward with another plan.
    Rewinding,
    Ended(FrameEnd),
}

/// How a frame ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FrameEnd {
    Succeeded,
    /// Everything it had done was undone.
    Unwound,
    /// Of a last block: something in it did not succeed, and nothing there is undone.
    Failed,
    /// What could be undone was, the rest stays.
    Partial,
    NeverRan,
    /// The run was given up, and it stays as it is.
    Left,
    /// Only a person can say how it goes on; a resume puts it back into the mode it stopped in.
    Stuck {
        unwinding: bool,
    },
}

impl Mode {
    /// The word an expression sees as an item's status.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "waiting",
            Self::Forward => "running",
            Self::Draining | Self::Unwinding | Self::Rewinding => "unwinding",
            Self::Ended(FrameEnd::Succeeded) => "succeeded",
            Self::Ended(FrameEnd::Unwound | FrameEnd::Failed) => "failed",
            Self::Ended(FrameEnd::Partial) => "partial",
            Self::Ended(FrameEnd::NeverRan) => "not_started",
            Self::Ended(FrameEnd::Left) => "left",
            Self::Ended(FrameEnd::Stuck { .. }) => "needs_operator",
        }
    }

    pub(super) fn is_ended(self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Whether it runs now, in either direction.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Self::Forward | Self::Draining | Self::Unwinding | Self::Rewinding)
    }

    pub(super) fn is_winding(self) -> bool {
        matches!(self, Self::Draining | Self::Unwinding)
    }
}
