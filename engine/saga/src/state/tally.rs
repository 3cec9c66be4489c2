//! What is counted of nodes and frames as they change, so that nobody looks at all of them: a step of a run with ten
//! thousand steps costs what one of a hundred does.
//!
//! ```text
//!   node_mut(id) --notes--> changed --refresh--> Tally of the frame: under way, ready, failed, standing
//!   put_mode(id) ------------------------------> Crowd of the foreach step: queued, active, failed
//! ```
//!
//! It must never decide anything: only what follows from one node alone is counted, and whatever depends on others is looked
//! at where it is asked, among the few that come into question.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::breaks::{Break, is_on};

use super::{FrameEnd, FrameId, Mode, Node, NodeId, Saga, State};

/// What is counted of the nodes of a frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    /// So many have something under way.
    active: usize,
    /// So many are objected to.
    objected: usize,
    /// They wait, and each of their needs has come to an end, whether or not it meets the need.
    ready: BTreeSet<NodeId>,
    /// They failed, whole or in part.
    failed: BTreeSet<NodeId>,
    /// An unwind has to look at them.
    standing: BTreeSet<NodeId>,
}

/// What is counted of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    active: bool,
    objected: bool,
    waiting: bool,
    failed: bool,
    standing: bool,
    /// Whoever needs it certainly has to wait.
    open: bool,
}

/// A node's part in the tally of its frame.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// As it was when it was counted last.
    counted: Counted,
    /// It may have changed since.
    is_changed: bool,
    /// So many of its needs are open.
    open_needs: usize,
    /// The nodes that need it.
    needed_by: Vec<NodeId>,
}

/// What is counted of the items of a foreach step.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd {
    queued: BTreeSet<FrameId>,
    active: usize,
    /// They turn round, or have ended otherwise than well.
    failed: usize,
}

impl Counted {
    /// What is counted of a node that waits for its turn.
    const NEW: Self =
        Self { active: false, objected: false, waiting: true, failed: false, standing: false, open: true };

