//! Looking at sites before a decision that depends on whether they are up: a step's `if`, or what its undo requires.
//!
//! ```text
//!   its turn has come --an expression asks for a site--> looking --observed--> the expression once more, with the answer
//! ```
//!
//! What was seen holds for that one decision: the next one looks again.

use longhaul_model::ids::StepPath;
use longhaul_model::site::Sight;

use super::{NodeId, Saga};
use crate::event::Observed;
use crate::{Command, Illegal, Observe, Work};

impl Saga {
    /// Has a site looked at for a step; its graph is gone on with when the answer is there.
    pub(super) fn look(&mut self, id: NodeId, work: Work, site: String) {
        let node = self.node_mut(id);
        let observe = Observe { step: node.path.clone(), work, site };
        node.looking = Some(observe.clone());
        self.outbox.push(Command::Observe(observe));
    }

    /// A new controller looks again for what it has no answer to.
    pub(super) fn look_again(&mut self, id: NodeId) {
        if let Some(observe) = self.node(id).looking.clone() {
            self.outbox.push(Command::Observe(observe));
        }
    }

    /// Whether a step still wants to know this.
    #[must_use]
    pub fn looks(&self, step: &StepPath, work: Work, site: &str) -> bool {
        let looking = self.index.get(step).and_then(|id| self.node(*id).looking.as_ref());
        looking.is_some_and(|looking| looking.work == work && looking.site == site)
    }

    pub(crate) fn observed(&mut self, observed: &Observed) -> Result<(), Illegal> {
        let Observed { step, work, site, seen } = observed;
        let id = self.find("observed", step)?;
        if !self.looks(step, *work, site) {
            let (step, state) = (step.clone(), self.node(id).state.as_str());
            return Err(Illegal::Step { event: "observed", step, state, wanted: "looking at that site" });
        }
        self.saw(id, site.clone(), seen.clone());
        Ok(())
    }

    fn saw(&mut self, id: NodeId, site: String, seen: Sight) {
        let node = self.node_mut(id);
        node.looking = None;
        node.sights.insert(site, seen);
        let frame = node.frame;
        self.touch(frame);
    }

    /// Forgets what was seen for a decision that is made, or is not wanted any more.
    pub(super) fn look_away(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.looking = None;
        node.sights.clear();
    }
}
