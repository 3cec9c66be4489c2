//! What the steps have of the workflow's resources is never more than there is to give.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use longhaul_saga::{Answer, Entry, Event, Intent, Work};

use super::{Invariant, Shown};
use crate::Layout;

/// What steps have.
pub(super) struct Budgets<'a> {
    layout: &'a Layout,
    held: BTreeMap<StepPath, BTreeMap<String, u64>>,
}

impl<'a> Budgets<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, held: BTreeMap::new() }
    }

    /// Takes a record in; what is wrong after it.
    pub(super) fn take(&mut self, entry: &Entry) -> Vec<Shown> {
        match entry {
            Entry::Intent(Intent::Start(start)) if start.work == Work::Forward => {
                self.has(&start.step, &start.claims)
            }
            Entry::Intent(Intent::Share(share)) => self.has(&share.step, &share.claims),
            Entry::Intent(Intent::Compensate(undo)) => self.ended(&undo.step, true),
            Entry::Intent(Intent::Start(undo)) => self.ended(&undo.step, true),
            Entry::Event(Event::Done(done)) => self.ended(&done.step, done.work == Work::Forward),
            Entry::Event(Event::Failed(failed)) if failed.work == Work::Forward => {
                self.ended(&failed.step, false)
            }
            Entry::Event(Event::Undone(undone)) => self.ended(&undone.step, false),
            Entry::Event(Event::Probed(probed)) => match (&probed.answer, probed.work) {
                (Answer::Done(_), work) => self.ended(&probed.step, work == Work::Forward),
                // What is taken up again has its share in the next record.
                (Answer::Absent | Answer::Partial, Work::Forward) => self.ended(&probed.step, false),
                (Answer::Absent | Answer::Partial | Answer::CannotTell(_), _) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn has(&mut self, step: &StepPath, claims: &BTreeMap<String, u64>) -> Vec<Shown> {
        self.held.insert(step.clone(), claims.clone());
        let mut shown = Vec::new();
        for budget in self.layout.budgets() {
            let of = |claims: &BTreeMap<String, u64>| claims.get(&budget.name).copied().unwrap_or(0);
            let taken: u64 = self.held.values().map(of).sum();
            if of(claims) > 0 && taken > budget.to_give {
                let write = |amount| budget.kind.write(amount);
                let holders = self.held.iter().filter(|(_, claims)| of(claims) > 0);
                let holders: Vec<_> =
                    holders.map(|(step, claims)| format!("{step} {}", write(of(claims)))).collect();
                let (name, to_give) = (&budget.name, write(budget.to_give));
                let text = format!(
                    "{} of {name} are taken, and {to_give} can be: {}",
                    write(taken),
                    holders.join(", ")
                );
                shown.push((Invariant::Budgets, step.clone(), text));
            }
        }
        shown
    }

    /// A step's effect is there, or is not: what it keeps stays taken if it is.
    fn ended(&mut self, step: &StepPath, is_there: bool) -> Vec<Shown> {
        let kept = self.layout.place(step.as_str()).map(|place| place.node.kept());
        match (self.held.get_mut(step), kept) {
            (Some(held), Some(kept)) if is_there => held.retain(|name, _| kept.contains(name)),
            _ => drop(self.held.remove(step)),
        }
        Vec::new()
    }
}
