//! How the steps stand, folded from the records alone: what a saga says of itself is not asked.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::ids::StepPath;
use longhaul_plan::OnItemFailure;
use longhaul_saga::intent::Because;
use longhaul_saga::{Answer, Entry, Event, Intent, Work};

use crate::Layout;
use crate::layout::{Kind, Node};

/// How an action's step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Its effect was asked for, and may be there.
    UnderWay,
    Done,
    /// Its own `if` is not true.
    Skipped,
    /// Nobody answered it, or one that it needs, in time.
    PassedOver,
    /// A part of it is there, and nobody goes on with it.
    Half,
    /// It left nothing behind, or was never started.
    Failed,
    Undoing,
    Undone,
}

pub(super) struct Steps<'a> {
    pub(super) layout: &'a Layout,
    stands: BTreeMap<String, Stand>,
    items: BTreeMap<String, Vec<String>>,
    /// Steps whose workflows have begun.
    entered: BTreeSet<String>,
    /// Pivots that have happened, or may have.
    pub(super) passed: Vec<StepPath>,
    /// An operator has had steps done again: those are undone behind a pivot as well. Until the run is over.
    pub(super) is_replanned: bool,
}

impl<'a> Steps<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            stands: BTreeMap::new(),
            items: BTreeMap::new(),
            entered: BTreeSet::new(),
            passed: Vec::new(),
            is_replanned: false,
        }
    }

    pub(super) fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Event(event) => self.event(event),
            Entry::Intent(intent) => self.intent(intent),
        }
    }

    fn intent(&mut self, intent: &Intent) {
        match intent {
            Intent::Start(start) if start.work == Work::Forward => {
                self.set(&start.step, Stand::UnderWay);
                let pivot = self.layout.place(start.step.as_str()).is_some_and(|place| place.node.is_pivot());
                if pivot && !self.passed.contains(&start.step) {
                    self.passed.push(start.step.clone());
                }
            }
            Intent::Start(start) => self.set(&start.step, Stand::Undoing),
            Intent::Compensate(undo) => self.set(&undo.step, Stand::Undoing),
            Intent::Refuse(refuse) if refuse.work == Work::Forward => self.set(&refuse.step, Stand::Failed),
            Intent::Expand(expand) => {
                let keys = expand.items.iter().map(|item| item.key.clone()).collect();
                self.items.insert(expand.step.as_str().to_owned(), keys);
            }
            Intent::Enter(enter) => {
                self.entered.insert(enter.step.as_str().to_owned());
            }
            Intent::Skip(skip) => match skip.because {
                Because::Condition(_) | Because::Late => self.set(&skip.step, Stand::Skipped),
                Because::Need(_) | Because::Lapsed => self.set(&skip.step, Stand::PassedOver),
            },
            Intent::Pause(pause) => self.set(&pause.step, Stand::UnderWay),
            // What a policy wants asked about a step leaves it as it stands.
            Intent::Ask(ask) if !self.is_question(&ask.step) => {}
            Intent::Ask(ask) => self.set(&ask.step, Stand::UnderWay),
            Intent::Answered(answered) => self.set(&answered.step, Stand::Done),
            Intent::End(end) => {
                // One that stops over an undo goes on with it.
                self.is_replanned &= !end.status.is_final();
                self.forget_last_blocks();
            }
            Intent::Refuse(_)
            | Intent::Queue(_)
            | Intent::Share(_)
            | Intent::Cancel(_)
            | Intent::GiveUp(_) => {}
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Done(done) => self.ended(&done.step, done.work, true),
            Event::Failed(failed) => self.ended(&failed.step, failed.work, false),
            Event::Undone(undone) => self.set(&undone.step, Stand::Undone),
            Event::Probed(probed) => match &probed.answer {
                Answer::Done(_) => self.ended(&probed.step, probed.work, true),
                Answer::Absent => self.ended(&probed.step, probed.work, false),
                // If it is taken up, that stands in the next record.
                Answer::Partial if probed.work == Work::Forward => self.set(&probed.step, Stand::Half),
                Answer::Partial | Answer::CannotTell(_) => {}
            },
            Event::Replanned(_) => self.is_replanned = true,
            Event::RunCreated(_)
            | Event::RunResumed(_)
            | Event::Interrupted(_)
            | Event::CancelRequested(_)
            | Event::RunPaused(_)
            | Event::RunUnpaused(_)
            | Event::HandleGiven(_)
            | Event::Unknown(_)
            | Event::Voted(_)
            | Event::Signalled(_)
            | Event::Decided(_)
            | Event::Observed(_)
            | Event::Observation(_) => {}
            Event::TimerFired(fired) => {
                let place = self.layout.place(fired.step.as_str());
                if place.is_some_and(|place| matches!(place.node.kind, Kind::Wait)) {
                    self.set(&fired.step, Stand::Done);
                }
            }
        }
    }

    /// They run anew when the run ends once more.
    fn forget_last_blocks(&mut self) {
        let layout = self.layout;
        let stays = |path: &String| layout.place(path).is_some_and(|place| !place.is_last);
        self.stands.retain(|path, _| stays(path));
        self.items.retain(|path, _| stays(path));
        self.entered.retain(stays);
    }

    fn is_question(&self, step: &StepPath) -> bool {
        let place = self.layout.place(step.as_str());
        place.is_some_and(|place| matches!(place.node.kind, Kind::Question))
    }

    fn ended(&mut self, step: &StepPath, work: Work, well: bool) {
        match (work, well) {
            (Work::Forward, true) => self.set(step, Stand::Done),
            (Work::Forward, false) => {
                self.set(step, Stand::Failed);
                self.passed.retain(|pivot| pivot != step);
            }
            (Work::Undo, true) => self.set(step, Stand::Undone),
            (Work::Undo, false) => {}
        }
    }

    fn set(&mut self, step: &StepPath, stand: Stand) {
        self.stands.insert(step.as_str().to_owned(), stand);
    }

    pub(super) fn stand(&self, path: &str) -> Option<Stand> {
        self.stands.get(path).copied()
    }

    /// Whether a step that needs this one may start.
    pub(super) fn is_met(&self, path: &str, node: &Node) -> bool {
        match &node.kind {
            _ if self.stand(path) == Some(Stand::Skipped) => true,
            Kind::Action { .. } | Kind::Wait | Kind::Question => self.stand(path) == Some(Stand::Done),
            Kind::Workflow { steps, .. } => {
                self.entered.contains(path) && self.have_come_through(&format!("{path}/"), steps)
            }
            Kind::Items { steps, on_item_failure } => self.items.get(path).is_some_and(|keys| {
                keys.iter().all(|key| self.is_settled(path, key, steps, *on_item_failure))
            }),
        }
    }

    /// Whether an item has come to an end that lets the others go on.
    fn is_settled(&self, path: &str, key: &str, steps: &[Node], on_item_failure: OnItemFailure) -> bool {
        let below = |node: &Node| format!("{path}/{key}/{}", node.id);
        if self.have_come_through(&format!("{path}/{key}/"), steps) {
            return true;
        }
        on_item_failure == OnItemFailure::Continue && !steps.iter().any(|node| self.moves(&below(node), node))
    }

    /// Whether the steps of a graph have all come to an end that is no failure of it: done, passed over, closed with it, or
    /// failed where some step asks how others ended. Where one was passed over because what it needs failed, that one speaks.
    fn have_come_through(&self, prefix: &str, steps: &[Node]) -> bool {
        let asked = steps.iter().any(|node| node.asks);
        steps.iter().all(|node| {
            let path = format!("{prefix}{}", node.id);
            self.is_met(&path, node)
                || self.stand(&path) == Some(Stand::PassedOver)
                || (node.is_scope() && self.stand(&path) == Some(Stand::Undone))
                || (asked && !self.moves(&path, node))
        })
    }

    /// Whether something of a step is under way.
    pub(super) fn moves(&self, path: &str, node: &Node) -> bool {
        match &node.kind {
            Kind::Action { .. } => matches!(self.stand(path), Some(Stand::UnderWay | Stand::Undoing)),
            Kind::Wait | Kind::Question => false,
            Kind::Workflow { steps, .. } => {
                steps.iter().any(|below| self.moves(&format!("{path}/{}", below.id), below))
            }
            Kind::Items { steps, .. } => self.items.get(path).is_some_and(|keys| {
                let of_key = |key: &String| {
                    steps.iter().any(|below| self.moves(&format!("{path}/{key}/{}", below.id), below))
                };
                keys.iter().any(of_key)
            }),
        }
    }

    /// The first step at or below this one that is done, or may be, and that an undo could take away.
    pub(super) fn stands_there(&self, path: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Action { effects: longhaul_model::action::Effects::Reversible, .. } => {
                let there = matches!(
                    self.stand(path),
                    Some(Stand::Done | Stand::Half | Stand::UnderWay | Stand::Undoing)
                );
                there.then(|| path.to_owned())
            }
            Kind::Action { .. } | Kind::Wait | Kind::Question => None,
            Kind::Workflow { steps, .. } => {
                steps.iter().find_map(|below| self.stands_there(&format!("{path}/{}", below.id), below))
            }
            Kind::Items { steps, .. } => self.items.get(path)?.iter().find_map(|key| {
                steps.iter().find_map(|below| self.stands_there(&format!("{path}/{key}/{}", below.id), below))
            }),
        }
    }
}
