//! Beginning the undo of a node.

use longhaul_expr::Scope;
use longhaul_model::action::Effects;
use longhaul_plan::Compensation;

use super::{Effect, How, NodeId, Saga, State, Stuck};
use crate::breaks::{Break, is_on};
use crate::intent::Refuse;
use crate::{Failure, Intent, Work};

/// What an unwind does about a node that is done.
pub(super) enum Undo {
    /// There is nothing to take away.
    Nothing,
    /// Nothing can take it away.
    Impossible,
    /// The action's own `compensate`.
    Own,
    /// What the workflow says.
    Written(Box<Compensation>),
}

impl Saga {
    pub(super) fn undo_of(&self, id: NodeId) -> Undo {
        let Some(action) = self.node(id).action() else { return Undo::Nothing };
        match (&action.compensate, action.effects) {
            _ if is_on(Break::ForgetRetried) && self.node(id).attempt > 1 => Undo::Nothing,
            (Some(written), _) => Undo::Written(Box::new(written.clone())),
            (None, Effects::None) => Undo::Nothing,
            (None, Effects::Reversible) => Undo::Own,
            (None, Effects::Irreversible) => Undo::Impossible,
        }
    }

    pub(super) fn undo_own(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let effect = Effect::new(Work::Undo, How::Own, node.incarnation, node.attempt);
        node.state = State::Undoing(Box::new(effect));
        self.launch(id);
    }

    /// Begins the undo that the workflow's author wrote, if what it requires holds.
    pub(super) fn undo_written(&mut self, id: NodeId, written: &Compensation) {
        let scope = self.undo_scope_of(id);
        if let Some(site) = written.requires.iter().find_map(|condition| condition.unseen(&scope)) {
            return self.look(id, Work::Undo, site);
        }
        self.look_away(id);
        match self.prepare(id, written, &scope) {
            Ok(effect) => {
                self.node_mut(id).state = State::Undoing(Box::new(effect));
                self.launch(id);
            }
            Err(failure) => {
                let node = self.node_mut(id);
                node.state = State::Stuck(Stuck { failure: failure.clone(), work: Work::Undo, effect: None });
                let step = node.path.clone();
                self.decide(Intent::Refuse(Refuse { step, work: Work::Undo, failure }));
            }
        }
    }

    fn prepare(&self, id: NodeId, written: &Compensation, scope: &Scope) -> Result<Effect, Failure> {
        for condition in &written.requires {
            let held = condition.evaluate(scope).map_err(|error| unmet(&error.to_string()))?;
            if held != serde_json::Value::Bool(true) {
                return Err(unmet(&format!("`{condition}` does not hold")));
            }
        }
        let params = written.with.evaluate(scope).map_err(|error| unmet(&error.to_string()))?;
        let how = How::Start { uses: written.uses.clone(), params };
        Ok(Effect::new(Work::Undo, how, self.node(id).incarnation + 1, 1))
    }
}

fn unmet(why: &str) -> Failure {
    Failure::new("precondition", format!("its undo cannot begin: {why}"))
}
