//! What is asked about the run as a whole: whether it begins, and whether what it has done may be undone.
//!
//! **Before anything is undone** the policies at `on-failure` are asked, once. Who says no leaves the run as it is, as
//! `cancel --leave` does. Nobody is asked when there is nothing to undo, or when a person has given the run up: that person
//! has said so.
//!
//! What people are asked here has no step of the plan. It stands in a graph instance of its own, beside the steps, with ids
//! that no step has.

use longhaul_model::ids::{StepId, StepPath};
use longhaul_model::policy::{Approval, Failed, FailureView, Hook, Verdict, View};
use longhaul_plan::{Asks, Body, Graph, OnExpire, Plan, Policy, Question, Step};
use serde::{Deserialize, Serialize};

use super::{Block, FrameEnd, FrameId, Mode, Node, NodeId, ROOT, Saga, State};
use crate::{Failure, Illegal};

/// How far the policies of a workflow have been asked whether something may be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Consent {
    /// They are being asked.
    Asked,
    /// People are, in this frame.
    Open(FrameId),
    Given,
    Refused,
}

impl Saga {
    /// Begins the steps, or asks first whether they may begin.
    pub(super) fn begin_steps(&mut self) {
        let plan = self.plan_arc();
        let approvals: Vec<Approval> = plan.verdicts.iter().filter_map(Verdict::approval).cloned().collect();
        if Verdict::denials(&plan.verdicts).is_some() {
            return self.turn_away();
        }
        if approvals.is_empty() {
            return self.let_in();
        }
        if self.ask_people(Block::Admission, Plan::PLAN_APPROVAL, &approvals).is_none() {
            self.turn_away();
        }
    }

    fn let_in(&mut self) {
        self.put_mode(ROOT, Mode::Forward);
        self.touch(ROOT);
    }

    /// The steps never begin.
    pub(super) fn turn_away(&mut self) {
        if self.frame(ROOT).mode() == Mode::Queued {
            self.close_questions();
            self.end_frame(ROOT, FrameEnd::NeverRan);
        }
    }

    /// A person has given the run up, so nobody else is asked whether it may be undone.
    pub(crate) fn agree_to_undo(&mut self) {
        self.is_undo_agreed = true;
        self.close_questions();
        self.go_on_undoing();
    }

    /// Nobody waits for the answers to these any more.
    pub(super) fn close_questions(&mut self) {
        for index in 0..self.frames.len() {
            let frame = &self.frames[index];
            if !frame.block.is_of_policies() || frame.mode().is_ended() {
                continue;
            }
            let nodes = frame.nodes.clone();
            self.put_mode(FrameId(index), Mode::Ended(FrameEnd::Succeeded));
            for node in nodes {
                if matches!(self.node(node).state, State::Asking(_)) {
                    self.node_mut(node).state = State::Failed(Failure::new("cancelled", "called off"));
                }
            }
        }
    }

    /// Whether what a frame has done may be undone now. Who has to be asked is asked; about the last blocks nobody is.
    pub(super) fn may_undo(&mut self, frame: FrameId) -> bool {
        if self.is_undo_agreed || !self.is_in_steps(frame) {
            return true;
        }
        let mut may = true;
        for home in self.homes(frame) {
            may &= self.has_consent(home);
        }
        may
    }

    fn has_consent(&mut self, home: Option<NodeId>) -> bool {
        if let Some(consent) = self.consents.get(&home) {
            return *consent == Consent::Given;
        }
        let asks = self.holder(home).policies.iter().any(|policy| policy.at.contains(&Hook::OnFailure));
        if !asks || self.in_effect(home).is_empty() {
            return true;
        }
        self.consents.insert(home, Consent::Asked);
        self.ask_about_undo(home);
        false
    }

    /// Whether policies are asked at this moment whether something may be undone.
    pub(super) fn asks_about_undo(&self) -> bool {
        self.consents.values().any(|consent| *consent == Consent::Asked)
    }

    fn ask_about_undo(&mut self, home: Option<NodeId>) {
        let shown = FailureView { steps: self.failures(home), done: self.in_effect(home) };
        let fill = |view: &mut View| view.failure = Some(shown.clone());
        let is_meant = |policy: &Policy| policy.at.contains(&Hook::OnFailure);
        let run = Some(self.shown_run());
        let asking = self.holder(home).ask(Hook::OnFailure, self.now_unix_ms, run, is_meant, fill);
        self.ask_policies(home, Hook::OnFailure, asking);
    }

    /// A new controller asks again what was not answered.
    pub(super) fn ask_about_undo_again(&mut self) {
        let asked: Vec<_> =
            self.consents.iter().filter(|(_, it)| **it == Consent::Asked).map(|(home, _)| *home).collect();
        asked.into_iter().for_each(|home| self.ask_about_undo(home));
    }

