//! Steps that wait for what policies say, and for the people whom policies want asked.
//!
//! ```text
//!   its turn has come --> held: asked --allow, warn--------------------------> begins, without another question
//!   it is done ---------> held: asked --require approval--> held: open --yes--> what needs it begins
//!                                '--deny-----------------------'--no--> before: it fails, nothing was started
//!                                                                       after: objected, its graph turns round
//! ```
//!
//! A held step stands where it stood: before its start it waits, after its end it is done, with all that this means for
//! pivots and undo. Where only forward is allowed, an objection stops the run for an operator, and a resume overrules it.
//! The last blocks are not asked about: they tell what has become of a run and clean up.

use std::collections::VecDeque;
use std::sync::Arc;

use longhaul_model::policy::{Approval, Hook, RunView, StepView, Verdict, View};
use longhaul_plan::{ANY_ITEM, Asking, Body, Holder, Policy, effects};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::child::inputs_of;
use super::question::Open;
use super::{FrameId, NodeId, Saga, State};
use crate::intent::{Ask, Asked};
use crate::{Command, Decide, Failure, Illegal, Intent};

/// A step that goes on when policies, and the people they want asked, say so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held {
    hook: Hook,
    /// What else people are to be asked.
    then: VecDeque<Approval>,
    /// What they are asked now; none while the policies are asked.
    pub(super) open: Option<Open>,
}

impl Held {
    /// Whether the policies have not answered yet.
    pub(super) fn asks_policies(&self) -> bool {
        self.open.is_none()
    }
}

impl Saga {
    /// Asks the policies before a step begins, unless they have let it begin; false if nobody has to be asked.
    pub(super) fn is_held_before(&mut self, id: NodeId) -> bool {
        if std::mem::take(&mut self.node_mut(id).is_admitted) || self.node(id).is_half_done {
            return false;
        }
        self.node(id).items.is_empty() && self.hold(id, Hook::BeforeStep)
    }

    /// Asks the policies about a step that is done.
    pub(super) fn hold_after(&mut self, id: NodeId) {
        let frame = self.node(id).frame;
        if self.frame(frame).mode() == super::Mode::Forward && !self.is_left(frame) {
            self.hold(id, Hook::AfterStep);
        }
    }

    fn hold(&mut self, id: NodeId, hook: Hook) -> bool {
        let asking = self.askings(id, hook);
        if asking.is_empty() {
            return false;
        }
        self.node_mut(id).held = Some(Box::new(Held { hook, then: VecDeque::new(), open: None }));
        self.ask_policies(Some(id), hook, asking);
        true
    }

    pub(super) fn ask_policies(&mut self, id: Option<NodeId>, hook: Hook, asking: Vec<Asking>) {
        let step = id.map(|id| self.node(id).path.clone());
        self.outbox.push(Command::Decide(Decide { hook, step, asking }));
    }

    /// A new controller asks again what was not answered.
    pub(super) fn hold_again(&mut self, id: NodeId) {
        let Some(held) = self.node(id).held.as_ref().filter(|held| held.asks_policies()) else { return };
        let hook = held.hook;
        let asking = self.askings(id, hook);
        self.ask_policies(Some(id), hook, asking);
    }

    /// The policies have answered about a step.
    pub(crate) fn step_decided(
        &mut self,
        id: NodeId,
        hook: Hook,
        verdicts: &[Verdict],
    ) -> Result<(), Illegal> {
        let node = self.node_mut(id);
        let Some(held) = node.held.as_mut().filter(|held| held.open.is_none() && held.hook == hook) else {
            let (step, state) = (node.path.clone(), node.state.as_str());
            return Err(Illegal::Step { event: "decided", step, state, wanted: "held for its policies" });
        };
        held.then = verdicts.iter().filter_map(Verdict::approval).cloned().collect();
        match Verdict::denials(verdicts) {
            Some(why) => self.object(id, why),
            None => self.ask_next(id),
        }
        Ok(())
    }

