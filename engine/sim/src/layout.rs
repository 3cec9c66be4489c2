//! Where each step instance of a run stands in its plan.

use longhaul_expr::Scope;
use longhaul_model::action::Effects;
use longhaul_model::ids::{StepId, StepPath};
use longhaul_plan::{Body, Budget, Claim, Graph, OnItemFailure, Plan, Share};

/// What the plan says of the steps, without their expressions.
#[derive(Debug, Clone)]
pub struct Layout {
    steps: Vec<Node>,
    /// Those of `on_failure` and `always`.
    last: Vec<Node>,
    /// What the steps share, as far as the inputs make it known.
    budgets: Vec<Budget>,
}

/// A step of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: StepId,
    pub(crate) needs: Vec<StepId>,
    /// Whether its `if` asks how steps ended: then it may start although they did not succeed.
    pub(crate) asks: bool,
    pub(crate) kind: Kind,
}

/// What a step is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Action {
        effects: Effects,
        pivot: bool,
        scope: bool,
        /// The resources of which it keeps what it took for as long as its effect is there.
        kept: Vec<String>,
    },
    Wait,
    /// Asks somebody outside.
    Question,
    Items {
        steps: Vec<Node>,
        on_item_failure: OnItemFailure,
    },
    /// Another workflow: its steps, and those of its `on_failure` and `always`.
    Workflow {
        steps: Vec<Node>,
        last: Vec<Node>,
    },
}

/// A step instance and what is around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a Node,
    /// The steps of its graph, itself included.
    pub(crate) beside: &'a [Node],
    /// The path of its item, or of the step that runs its workflow, with a `/` at its end; empty for a step of the outermost
    /// graph.
    pub(crate) prefix: &'a str,
    /// Whether it belongs to `on_failure` or `always`.
    pub(crate) is_last: bool,
}

impl Layout {
    /// The layout of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let last = nodes(&plan.on_failure).into_iter().chain(nodes(&plan.always)).collect();
        let scope = Scope { inputs: plan.inputs.clone(), ..Scope::default() };
        let budgets = plan.resources.iter().filter_map(|resource| resource.bind(&scope).ok()).collect();
        Self { steps: nodes(&plan.graph), last, budgets }
    }

    /// The place of a step instance; none if no step of the plan can have this path.
    pub(crate) fn place<'a>(&'a self, path: &'a str) -> Option<Place<'a>> {
        let place = |beside: &'a [Node], is_last| find(beside, path, 0, is_last);
        place(&self.steps, false).or_else(|| place(&self.last, true))
    }

    /// What the steps of the run's own workflow share, and those of others under the same names.
    pub(crate) fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// Whether it is the wait for a deadline: of the run, or of a workflow that a step runs.
    pub(crate) fn is_deadline(&self, path: &StepPath) -> bool {
        let within = match path.as_str().rsplit_once('/') {
            None => Some(true),
            Some((owner, Plan::DEADLINE)) => {
                self.place(owner).map(|place| matches!(place.node.kind, Kind::Workflow { .. }))
            }
            Some(_) => None,
        };
        let is_named_so = path.as_str().rsplit('/').next() == Some(Plan::DEADLINE);
        is_named_so && within == Some(true) && self.place(path.as_str()).is_none()
    }

    /// Whether the step is undone at the end of its graph also when all went well.
    pub(crate) fn is_scope(&self, path: &StepPath) -> bool {
        self.place(path.as_str()).is_some_and(|place| place.node.is_scope())
    }

    /// Whether the step leaves something behind that an undo takes away or a person sees: not a step that only looks, and
    /// not one of `on_failure` or `always`.
    pub(crate) fn has_effect(&self, path: &StepPath) -> bool {
        self.place(path.as_str()).is_some_and(|place| !place.is_last && place.node.effects() != Effects::None)
    }
}

impl Node {
    /// What it leaves behind; a step with items leaves nothing of its own.
    pub(crate) fn effects(&self) -> Effects {
        match &self.kind {
            Kind::Action { effects, .. } => *effects,
            Kind::Items { .. } | Kind::Workflow { .. } | Kind::Wait | Kind::Question => Effects::None,
        }
    }

    /// Whether it is undone at the end of its graph also when all went well.
    pub(crate) fn is_scope(&self) -> bool {
        matches!(self.kind, Kind::Action { scope: true, .. })
    }

    /// The resources of which it keeps what it took for as long as its effect is there.
    pub(crate) fn kept(&self) -> &[String] {
        match &self.kind {
            Kind::Action { kept, .. } => kept,
            Kind::Items { .. } | Kind::Workflow { .. } | Kind::Wait | Kind::Question => &[],
        }
    }

    pub(crate) fn is_pivot(&self) -> bool {
        matches!(self.kind, Kind::Action { pivot: true, .. })
    }
}

impl Place<'_> {
    /// The path of a step of the same graph instance.
    pub(crate) fn sibling(&self, id: &StepId) -> String {
        format!("{}{id}", self.prefix)
    }

    /// The steps beside it that need it, directly.
    pub(crate) fn dependents(&self) -> impl Iterator<Item = &Node> {
        self.beside.iter().filter(|other| other.needs.contains(&self.node.id))
    }
}

fn nodes(graph: &Graph) -> Vec<Node> {
    let node = |step: &longhaul_plan::Step| Node {
        id: step.id.clone(),
        needs: step.needs.clone(),
        asks: step.condition.as_ref().is_some_and(|condition| condition.asked().any),
        kind: match &step.body {
            Body::Action(action) => {
                let keeps = |claim: &&Claim| matches!(claim.share, Share::Fixed { keep: true, .. });
                let kept = action.claims.iter().filter(keeps).map(|claim| claim.resource.clone()).collect();
                Kind::Action { effects: action.effects, pivot: action.pivot, scope: action.scope, kept }
            }
            Body::Wait(_) => Kind::Wait,
            Body::Question(_) => Kind::Question,
            Body::Workflow(child) => {
                let last = nodes(&child.on_failure).into_iter().chain(nodes(&child.always)).collect();
                Kind::Workflow { steps: nodes(&child.graph), last }
            }
            Body::Foreach(foreach) => {
                Kind::Items { steps: nodes(&foreach.graph), on_item_failure: foreach.on_item_failure }
            }
        },
    };
    graph.steps.iter().map(node).collect()
}

/// The step at `path` beyond its first `from` bytes, which lead to the graph of `beside`.
fn find<'a>(beside: &'a [Node], path: &'a str, from: usize, is_last: bool) -> Option<Place<'a>> {
    let (id, rest) =
        path[from..].split_once('/').map_or((&path[from..], None), |(id, rest)| (id, Some(rest)));
    let node = beside.iter().find(|node| node.id.as_str() == id)?;
    match (rest, &node.kind) {
        (None, _) => Some(Place { node, beside, prefix: &path[..from], is_last }),
        (Some(rest), Kind::Items { steps, .. }) => {
            let (key, _) = rest.split_once('/')?;
            find(steps, path, from + id.len() + 1 + key.len() + 1, is_last)
        }
        (Some(_), Kind::Workflow { steps, last }) => {
            let below = from + id.len() + 1;
            find(steps, path, below, is_last).or_else(|| find(last, path, below, true))
        }
        (Some(_), Kind::Action { .. } | Kind::Wait | Kind::Question) => None,
    }
}
