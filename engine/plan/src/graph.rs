//! Edges between steps: order, cycles, pivots.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::diagnostic::{Code, Elsewhere, Label};
use longhaul_model::ids::StepId;
use longhaul_model::source::Span;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::check::Checker;
use crate::plan::{Graph, Step};
use crate::steps::Lasting;

/// Most steps of a circle that are shown.
const SHOWN_MAX: usize = 10;

/// A step with its edges, before it has its place in the order.
pub(crate) struct Vertex {
    pub(crate) step: Step,
    /// Where its id stands.
    pub(crate) span: Span,
    /// What in it is never undone.
    pub(crate) lasting: Lasting,
    /// The pivot of the workflow that it runs.
    pub(crate) pivot_inside: Option<Elsewhere>,
    /// Where it says that at the end it takes away what a hand-over may stand on.
    pub(crate) foundation: Option<Span>,
}

impl Checker<'_> {
    /// Puts steps into an order in which each comes after those it needs, file order among the rest.
    pub(crate) fn order(&mut self, vertices: Vec<Vertex>) -> Graph {
        let needs = needs(&vertices);
        let order = in_order(&needs);
        if order.len() < vertices.len() {
            self.report_cycles(&vertices, &edges(&needs));
        }
        self.report_pivots(&vertices, &needs, &order);
        self.report_foundations(&vertices, &needs, &order);
        Graph { steps: arranged(vertices, &order) }
    }

    fn report_cycles(&mut self, vertices: &[Vertex], edges: &DiGraph<usize, ()>) {
        // Not Tarjan's way, which is written as a recursion: a chain of thousands of steps would be as deep.
        let mut cycles: Vec<Vec<usize>> = kosaraju_scc(edges)
            .into_iter()
            .filter(|component| component.len() > 1)
            .map(|component| cycle_in(&component, edges))
            .collect();
        cycles.sort();
        for cycle in cycles {
            let name = |at: &usize| vertices[*at].step.id.to_string();
            let mut names: Vec<String> = cycle.iter().take(SHOWN_MAX).map(name).collect();
            let more = cycle.len().saturating_sub(SHOWN_MAX);
            names.extend((more > 0).then(|| format!("({more} more)")));
            names.push(name(&cycle[0]));
            let message = format!("steps wait for each other: {}", names.join(" needs "));
            let mut one = self.mistake(Code::Cycle, vertices[cycle[0]].span, message);
            let others = cycle[1..]
                .iter()
                .take(SHOWN_MAX)
                .map(|at| Label { span: vertices[*at].span, text: "and this one".into() });
            one.labels.extend(others);
            self.found.push(one.help("remove one of these needs; reading an output is a need, too"));
        }
    }

    /// Notes every pivot that another one stands before. Steps of a cycle have no place in the order and are left out.
    fn report_pivots(&mut self, vertices: &[Vertex], needs: &[Vec<usize>], order: &[usize]) {
        // The pivot nearest before each step, itself included.
        let mut last: Vec<Option<usize>> = vec![None; vertices.len()];
        for at in order {
            let before = needs[*at].iter().find_map(|needed| last[*needed]);
            let is_pivot = vertices[*at].lasting.pivot.is_some();
            if let (Some(before), true) = (before, is_pivot) {
                self.report_two_pivots(vertices, before, *at);
            }
            last[*at] = if is_pivot { Some(*at) } else { before };
        }
    }

    fn report_two_pivots(&mut self, vertices: &[Vertex], one: usize, other: usize) {
        let [first, second] = [one.min(other), one.max(other)].map(|at| &vertices[at]);
        let [Some(first_span), Some(second_span)] = [first.lasting.pivot, second.lasting.pivot] else {
            return;
        };
        let message = format!("`{}` and `{}` are pivots on one branch", first.step.id, second.step.id);
        let inside = [first, second].into_iter().filter_map(|at| at.pivot_inside.clone());
        let one = self
            .mistake(Code::Pivots, second_span, message)
            .and_at(first_span, "the first one")
            .and_elsewhere(&inside.collect::<Vec<_>>());
        self.found.push(one.help("after its pivot a run only goes forward, so there is at most one"));
    }

    /// Notes every scope that takes away, at the end of a run that went well, what something stands on that stays.
    fn report_foundations(&mut self, vertices: &[Vertex], needs: &[Vec<usize>], order: &[usize]) {
        // One such scope that each step stands on, itself included; and those that are told.
        let (mut under, mut told): (Vec<Option<usize>>, _) = (vec![None; vertices.len()], BTreeSet::new());
        for at in order {
            let below = needs[*at].iter().find_map(|needed| under[*needed]);
            if let (Some(below), Some(place)) = (below, vertices[*at].lasting.place())
                && told.insert(below)
            {
                self.report_foundation(&vertices[below], &vertices[*at], place);
            }
            under[*at] = below.or(vertices[*at].foundation.map(|_| *at));
        }
    }

    fn report_foundation(&mut self, below: &Vertex, above: &Vertex, (span, what): (Span, &'static str)) {
        let Some(scope) = below.foundation else { return };
        let (below, above) = (&below.step.id, &above.step.id);
        let message = format!("a scope ends with its graph: `{below}` would be taken away under `{above}`");
        let one = self.mistake(Code::Pivots, scope, message).and_at(span, what);
        self.found
            .push(one.help("leave `scope` out: a failure before the pivot undoes the step all the same"));
    }
}