    /// Asks people what is still to be asked; lets the step go on when that is nothing.
    pub(super) fn ask_next(&mut self, id: NodeId) {
        let Some(held) = self.node_mut(id).held.as_mut() else { return };
        held.open = None;
        let Some(approval) = held.then.pop_front() else { return self.go_on_with(id) };
        match self.asked_by_policy(&approval) {
            Ok(asks) => {
                let open = self.announce(id, &approval, asks);
                if let Some(held) = self.node_mut(id).held.as_mut() {
                    held.open = Some(open);
                }
                self.watch_question(id);
            }
            Err(why) => self.object(id, why),
        }
    }

    /// What a policy wants people asked.
    pub(super) fn asked_by_policy(&self, approval: &Approval) -> Result<Asked, String> {
        let Approval { roles, quorum, forbid_self, message, .. } = approval;
        if *forbid_self && self.started_by.is_none() {
            return Err(
                "a policy wants somebody else to approve it than who started this run, and nobody knows who did"
                    .to_owned(),
            );
        }
        let not_by = self.started_by.clone().filter(|_| *forbid_self);
        Ok(Asked::Approval { roles: roles.clone(), quorum: *quorum, not_by, message: message.clone() })
    }

    /// Announces a question.
    pub(super) fn announce(&mut self, id: NodeId, approval: &Approval, asks: Asked) -> Open {
        let until_unix_ms = approval.expires.map(|time| self.now_unix_ms.saturating_add(time.as_millis()));
        let step = self.node(id).path.clone();
        self.decide(Intent::Ask(Ask { step, asks: asks.clone(), until_unix_ms }));
        let asked_at_unix_ms = self.now_unix_ms;
        Open { asks, asked_at_unix_ms, until_unix_ms, timer: None, approved_by: Vec::new() }
    }

    fn go_on_with(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.is_admitted = node.held.take().is_some_and(|held| held.hook == Hook::BeforeStep);
        let frame = node.frame;
        self.touch(frame);
    }

    /// A policy, or a person whom it wanted asked, said no.
    pub(super) fn object(&mut self, id: NodeId, why: String) {
        let node = self.node_mut(id);
        let Some(held) = node.held.take() else { return };
        let (frame, failure) = (node.frame, Failure::new("precondition", why));
        match held.hook {
            Hook::AfterStep => node.objection = Some(failure),
            Hook::Plan | Hook::BeforeStep | Hook::OnFailure => self.refuse(id, failure),
        }
        self.touch(frame);
    }

    /// An operator goes on with what was objected to.
    pub(super) fn overrule(&mut self, id: FrameId) {
        for node in self.frame(id).nodes.clone() {
            self.node_mut(node).objection = None;
        }
    }

    fn askings(&self, id: NodeId, hook: Hook) -> Vec<Asking> {
        if !self.is_in_steps(self.node(id).frame) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for home in self.homes(self.node(id).frame).into_iter().rev() {
            let holder = self.holder(home);
            if holder.policies.is_empty() {
                continue;
            }
            let path = self.path_within(id, home);
            let uses = self.node(id).step.body.uses().map_or_else(String::new, ToString::to_string);
            let is_meant = |policy: &Policy| policy.is_about(hook, &path, &uses);
            let fill = |view: &mut View| view.step = Some(self.shown_to_policies(id, hook));
            all.extend(holder.ask(hook, self.now_unix_ms, Some(self.shown_run()), is_meant, fill));
        }
        if hook == Hook::BeforeStep {
            all.extend(self.askings_of_child(id));
        }
        all
    }

    /// What a workflow's own policies are asked about it when it begins as a step.
    fn askings_of_child(&self, id: NodeId) -> Vec<Asking> {
        let Some(child) = self.node(id).workflow().filter(|child| !child.policies.is_empty()) else {
            return Vec::new();
        };
        // What has no value refuses the step by itself.
        let Ok(inputs) = inputs_of(child, &self.scope_of(id)) else { return Vec::new() };
        let holder = Holder { policies: &child.policies, workflow: &child.workflow, inputs: &inputs };
        holder.ask_about_plan(&child.graph, child.deadline.as_ref(), self.now_unix_ms, Some(self.shown_run()))
    }

    /// Whether a frame belongs to the steps of every workflow around it, and not to a last block.
    pub(super) fn is_in_steps(&self, id: FrameId) -> bool {
        let frame = self.frame(id);
        let around = frame.item.as_ref().map(|item| self.node(item.owner).frame);
        frame.block == super::Block::Steps && around.is_none_or(|around| self.is_in_steps(around))
    }

