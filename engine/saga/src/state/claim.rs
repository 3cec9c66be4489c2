//! Claims: how much a step gets of what steps share, and when.
//!
//! ```text
//!            its turn                 all of its claims fit
//!   waiting ----------> claiming ------------------------------> working
//!                          '-- what it asks for is put by, in the order in which steps came
//!
//!   budget  |  fixed claims  |  elastic claims: the least of each  |  what is left, shared evenly  |
//! ```
//!
//! **No starvation.** Whoever came first is served first: what a waiting step needs is put by as it becomes free, and a
//! later one begins only with what is then still left. What is kept by steps whose effect is there, or held by one
//! that needs an operator, does not come back by itself: a step that can begin only with that fails. A graph that turns round
//! gives back what its steps have, so that is waited for, as long as anything at all is under way that can end; but not by a
//! step inside that graph, for which it waits itself. What a step kept in an earlier round of its graph counts as its own when
//! it runs again: it never stands in its own way.
//!
//! **No overtaking by growth.** A share that shrinks is told before the step begins that it shrinks for; one that grows is told
//! when it has grown by a tenth.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_plan::{ActionStep, Body, Budget, Resource, Wanted};
use serde::{Deserialize, Serialize};

use super::{FrameId, Node, NodeId, Saga, State};
use crate::breaks::{Break, is_on};
use crate::intent::{Queue, Share, Wish};
use crate::{Failure, Intent, Work};

/// A share that has grown by less than one part in so many is not told.
const GROWTH_TOLD: u64 = 10;

/// Most steps that a message names.
const KEEPERS_SHOWN: usize = 3;

/// A budget, and the steps that have something of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pool {
    budget: Budget,
    users: Vec<NodeId>,
}

/// What a step has of a pool, or waits for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Grant {
    pool: usize,
    wanted: Wanted,
    /// What it has been told, in the budget's unit; 0 before it begins.
    told: u64,
}

/// A step that waits for its claims.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Claimant {
    id: NodeId,
    /// Whether it was said that it waits.
    is_told: bool,
}

/// Who waits for what others keep.
struct Waiter {
    /// Nothing at all is under way that can end.
    is_still: bool,
    /// The graphs around it that turn round.
    within: Vec<FrameId>,
}

impl Pool {
    /// Those who have something of it.
    pub(super) fn users(&self) -> impl Iterator<Item = NodeId> {
        self.users.iter().copied()
    }

    /// Another one stands for one of them.
    pub(super) fn move_user(&mut self, from: NodeId, to: NodeId) {
        self.users.iter_mut().filter(|user| **user == from).for_each(|user| *user = to);
    }

    /// Those who have something of it stand in other places now; who has no place has nothing any more.
    pub(super) fn move_users(&mut self, moved: &BTreeMap<NodeId, NodeId>) {
        self.users = self.users.iter().filter_map(|user| moved.get(user).copied()).collect();
    }
}

impl Saga {
    /// A step whose turn has come asks for what it claims.
    pub(super) fn claim(&mut self, id: NodeId, action: &ActionStep) {
        self.release(id);
        match self.grants_for(id, action) {
            Ok(grants) => {
                let node = self.node_mut(id);
                (node.grants, node.state) = (grants, State::Claiming);
                self.claiming.push(Claimant { id, is_told: false });
            }
            Err(why) => self.refuse(id, Failure::new("precondition", why)),
        }
    }

    fn grants_for(&mut self, id: NodeId, action: &ActionStep) -> Result<Vec<Grant>, String> {
        let scope = self.scope_of(id);
        let mut grants = Vec::new();
        for claim in &action.claims {
            let name = &claim.resource;
            let budget = self.budget_of(id, name).map_err(|why| format!("resource `{name}`: {why}"))?;
            let wanted = claim.bind(&budget, &scope).map_err(|why| format!("claim of `{name}`: {why}"))?;
            grants.push(Grant { pool: self.pool(budget), wanted, told: 0 });
        }
        Ok(grants)
    }

    /// The budget of that name for a node: of the outermost workflow around it that declares one.
    fn budget_of(&self, id: NodeId, name: &str) -> Result<Budget, String> {
        let mut home = self.home(self.node(id).frame);
        let mut declared = None;
        loop {
            let child = home.and_then(|home| self.node(home).workflow());
            let resources = child.map_or(&self.plan.resources, |child| &child.resources);
            let own = resources.iter().find(|resource: &&Resource| resource.name == name);
            declared = own.map(|resource| (resource, home)).or(declared);
            let Some(inside) = home else { break };
            home = self.home(self.node(inside).frame);
        }
        let (resource, home) = declared.ok_or_else(|| "it is not declared".to_owned())?;
        resource.bind(&self.bare_scope(home))
    }

