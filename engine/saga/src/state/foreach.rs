//! Foreach steps: their items, how many run at once, and what one item's failure means for the others.

use std::sync::Arc;

use longhaul_plan::{Foreach, OnItemFailure, item_keys};
use serde_json::Value;

use super::{FrameEnd, FrameId, Item, Mode, NodeId, Saga, State, Stuck};
use crate::intent::{Expand, ItemKey};
use crate::{Failure, Intent, Work};

impl Saga {
    pub(super) fn begin_items(&mut self, id: NodeId) {
        let step = Arc::clone(&self.node(id).step);
        let longhaul_plan::Body::Foreach(foreach) = &step.body else { return };
        match self.items_of(id, foreach) {
            Ok(items) => self.expand(id, foreach, items),
            Err(why) => self.refuse(id, Failure::new("precondition", format!("foreach: {why}"))),
        }
    }

    pub(super) fn items_of(&self, id: NodeId, foreach: &Foreach) -> Result<Vec<ItemKey>, String> {
        let list = foreach.over.evaluate(&self.scope_of(id)).map_err(|error| error.to_string())?;
        let Value::Array(values) = list else { return Err("it does not evaluate to a list".to_owned()) };
        let keys: Vec<String> = item_keys(&values)?.into_iter().map(str::to_owned).collect();
        Ok(keys.into_iter().zip(values).map(|(key, value)| ItemKey { key, value }).collect())
    }

    fn expand(&mut self, id: NodeId, foreach: &Foreach, items: Vec<ItemKey>) {
        let step = self.node(id).path.clone();
        self.decide(Intent::Expand(Expand { step, items: items.clone() }));
        for ItemKey { key, value } in items {
            let item = Item { owner: id, key: Some(key), value };
            let frame =
                self.add_frame(&foreach.graph, Some(item), self.frame(self.node(id).frame).incarnation);
            let node = self.node_mut(id);
            node.items.push(frame);
            node.crowd.add(frame, Mode::Queued);
        }
        self.node_mut(id).state = State::Items(Work::Forward);
        self.settle_items(id);
    }

    /// Runs the items that were undone or never ran once more, under new keys: an operator says that they will go now.
    pub(super) fn run_items_again(&mut self, id: NodeId) {
        let step = Arc::clone(&self.node(id).step);
        let longhaul_plan::Body::Foreach(foreach) = &step.body else { return };
        for place in 0..self.node(id).items.len() {
            let before = self.frame(self.node(id).items[place]);
            let (mode, item) = (before.mode(), before.item.clone());
            if matches!(mode, Mode::Ended(FrameEnd::Unwound | FrameEnd::NeverRan)) {
                let incarnation = self.next_round(self.node(id).items[place]);
                let frame = self.add_frame(&foreach.graph, item, incarnation);
                let node = self.node_mut(id);
                let replaced = std::mem::replace(&mut node.items[place], frame);
                node.crowd.remove(replaced, mode);
                node.crowd.add(frame, Mode::Queued);
            }
        }
    }

    /// Looks at the items after one of them has changed.
    pub(super) fn settle_items(&mut self, id: NodeId) {
        let Some((policy, max)) = self.node(id).foreach().map(|f| (f.on_item_failure, f.max_parallel)) else {
            return;
        };
        let State::Items(work) = self.node(id).state else { return };
        if work == Work::Forward && !self.is_left(self.node(id).frame) {
            if policy == OnItemFailure::Fail && self.node(id).crowd.has_failed() {
                self.wind_items(id);
            }
            self.start_queued(id, max);
        }
        if self.node(id).crowd.has_ended() {
            self.end_items(id, work, policy);
        }
    }

    /// Turns every item round that may still turn, and starts no further one.
    pub(super) fn wind_items(&mut self, id: NodeId) {
        for item in self.node(id).items.clone() {
            match self.frame(item).mode() {
                Mode::Queued => self.put_mode(item, Mode::Ended(FrameEnd::NeverRan)),
                Mode::Forward => {
                    self.frame_mut(item).wind = true;
                    self.touch(item);
                }
                Mode::Draining | Mode::Unwinding | Mode::Rewinding | Mode::Ended(_) => {}
            }
        }
    }

    fn start_queued(&mut self, id: NodeId, max_parallel: u32) {
        for item in self.node(id).crowd.next(max_parallel) {
            self.put_mode(item, Mode::Forward);
            self.touch(item);
        }
    }

    /// Every item has ended.
    fn end_items(&mut self, id: NodeId, work: Work, policy: OnItemFailure) {
        if self.is_left(self.node(id).frame) {
            let state = State::Failed(Failure::new("cancelled", "left as it is"));
            self.node_mut(id).state = state;
            let frame = self.node(id).frame;
            return self.touch(frame);
        }
        let state = self.items_state(id, work, policy);
        // A foreach step that failed is not undone as a whole later on: items that had succeeded are undone now.
        let is_undone = !self.frame(self.node(id).frame).block.is_last();
        if matches!(state, State::Failed(_)) && is_undone && self.undo_finished(id) {
            return;
        }
        let is_done = matches!(state, State::Done);
        self.node_mut(id).state = state;
        if is_done {
            self.hold_after(id);
        }
        let frame = self.node(id).frame;
        self.touch(frame);
    }

    fn items_state(&self, id: NodeId, work: Work, policy: OnItemFailure) -> State {
        let ends: Vec<_> = self.node(id).items.iter().map(|item| self.frame(*item).mode()).collect();
        if ends.iter().any(|mode| matches!(mode, Mode::Ended(FrameEnd::Stuck { .. }))) {
            let failure = Failure::new("precondition", "an item needs an operator");
            return State::Stuck(Stuck { failure, work, effect: None });
        }
        if work == Work::Undo {
            return State::Undone;
        }
        let went = |mode: &&Mode| matches!(mode, Mode::Ended(FrameEnd::Succeeded | FrameEnd::Partial));
        let (went, total) = (ends.iter().filter(went).count(), ends.len());
        let good = match policy {
            OnItemFailure::Fail => ends.iter().all(|mode| *mode == Mode::Ended(FrameEnd::Succeeded)),
            OnItemFailure::Continue => went > 0 || total == 0,
        };
        if good {
            return State::Done;
        }
        let failed = total - went;
        State::Failed(Failure::new("permanent", format!("{failed} of {total} items did not succeed")))
    }

    /// Turns finished items round that may still turn; false if there is none.
    fn undo_finished(&mut self, id: NodeId) -> bool {
        let items = self.undoable_items(id);
        for item in &items {
            self.put_mode(*item, Mode::Unwinding);
            self.touch(*item);
        }
        !items.is_empty()
    }

    pub(super) fn undoable_items(&self, id: NodeId) -> Vec<FrameId> {
        self.node(id).items.iter().copied().filter(|item| self.is_undoable(*item)).collect()
    }

    fn is_undoable(&self, item: FrameId) -> bool {
        self.frame(item).mode() == Mode::Ended(FrameEnd::Succeeded) && !self.is_past(item)
    }
}
