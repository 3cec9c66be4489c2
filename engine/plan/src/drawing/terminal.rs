//! For the terminal: steps one below the other, each after those it needs, with lines from each to those that wait for
//! it; what does not fit into a line of boxes, such as ten branches side by side, still fits beside ten lines.
//!
//! A line that only repeats a longer way is left out; the reasons are all said beside the step.

use std::collections::BTreeSet;

use longhaul_model::ids::StepId;
use renderdag::{Ancestor, GraphRowRenderer, Renderer};

use super::labels;
use crate::check::Outline;
use crate::plan::{Body, Graph, Step};

/// In front of what is inside a foreach step.
const FRAME: &str = "┆ ";

/// The steps as text, for lines of 80 characters unless a name or an expression is longer.
#[must_use]
pub fn terminal(outline: &Outline) -> String {
    let mut text = drawing(&outline.graph);
    for (_, title, graph) in labels::blocks(outline) {
        text.push_str(&format!("\n{title}:\n{}", drawing(graph)));
    }
    for line in labels::policies(outline) {
        text.push_str(&format!("\n{line}"));
    }
    if !outline.policies.is_empty() {
        text.push('\n');
    }
    if has_pivot(&outline.graph) {
        text.push_str("\n◆ once a pivot has started, a run only goes forward\n");
    }
    text
}

fn drawing(graph: &Graph) -> String {
    let mut rows = GraphRowRenderer::new().output().with_min_row_height(2).build_box_drawing();
    let waiting = waiting(graph);
    let mut text = String::new();
    for (at, step) in graph.steps.iter().enumerate() {
        let below = waiting[at].iter().map(|later| Ancestor::Parent(*later)).collect();
        text.push_str(&rows.next_row(at, below, glyph(step).to_owned(), caption(step)));
    }
    text.trim_end().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// For each step those that wait for it and are not waiting for it by way of another.
fn waiting(graph: &Graph) -> Vec<Vec<usize>> {
    let index = |id: &StepId| graph.steps.iter().position(|step| step.id == *id);
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    let mut waiting = vec![Vec::new(); graph.steps.len()];
    for (at, step) in graph.steps.iter().enumerate() {
        // Needs stand before the step that has them.
        let needs: BTreeSet<usize> = step.needs.iter().filter_map(index).filter(|need| *need < at).collect();
        let around: BTreeSet<usize> = needs.iter().flat_map(|need| before[*need].iter().copied()).collect();
        for need in needs.difference(&around) {
            waiting[*need].push(at);
        }
        before.push(needs.union(&around).copied().collect());
    }
    waiting
}

fn glyph(step: &Step) -> &'static str {
    match &step.body {
        Body::Action(action) if action.pivot => "◆",
        Body::Action(_) | Body::Wait(_) | Body::Question(_) => "○",
        Body::Foreach(_) | Body::Workflow(_) => "◇",
    }
}

/// What stands beside a step: what it does, why it waits, and what is inside it.
fn caption(step: &Step) -> String {
    let mut lines = Vec::new();
    match &step.body {
        Body::Action(action) => {
            let pivot = if action.pivot { ", pivot" } else { "" };
            lines.push(format!("{}{pivot}", labels::in_one_line(&labels::action(step, action))));
        }
        Body::Wait(wait) => lines.push(labels::in_one_line(&labels::wait(step, wait))),
        Body::Question(question) => {
            let mut all = labels::question(step, question);
            let rest = all.split_off(2);
            lines.push(labels::in_one_line(&all));
            lines.extend(rest);
        }
        Body::Foreach(foreach) => lines.push(labels::foreach(step, foreach)),
        Body::Workflow(child) => lines.push(labels::child(step, child)),
    }
    for needed in &step.needs {
        lines.push(format!("after {needed}: {}", labels::edge(step, needed).join("; ")));
    }
    lines.extend(inside(step).lines().map(|line| format!("{FRAME}{line}").trim_end().to_owned()));
    lines.join("\n")
}

/// What is drawn of the steps inside another one.
fn inside(step: &Step) -> String {
    match &step.body {
        Body::Action(_) | Body::Wait(_) | Body::Question(_) => String::new(),
        Body::Foreach(foreach) => drawing(&foreach.graph),
        Body::Workflow(child) => {
            let blocks =
                labels::blocks_of(child).map(|(_, title, graph)| format!("{title}:\n{}", drawing(graph)));
            std::iter::once(drawing(&child.graph)).chain(blocks).collect()
        }
    }
}

fn has_pivot(graph: &Graph) -> bool {
    graph.steps.iter().any(|step| match &step.body {
        Body::Action(action) => action.pivot,
        Body::Wait(_) | Body::Question(_) => false,
        Body::Foreach(foreach) => has_pivot(&foreach.graph),
        Body::Workflow(child) => has_pivot(&child.graph),
    })
}