    fn pool(&mut self, budget: Budget) -> usize {
        let known = self.pools.iter().position(|pool| pool.budget == budget);
        known.unwrap_or_else(|| {
            self.pools.push(Pool { budget, users: Vec::new() });
            self.pools.len() - 1
        })
    }

    /// A step that waits for its claims is not wanted any more.
    pub(super) fn call_claim_off(&mut self, id: NodeId) {
        self.node_mut(id).state = State::Waiting;
        self.release(id);
    }

    pub(super) fn release(&mut self, id: NodeId) {
        self.claiming.retain(|waiting| waiting.id != id);
        for grant in std::mem::take(&mut self.node_mut(id).grants) {
            self.pools[grant.pool].users.retain(|user| *user != id);
        }
    }

    /// Begins the steps whose claims fit now, and tells the others what their shares have become. False if none began.
    pub(super) fn pack(&mut self) -> bool {
        for pool in 0..self.pools.len() {
            let users = std::mem::take(&mut self.pools[pool].users);
            let holding = |user: &NodeId| self.node(*user).holds(pool);
            self.pools[pool].users = users.into_iter().filter(holding).collect();
        }
        let hopeless = self.hopeless();
        for (id, why) in &hopeless {
            self.release(*id);
            self.refuse(*id, Failure::new("precondition", why));
            let frame = self.node(*id).frame;
            self.touch(frame);
        }
        let beginning = self.whose_claims_fit();
        self.claiming.retain(|waiting| !beginning.contains(&waiting.id));
        for id in &beginning {
            self.hand_on(*id);
            for grant in self.node(*id).grants.clone() {
                self.pools[grant.pool].users.push(*id);
            }
        }
        self.share_out();
        for id in &beginning {
            let step = Arc::clone(&self.node(*id).step);
            if let Body::Action(action) = &step.body {
                self.begin_effect(*id, action);
            }
            self.give_back_earlier(*id);
            let frame = self.node(*id).frame;
            self.touch(frame);
        }
        !beginning.is_empty() || !hopeless.is_empty()
    }

    /// Says which steps have come to wait.
    pub(super) fn tell_who_waits(&mut self) {
        let untold = self.claiming.iter_mut().filter(|waiting| !waiting.is_told);
        let untold: Vec<NodeId> = untold.map(|waiting| (waiting.is_told = true, waiting.id).1).collect();
        for id in untold {
            let queue = self.queue_of(self.node(id));
            self.decide(Intent::Queue(queue));
        }
    }

    /// The waiting steps that can begin, in the order in which they came.
    fn whose_claims_fit(&self) -> Vec<NodeId> {
        let mut free: Vec<u64> = (0..self.pools.len()).map(|pool| self.free(pool)).collect();
        let mut beginning = Vec::new();
        for Claimant { id, .. } in &self.claiming {
            if self.node(*id).incarnation == 0 && free.iter().all(|free| *free == 0) {
                continue;
            }
            let more = |grant: &Grant| grant.wanted.least.saturating_sub(self.kept_before(*id, grant.pool));
            let grants = &self.node(*id).grants;
            let fits = |grant: &Grant| more(grant) <= free[grant.pool] || is_on(Break::OverdrawBudgets);
            if grants.iter().all(fits) {
                beginning.push(*id);
            }
            for grant in grants {
                free[grant.pool] = free[grant.pool].saturating_sub(more(grant));
            }
        }
        beginning
    }

    /// What a step was in earlier rounds of its graph, as far as that keeps something of a pool.
    fn earlier(&self, id: NodeId, pool: usize) -> impl Iterator<Item = NodeId> {
        let node = self.node(id);
        // The first round has the first number.
        let users = self.pools[pool].users.iter().filter(|_| node.incarnation > 0);
        users.copied().filter(move |user| *user != id && self.node(*user).path == node.path)
    }

    /// How much of a pool a step keeps from earlier rounds.
    fn kept_before(&self, id: NodeId, pool: usize) -> u64 {
        self.earlier(id, pool).filter_map(|it| self.node(it).wants(pool)).map(|wanted| wanted.least).sum()
    }

    /// What a step kept before becomes what it has now. What it kept beyond that is free when it has begun, and not before.
    fn hand_on(&mut self, id: NodeId) {
        for Grant { pool, wanted, .. } in self.node(id).grants.clone() {
            for earlier in self.earlier(id, pool).collect::<Vec<_>>() {
                let kept = self.node_mut(earlier).grants.iter_mut().filter(|kept| kept.pool == pool);
                kept.for_each(|kept| kept.told = kept.told.saturating_sub(wanted.least));
            }
        }
    }