    fn of(node: &Node) -> Self {
        let is_past = match node.state {
            State::Waiting | State::Skipped(_) | State::Failed(_) | State::Undone | State::Kept => true,
            State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Partial(..)
            | State::Undoing(_)
            | State::Stuck(_) => false,
        };
        let is_held = node.held.is_some() || node.objection.is_some();
        let has_come = match node.state {
            State::Done => !is_held,
            State::Skipped(_) | State::Failed(_) => true,
            State::Working(_) => is_on(Break::BeginBeforeNeeds),
            _ => false,
        };
        Self {
            active: node.is_active(),
            objected: node.objection.is_some(),
            waiting: matches!(node.state, State::Waiting),
            failed: matches!(node.state, State::Failed(_) | State::Partial(..)),
            standing: !is_past || node.looking.is_some(),
            open: !has_come,
        }
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Part {
    /// That of a new node, which waits.
    pub(super) fn new(needs: usize) -> Self {
        Self { counted: Counted::NEW, is_changed: false, open_needs: needs, needed_by: Vec::new() }
    }
}

impl Tally {
    fn count(&mut self, id: NodeId, before: Counted, now: Counted) {
        count(&mut self.active, before.active, now.active);
        count(&mut self.objected, before.objected, now.objected);
        note(&mut self.failed, id, now.failed);
        note(&mut self.standing, id, now.standing);
    }
}

fn count(number: &mut usize, before: bool, now: bool) {
    *number = *number + usize::from(now) - usize::from(before);
}

fn note(set: &mut BTreeSet<NodeId>, id: NodeId, is_in: bool) {
    if is_in {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}

impl Crowd {
    /// An item is there, in this mode.
    pub(super) fn add(&mut self, item: FrameId, mode: Mode) {
        self.count(item, mode, true);
    }

    /// Another item has taken the place of this one.
    pub(super) fn remove(&mut self, item: FrameId, mode: Mode) {
        self.count(item, mode, false);
    }

    fn count(&mut self, item: FrameId, mode: Mode, is_there: bool) {
        if mode == Mode::Queued {
            if is_there {
                self.queued.insert(item)
            } else {
                self.queued.remove(&item)
            };
        }
        count(&mut self.active, !is_there && mode.is_active(), is_there && mode.is_active());
        let failed = match mode {
            Mode::Draining | Mode::Unwinding => true,
            Mode::Ended(end) => end != FrameEnd::Succeeded,
            Mode::Queued | Mode::Forward | Mode::Rewinding => false,
        };
        count(&mut self.failed, !is_there && failed, is_there && failed);
    }

    /// Whether every item has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.queued.is_empty() && self.active == 0
    }

    /// Whether an item turns round, or has ended otherwise than well.
    pub(super) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// The items that may begin when so many may run at once, in their order.
    pub(super) fn next(&self, max_parallel: u32) -> Vec<FrameId> {
        let free = (max_parallel as usize).saturating_sub(self.active);
        self.queued.iter().copied().take(free).collect()
    }
}

impl Saga {
    /// The node of that id, to be changed: it is counted anew before anybody asks.
    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let node = &mut self.nodes[id.0];
        if !std::mem::replace(&mut node.part.is_changed, true) {
            self.changed.push(id);
        }
        node
    }

    /// Puts a frame into a mode.
    pub(super) fn put_mode(&mut self, id: FrameId, mode: Mode) {
        let frame = &mut self.frames[id.0];
        let before = frame.replace_mode(mode);
        let Some(item) = frame.item.as_ref().filter(|item| item.key.is_some()) else { return };
        let crowd = &mut self.nodes[item.owner.0].crowd;
        crowd.remove(id, before);
        crowd.add(id, mode);
    }

    /// A node is there, and waits.
    pub(super) fn count_in(&mut self, id: NodeId) {
        let Node { frame, needs, .. } = &self.nodes[id.0];
        let frame = *frame;
        if needs.is_empty() {
            self.frames[frame.0].tally.ready.insert(id);
        }
        for need in needs.clone() {
            self.nodes[need.0].part.needed_by.push(id);
        }
        self.node_mut(id);
    }

    fn tally(&mut self, frame: FrameId) -> &Tally {
        while let Some(id) = self.changed.pop() {
            self.count_again(id);
        }
        debug_assert_eq!(
            self.counted_from_scratch(frame),
            self.frame(frame).tally,
            "what was counted is wrong"
        );
        &self.frame(frame).tally
    }

    fn count_again(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        let now = Counted::of(node);
        node.part.is_changed = false;
        let before = std::mem::replace(&mut node.part.counted, now);
        let (frame, is_ready) = (node.frame, now.waiting && node.part.open_needs == 0);
        let tally = &mut self.frames[frame.0].tally;
        tally.count(id, before, now);
        note(&mut tally.ready, id, is_ready);
        if before.open == now.open {
            return;
        }
        let needed_by = std::mem::take(&mut self.nodes[id.0].part.needed_by);
        for other in &needed_by {
            let part = &mut self.nodes[other.0].part;
            count(&mut part.open_needs, before.open, now.open);
            let is_ready = part.counted.waiting && part.open_needs == 0;
            note(&mut self.frames[frame.0].tally.ready, *other, is_ready);
        }
        self.nodes[id.0].part.needed_by = needed_by;
    }

    /// The same by looking at every node; holds whenever nothing has changed since the last count.
    fn counted_from_scratch(&self, frame: FrameId) -> Tally {
        let mut tally = Tally::default();
        for id in &self.frame(frame).nodes {
            let node = self.node(*id);
            let now = Counted::of(node);
            tally.count(*id, Counted::NEW, now);
            let is_open = |need: &NodeId| Counted::of(self.node(*need)).open;
            note(&mut tally.ready, *id, now.waiting && !node.needs.iter().any(is_open));
        }
        tally
    }

    /// Whether something in this frame is under way.
    pub(super) fn has_work(&mut self, id: FrameId) -> bool {
        self.tally(id).active > 0
    }

    /// Whether something in this frame is objected to where it cannot turn round: then nothing more begins in it.
    pub(super) fn is_objected(&mut self, id: FrameId) -> bool {
        self.tally(id).objected > 0
    }

    /// What failed in a frame, whole or in part.
    pub(super) fn failed_in(&mut self, id: FrameId) -> Vec<NodeId> {
        self.tally(id).failed.iter().copied().collect()
    }

    /// The first node behind this one that waits and whose needs have all come to an end.
    pub(super) fn next_ready(&mut self, id: FrameId, behind: Option<NodeId>) -> Option<NodeId> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.tally(id).ready.range((from, Bound::Unbounded)).next().copied()
    }

    /// The other way round, which is a mistake.
    fn first_standing(&mut self, id: FrameId, behind: Option<NodeId>) -> Option<NodeId> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.tally(id).standing.range((from, Bound::Unbounded)).next().copied()
    }

    /// The last node before this one that an unwind has to look at.
    pub(super) fn last_standing(&mut self, id: FrameId, before: Option<NodeId>) -> Option<NodeId> {
        if is_on(Break::UndoInOrder) {
            return self.first_standing(id, before);
        }
        let to = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.tally(id).standing.range((Bound::Unbounded, to)).next_back().copied()
    }
}