    /// The steps that run the workflows around a frame, from within; the run's own is the last.
    pub(super) fn homes(&self, frame: FrameId) -> Vec<Option<NodeId>> {
        let mut homes = vec![self.home(frame)];
        while let Some(Some(inner)) = homes.last().copied() {
            homes.push(self.home(self.node(inner).frame));
        }
        homes
    }

    pub(super) fn holder(&self, home: Option<NodeId>) -> Holder<'_> {
        match home.and_then(|home| Some((home, self.node(home).workflow()?))) {
            Some((home, child)) => Holder {
                policies: &child.policies,
                workflow: &child.workflow,
                inputs: self.inputs_within(home),
            },
            None => Holder {
                policies: &self.plan.policies,
                workflow: &self.plan.workflow,
                inputs: &self.plan.inputs,
            },
        }
    }

    /// The path of a step as the workflow at `home` writes it.
    fn path_within(&self, id: NodeId, home: Option<NodeId>) -> String {
        let node = self.node(id);
        let (mut path, mut frame) = (node.step.id.to_string(), node.frame);
        while let Some(item) = self.frame(frame).item.as_ref().filter(|item| Some(item.owner) != home) {
            let owner = self.node(item.owner);
            let key = if item.key.is_some() { format!("{ANY_ITEM}/") } else { String::new() };
            path = format!("{}/{key}{path}", owner.step.id);
            frame = owner.frame;
        }
        path
    }

    pub(super) fn shown_run(&self) -> RunView {
        RunView { id: self.run.to_string(), started_by: self.started_by.clone().unwrap_or_default() }
    }

    fn shown_to_policies(&self, id: NodeId, hook: Hook) -> StepView {
        let node = self.node(id);
        let nothing = || Value::Object(Map::new());
        let scope = self.scope_of(id);
        let params = match (&node.step.body, hook) {
            (Body::Action(_), Hook::AfterStep) => node.params.clone(),
            (Body::Action(action), _) => action.with.evaluate(&scope).unwrap_or_else(|_| nothing()),
            (Body::Workflow(_), Hook::AfterStep) => Value::Object(self.inputs_within(id).clone()),
            (Body::Workflow(child), _) => inputs_of(child, &scope).map_or_else(|_| nothing(), Value::Object),
            (Body::Foreach(_) | Body::Wait(_) | Body::Question(_), _) => nothing(),
        };
        let outputs = node.outputs.clone().filter(|_| hook == Hook::AfterStep);
        StepView {
            path: node.path.to_string(),
            id: node.step.id.to_string(),
            uses: node.step.body.uses().map_or_else(String::new, ToString::to_string),
            does: node.step.body.word().to_owned(),
            effects: effects(&node.step.body).to_owned(),
            pivot: node.action().is_some_and(|action| action.pivot),
            params,
            items: scope.vars,
            outputs: outputs.unwrap_or_else(nothing),
        }
    }

    /// Lets go of whatever a step is held for: it is not wanted any more, or it is undone.
    pub(super) fn let_loose(&mut self, id: NodeId) {
        self.look_away(id);
        let node = self.node_mut(id);
        node.held = None;
        if matches!(node.state, State::Waiting) {
            node.is_admitted = false;
        }
    }

    /// What people are asked on behalf of a step: by the step itself, or by a policy about it.
    pub(super) fn question_of(&self, id: NodeId) -> Option<&Open> {
        let node = self.node(id);
        match (&node.held, &node.state) {
            (Some(held), _) => held.open.as_ref(),
            (None, State::Asking(open)) => Some(&**open),
            (None, _) => None,
        }
    }

    pub(super) fn question_mut(&mut self, id: NodeId) -> Option<&mut Open> {
        let node = self.node_mut(id);
        match (&mut node.held, &mut node.state) {
            (Some(held), _) => held.open.as_mut(),
            (None, State::Asking(open)) => Some(&mut **open),
            (None, _) => None,
        }
    }

    pub(super) fn plan_arc(&self) -> Arc<longhaul_plan::Plan> {
        Arc::clone(&self.plan)
    }
}