    fn give_back_earlier(&mut self, id: NodeId) {
        for pool in 0..self.pools.len() {
            for earlier in self.earlier(id, pool).collect::<Vec<_>>() {
                self.release(earlier);
            }
        }
    }

    /// Waiting steps that can never begin as things are, because others keep what they need; and why.
    fn hopeless(&self) -> Vec<(NodeId, String)> {
        if self.claiming.is_empty() {
            return Vec::new();
        }
        let is_still = !self.nodes.iter().any(Node::can_end_by_itself) && !self.asks_about_undo();
        let outside = Waiter { is_still, within: Vec::new() };
        let left: Vec<u64> = (0..self.pools.len()).map(|pool| self.left_by_keepers(pool, &outside)).collect();
        let lacks = |Claimant { id, .. }: &Claimant| {
            let within = self.turning_around(*id);
            let waiter = Waiter { is_still, within };
            let left = |pool| {
                let by_others = match waiter.within.is_empty() {
                    true => left[pool],
                    false => self.left_by_keepers(pool, &waiter),
                };
                by_others + self.kept_before(*id, pool)
            };
            let grants = &self.node(*id).grants;
            let lacking = grants.iter().find(|grant| grant.wanted.least > left(grant.pool))?;
            Some((*id, self.kept_from(*id, lacking, left(lacking.pool), &waiter)))
        };
        self.claiming.iter().filter_map(lacks).collect()
    }

    /// The graphs around a step that turn round, its own included: they wait for it.
    fn turning_around(&self, id: NodeId) -> Vec<FrameId> {
        let mut around = Some(self.node(id).frame);
        let mut turning = Vec::new();
        while let Some(frame) = around {
            let seen = self.frame(frame);
            turning.extend(seen.mode().is_winding().then_some(frame));
            around = seen.item.as_ref().map(|item| self.node(item.owner).frame);
        }
        turning
    }

    /// Who has something of a pool that does not come back by itself. What a graph has that turns round comes back, unless
    /// everything stands still, or that graph waits for who waits for it.
    fn keepers(&self, pool: usize, waiter: &Waiter) -> impl Iterator<Item = &Node> {
        let users = self.pools[pool].users.iter().map(|user| self.node(*user));
        let comes_back = |node: &Node| {
            let turns = self.frame(node.frame).mode().is_winding();
            turns && !waiter.is_still && !waiter.within.contains(&node.frame)
        };
        users.filter(move |node| node.is_settled() && !comes_back(node))
    }

    fn left_by_keepers(&self, pool: usize, waiter: &Waiter) -> u64 {
        let kept = self.keepers(pool, waiter).filter_map(|node| node.wants(pool)).map(|wanted| wanted.least);
        self.pools[pool].budget.to_give.saturating_sub(kept.sum())
    }

    fn kept_from(&self, id: NodeId, grant: &Grant, left: u64, waiter: &Waiter) -> String {
        let budget = &self.pools[grant.pool].budget;
        let others = self.keepers(grant.pool, waiter).filter(|keeper| keeper.path != self.node(id).path);
        let mut keepers = others.map(|node| node.path.as_str());
        let by = keepers.by_ref().take(KEEPERS_SHOWN).collect::<Vec<_>>().join(", ");
        let more = if keepers.next().is_some() { " and others" } else { "" };
        let (name, needs, left) =
            (&budget.name, budget.kind.write(grant.wanted.least), budget.kind.write(left));
        format!("claim of `{name}`: it needs {needs}, and all but {left} is kept by {by}{more}")
    }

    /// What can be promised besides the least of everybody's claims.
    fn free(&self, pool: usize) -> u64 {
        let Pool { budget, users } = &self.pools[pool];
        let taken = users.iter().filter_map(|user| self.node(*user).wants(pool)).map(|wanted| wanted.least);
        budget.to_give.saturating_sub(taken.sum())
    }

    /// Works every share out anew and tells those that have changed.
    fn share_out(&mut self) {
        let (mut shrunk, mut grown) = (Vec::new(), Vec::new());
        for pool in 0..self.pools.len() {
            for (id, share) in self.shares(pool) {
                let node = self.node_mut(id);
                // One that is tried again later is told then.
                let is_working = matches!(&node.state, State::Working(effect) if effect.may_have_happened());
                let Some(grant) = node.grants.iter_mut().find(|grant| grant.pool == pool) else { continue };
                let before = std::mem::replace(&mut grant.told, share);
                match share.cmp(&before) {
                    Ordering::Less if is_working => shrunk.push(id),
                    Ordering::Greater if share - before < before / GROWTH_TOLD => grant.told = before,
                    Ordering::Greater if is_working => grown.push(id),
                    Ordering::Less | Ordering::Equal | Ordering::Greater => {}
                }
            }
        }
        let mut told = BTreeSet::new();
        for id in shrunk.into_iter().chain(grown).filter(|id| told.insert(*id)) {
            let (step, claims) = (self.node(id).path.clone(), self.claims_of(id));
            self.decide(Intent::Share(Share { step, claims }));
        }
    }