    /// The policies have said whether something may be undone.
    pub(crate) fn undo_decided(&mut self, home: Option<NodeId>, verdicts: &[Verdict]) -> Result<(), Illegal> {
        if self.consents.get(&home) != Some(&Consent::Asked) {
            return Err(Illegal::Run { event: "decided", state: self.status().as_str() });
        }
        let approvals: Vec<Approval> = verdicts.iter().filter_map(Verdict::approval).cloned().collect();
        self.consents.insert(home, Consent::Refused);
        if let Some(why) = Verdict::denials(verdicts) {
            self.leave_because(why);
        } else if approvals.is_empty() {
            self.consents.insert(home, Consent::Given);
            self.go_on_undoing();
        } else if let Some(frame) = self.ask_people(Block::Undoing, Plan::UNDO_APPROVAL, &approvals) {
            self.consents.insert(home, Consent::Open(frame));
        } else {
            let why = "a policy wants somebody else to approve the undo than who started this run, and nobody knows who did";
            self.leave_because(why.to_owned());
        }
        Ok(())
    }

    fn go_on_undoing(&mut self) {
        for index in 0..self.frames.len() {
            if self.frames[index].mode() == Mode::Draining {
                self.touch(FrameId(index));
            }
        }
    }

    fn leave_because(&mut self, why: String) {
        self.left_because = Some(why);
        self.leave();
    }

    /// People have answered everything that they were asked in a frame.
    pub(super) fn people_answered(&mut self, frame: FrameId) {
        let refused = self.frame(frame).nodes.iter().find_map(|node| match &self.node(*node).state {
            State::Failed(failure) => Some(failure.message.clone()),
            _ => None,
        });
        match (self.frame(frame).block, refused) {
            (Block::Admission, None) => self.let_in(),
            (Block::Admission, Some(_)) => self.turn_away(),
            (_, Some(why)) => self.leave_because(why),
            (_, None) => {
                let of_frame = |consent: &&mut Consent| **consent == Consent::Open(frame);
                self.consents.values_mut().filter(of_frame).for_each(|consent| *consent = Consent::Given);
                self.go_on_undoing();
            }
        }
    }

    /// Asks people; none if one of the questions cannot be asked.
    fn ask_people(&mut self, block: Block, id: &str, approvals: &[Approval]) -> Option<FrameId> {
        let asks = approvals.iter().map(|approval| self.asked_by_policy(approval));
        let asks: Vec<_> = asks.collect::<Result<_, _>>().ok()?;
        let ids = self.fresh_ids(id, approvals.len());
        let steps = ids.into_iter().zip(approvals).map(|(id, approval)| question(id, approval)).collect();
        let frame = self.add_frame(&Graph { steps }, None, 0);
        self.begin_apart(frame, block);
        for ((node, approval), asks) in self.frame(frame).nodes.clone().into_iter().zip(approvals).zip(asks) {
            let open = self.announce(node, approval, asks);
            self.node_mut(node).state = State::Asking(Box::new(open));
            self.watch_question(node);
        }
        Some(frame)
    }

    /// Ids that nothing in the run has yet.
    fn fresh_ids(&self, id: &str, count: usize) -> Vec<StepId> {
        let numbered = std::iter::once(id.to_owned()).chain((2..).map(|number| format!("{id}_{number}")));
        let ids = numbered.map(|id| id.parse::<StepId>().expect("it is well-formed"));
        ids.filter(|id| !self.index.contains_key(&StepPath::root(id))).take(count).collect()
    }

    /// What failed in a workflow.
    fn failures(&self, home: Option<NodeId>) -> Vec<Failed> {
        let failed = |node: &Node| {
            let own = match &node.state {
                State::Failed(failure) | State::Partial(failure, _) => Some(failure),
                _ => None,
            };
            let failure = node.objection.as_ref().or(own)?;
            (failure.class != "cancelled").then(|| Failed {
                path: node.path.to_string(),
                uses: node.step.body.uses().map_or_else(String::new, ToString::to_string),
                class: failure.class.clone(),
                message: failure.message.clone(),
            })
        };
        self.nodes.iter().filter(|node| self.is_within(node, home)).filter_map(failed).collect()
    }

    /// What is in effect in a workflow, the last first.
    fn in_effect(&self, home: Option<NodeId>) -> Vec<String> {
        let steps = self.nodes.iter().rev().filter(|node| self.is_within(node, home));
        steps.filter(|node| Self::is_there(node)).map(|node| node.path.to_string()).collect()
    }

    /// Whether a node is one of a workflow's steps, or inside one of them.
    fn is_within(&self, node: &Node, home: Option<NodeId>) -> bool {
        let mut frame = node.frame;
        while !self.frame(frame).block.is_apart() {
            match self.home(frame) {
                inner if inner == home => return true,
                Some(inner) => frame = self.node(inner).frame,
                None => return false,
            }
        }
        false
    }
}

fn question(id: StepId, approval: &Approval) -> Step {
    let Approval { roles, quorum, forbid_self, expires, message: _ } = approval;
    // What people are told is in the question as it is asked.
    let (roles, quorum, forbid_self, message) = (roles.clone(), *quorum, *forbid_self, None);
    let asks = Asks::Approval { roles, quorum, forbid_self, message };
    let (expires, on_expire, defaulted) = (*expires, OnExpire::Fail, Vec::new());
    let body = Body::Question(Box::new(Question { asks, expires, on_expire, defaulted }));
    Step { id, needs: Vec::new(), reasons: Vec::new(), condition: None, line: 0, body }
}
