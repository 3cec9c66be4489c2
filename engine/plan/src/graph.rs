//! Edges between steps: order, cycles, pivots.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::diagnostic::{Code, Label};
use longhaul_model::ids::StepId;
use longhaul_model::source::Span;
use petgraph::algo::{has_path_connecting, tarjan_scc};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::check::Checker;
use crate::plan::{Graph, Step};

/// A step with its edges, before it has its place in the order.
pub(crate) struct Vertex {
    pub(crate) step: Step,
    /// Where its id stands.
    pub(crate) span: Span,
    /// Where it says that it is a pivot, or one of its nested steps does.
    pub(crate) pivot: Option<Span>,
}

impl Checker<'_> {
    /// Puts steps into an order in which each comes after those it needs, file order among the rest.
    pub(crate) fn order(&mut self, vertices: Vec<Vertex>) -> Graph {
        let edges = edges(&vertices);
        self.report_cycles(&vertices, &edges);
        self.report_pivots(&vertices, &edges);
        Graph { steps: in_order(vertices) }
    }

    fn report_cycles(&mut self, vertices: &[Vertex], edges: &DiGraph<usize, ()>) {
        let mut cycles: Vec<Vec<usize>> = tarjan_scc(edges)
            .into_iter()
            .filter(|component| component.len() > 1)
            .map(|component| cycle_in(&component, edges))
            .collect();
        cycles.sort();
        for cycle in cycles {
            let name = |at: &usize| vertices[*at].step.id.to_string();
            let mut names: Vec<String> = cycle.iter().map(name).collect();
            names.push(name(&cycle[0]));
            let message = format!("steps wait for each other: {}", names.join(" needs "));
            let mut one = self.mistake(Code::Cycle, vertices[cycle[0]].span, message);
            let others =
                cycle[1..].iter().map(|at| Label { span: vertices[*at].span, text: "and this one".into() });
            one.labels.extend(others);
            self.found.push(one.help("remove one of these needs; reading an output is a need, too"));
        }
    }

    fn report_pivots(&mut self, vertices: &[Vertex], edges: &DiGraph<usize, ()>) {
        let pivots: Vec<(usize, Span)> =
            vertices.iter().enumerate().filter_map(|(at, vertex)| Some((at, vertex.pivot?))).collect();
        for (index, (first, first_span)) in pivots.iter().enumerate() {
            for (second, second_span) in &pivots[index + 1..] {
                let connected = |from: usize, to: usize| {
                    has_path_connecting(edges, NodeIndex::new(from), NodeIndex::new(to), None)
                };
                if connected(*first, *second) || connected(*second, *first) {
                    let (a, b) = (&vertices[*first].step.id, &vertices[*second].step.id);
                    let message = format!("`{a}` and `{b}` are pivots on one branch");
                    let one = self
                        .mistake(Code::Pivots, *second_span, message)
                        .and_at(*first_span, "the first one");
                    self.found
                        .push(one.help("after its pivot a run only goes forward, so there is at most one"));
                }
            }
        }
    }
}

/// From each step to those that it needs.
fn edges(vertices: &[Vertex]) -> DiGraph<usize, ()> {
    let mut edges = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..vertices.len()).map(|at| edges.add_node(at)).collect();
    let index = index(vertices);
    for (at, vertex) in vertices.iter().enumerate() {
        for needed in vertex.step.needs.iter().filter_map(|id| index.get(id)) {
            edges.add_edge(nodes[at], nodes[*needed], ());
        }
    }
    edges
}

/// Where in the file's order each step stands.
fn index(vertices: &[Vertex]) -> BTreeMap<&StepId, usize> {
    vertices.iter().enumerate().map(|(at, vertex)| (&vertex.step.id, at)).collect()
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

/// The first of the file among those whose needs are in place, again and again. Steps of a cycle come last, in file
/// order; they are never run.
fn in_order(vertices: Vec<Vertex>) -> Vec<Step> {
    let index = index(&vertices);
    let mut missing: Vec<usize> = Vec::with_capacity(vertices.len());
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); vertices.len()];
    for (at, vertex) in vertices.iter().enumerate() {
        let needs: BTreeSet<usize> =
            vertex.step.needs.iter().filter_map(|id| index.get(id).copied()).collect();
        missing.push(needs.len());
        needs.into_iter().for_each(|needed| waiting[needed].push(at));
    }
    let mut ready: BTreeSet<usize> = (0..vertices.len()).filter(|at| missing[*at] == 0).collect();
    let mut rest: Vec<Option<Step>> = vertices.into_iter().map(|vertex| Some(vertex.step)).collect();
    let mut steps = Vec::with_capacity(rest.len());
    while let Some(at) = ready.pop_first() {
        steps.extend(rest[at].take());
        for later in &waiting[at] {
            missing[*later] -= 1;
            if missing[*later] == 0 {
                ready.insert(*later);
            }
        }
    }
    steps.extend(rest.into_iter().flatten());
    steps
}