    /// What each user of a pool gets: its least, and an even part of what is left, as far as it has a use for that.
    fn shares(&self, pool: usize) -> Vec<(NodeId, u64)> {
        let users = &self.pools[pool].users;
        let wanted = |id: &NodeId| Some((*id, self.node(*id).wants(pool)?));
        let mut open: Vec<(NodeId, Wanted)> = users.iter().filter_map(wanted).collect();
        // Those that can take least come first, so that the others share what they leave.
        open.sort_by_key(|(_, wanted)| wanted.most - wanted.least);
        let mut left = self.free(pool);
        let mut shares = Vec::new();
        for (place, (id, wanted)) in open.iter().enumerate() {
            let part = left / (open.len() - place) as u64;
            let more = part.min(wanted.most - wanted.least);
            left -= more;
            shares.push((*id, wanted.least + more));
        }
        shares
    }

    /// The budgets of which a step has something, or waits for it: what its claims are of.
    #[must_use]
    pub fn budgets(&self, step: &StepPath) -> Vec<&Budget> {
        let Some(id) = self.index.get(step) else { return Vec::new() };
        self.node(*id).grants.iter().map(|grant| &self.pools[grant.pool].budget).collect()
    }

    /// What a step has, by the names of the resources, each in its unit.
    pub(super) fn claims_of(&self, id: NodeId) -> BTreeMap<String, u64> {
        let grants = self.node(id).grants.iter();
        grants.map(|grant| (self.pools[grant.pool].budget.name.clone(), grant.told)).collect()
    }

    /// Who has something of what a step waits for, for each of its claims.
    pub(super) fn holders_of(&self, node: &Node) -> Vec<Vec<StepPath>> {
        let users =
            |grant: &Grant| self.pools[grant.pool].users.iter().map(|user| self.node(*user).path.clone());
        node.grants.iter().map(|grant| users(grant).collect()).collect()
    }

    /// What a step waits for.
    pub(super) fn queue_of(&self, node: &Node) -> Queue {
        let wish = |grant: &Grant| {
            let budget = &self.pools[grant.pool].budget;
            let write = |amount| budget.kind.write(amount);
            let (least, free) = (write(grant.wanted.least), write(self.free(grant.pool)));
            Wish { resource: budget.name.clone(), least, free }
        };
        Queue { step: node.path.clone(), claims: node.grants.iter().map(wish).collect() }
    }
}

impl Node {
    /// Whether something of it is under way that comes to an end whatever becomes of other steps.
    fn can_end_by_itself(&self) -> bool {
        let is_under_way =
            matches!(self.state, State::Working(_) | State::Undoing(_) | State::Paused(_) | State::Asking(_));
        is_under_way || self.held.is_some() || self.looking.is_some()
    }

    /// Whether what it has does not come back by itself: its effect is there and stays there, or a person has to say.
    fn is_settled(&self) -> bool {
        matches!(self.state, State::Done | State::Partial(..) | State::Kept | State::Stuck(_))
    }

    /// What it claims of a pool. Of a step that cannot be told anything any more that is what it has.
    fn wants(&self, pool: usize) -> Option<Wanted> {
        let Grant { wanted, told, .. } = self.grant(pool)?;
        Some(if self.is_settled() { Wanted { least: *told, most: *told, ..*wanted } } else { *wanted })
    }

    fn grant(&self, pool: usize) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.pool == pool)
    }

    /// Whether it has something of a pool, beyond waiting for it.
    fn holds(&self, pool: usize) -> bool {
        let is_under_way = match &self.state {
            State::Working(effect) => effect.work == Work::Forward,
            State::Stuck(stuck) => stuck.work == Work::Forward && stuck.effect.is_some(),
            // Somebody may still be at it.
            State::Partial(..) => true,
            _ => false,
        };
        let is_there = match &self.state {
            State::Done | State::Kept | State::Undoing(_) => true,
            State::Stuck(stuck) => stuck.work == Work::Undo,
            _ => false,
        };
        self.grant(pool).is_some_and(|grant| is_under_way || (is_there && grant.wanted.keep))
    }
}