/// For each step those that it needs, by their places in the file, each once.
fn needs(vertices: &[Vertex]) -> Vec<Vec<usize>> {
    let index: BTreeMap<&StepId, usize> =
        vertices.iter().enumerate().map(|(at, vertex)| (&vertex.step.id, at)).collect();
    let of = |vertex: &Vertex| -> BTreeSet<usize> {
        vertex.step.needs.iter().filter_map(|id| index.get(id).copied()).collect()
    };
    vertices.iter().map(|vertex| of(vertex).into_iter().collect()).collect()
}

/// From each step to those that it needs.
fn edges(needs: &[Vec<usize>]) -> DiGraph<usize, ()> {
    let mut edges = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..needs.len()).map(|at| edges.add_node(at)).collect();
    for (at, needs) in needs.iter().enumerate() {
        for needed in needs {
            edges.add_edge(nodes[at], nodes[*needed], ());
        }
    }
    edges
}

/// A way round inside a strongly connected component, from its first step in the file.
fn cycle_in(component: &[NodeIndex], edges: &DiGraph<usize, ()>) -> Vec<usize> {
    let inside: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let start = *inside.first().expect("a component has members");
    let mut way = vec![start];
    // Depth first along members that lead back to the start; a component has such a way from everywhere.
    let mut seen = BTreeSet::from([start]);
    while let Some(last) = way.last().copied() {
        let mut next: Vec<NodeIndex> = edges.neighbors(last).filter(|node| inside.contains(node)).collect();
        next.sort();
        if next.contains(&start) {
            break;
        }
        match next.into_iter().find(|node| seen.insert(*node)) {
            Some(node) => way.push(node),
            None => {
                way.pop();
            }
        }
    }
    way.into_iter().map(NodeIndex::index).collect()
}

/// The first of the file among those whose needs are in place, again and again. Steps of a cycle, and what comes after
/// them, are not in it.
fn in_order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (at, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|needed| waiting[*needed].push(at));
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|at| missing[*at] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for later in &waiting[at] {
            missing[*later] -= 1;
            if missing[*later] == 0 {
                ready.insert(*later);
            }
        }
    }
    order
}

/// The steps in that order. Those that are not in it come last, in file order; they are never run.
fn arranged(vertices: Vec<Vertex>, order: &[usize]) -> Vec<Step> {
    let mut rest: Vec<Option<Step>> = vertices.into_iter().map(|vertex| Some(vertex.step)).collect();
    let mut steps: Vec<Step> = order.iter().filter_map(|at| rest[*at].take()).collect();
    steps.extend(rest.into_iter().flatten());
    steps
}
