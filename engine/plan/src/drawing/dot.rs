//! For Graphviz. An edge from or to a foreach step ends at its frame (`lhead`, `ltail`), because only nodes have edges.

use std::fmt::Write;

use super::labels::{self, Numbered, numbered};
use crate::check::Outline;
use crate::plan::Body;

/// The steps as a Graphviz document, for `dot`.
#[must_use]
pub fn dot(outline: &Outline) -> String {
    let mut picture = Picture { text: String::new(), depth: 0 };
    let mut next = 0;
    picture.line("digraph workflow {");
    picture.depth += 1;
    picture.line("compound=true;");
    picture.line("node [shape=box, style=rounded];");
    if !outline.policies.is_empty() {
        picture.line(&format!("label={}; labelloc=t;", quoted(&labels::policies(outline).join("\n"))));
    }
    picture.level(&numbered(&outline.graph, &mut next));
    for (id, title, graph) in labels::blocks(outline) {
        picture.block(&format!("cluster_{id}"), title, &numbered(graph, &mut next));
    }
    picture.depth -= 1;
    picture.line("}");
    picture.text
}

struct Picture {
    text: String,
    depth: usize,
}

impl Picture {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{}{line}", "  ".repeat(self.depth)).expect("writing into a string cannot fail");
    }

    fn level(&mut self, steps: &[Numbered<'_>]) {
        steps.iter().for_each(|step| self.node(step));
        steps.iter().for_each(|step| self.edges(step, steps));
    }

    fn node(&mut self, at: &Numbered<'_>) {
        match &at.step.body {
            Body::Action(action) => {
                let (pivot, frame) = if action.pivot { ("\npivot", ", peripheries=2") } else { ("", "") };
                let label = quoted(&format!("{}{pivot}", labels::action(at.step, action).join("\n")));
                self.line(&format!("n{} [label={label}{frame}];", at.number));
            }
            Body::Wait(wait) => {
                let label = quoted(&labels::wait(at.step, wait).join("\n"));
                self.line(&format!("n{} [label={label}];", at.number));
            }
            Body::Question(question) => {
                let label = quoted(&labels::question(at.step, question).join("\n"));
                self.line(&format!("n{} [label={label}];", at.number));
            }
            Body::Foreach(foreach) => {
                self.frame(&cluster(at), &labels::foreach(at.step, foreach), at);
            }
            Body::Workflow(child) => self.frame(&cluster(at), &labels::child(at.step, child), at),
        }
    }

    fn frame(&mut self, name: &str, label: &str, at: &Numbered<'_>) {
        self.open(name, label);
        self.level(&at.nested);
        for (id, title, steps) in &at.blocks {
            self.block(&format!("{name}_{id}"), title, steps);
        }
        self.close();
    }

    fn block(&mut self, name: &str, label: &str, steps: &[Numbered<'_>]) {
        self.open(name, label);
        self.level(steps);
        self.close();
    }

    fn open(&mut self, name: &str, label: &str) {
        self.line(&format!("subgraph {name} {{"));
        self.depth += 1;
        self.line(&format!("label={};", quoted(label)));
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    fn edges(&mut self, to: &Numbered<'_>, steps: &[Numbered<'_>]) {
        for from in steps.iter().filter(|from| to.step.needs.contains(&from.step.id)) {
            let mut attributes =
                vec![format!("label={}", quoted(&labels::edge(to.step, &from.step.id).join("\n")))];
            if !from.nested.is_empty() {
                attributes.push(format!("ltail={}", cluster(from)));
            }
            if !to.nested.is_empty() {
                attributes.push(format!("lhead={}", cluster(to)));
            }
            self.line(&format!("n{} -> n{} [{}];", last(from), first(to), attributes.join(", ")));
        }
    }
}

fn cluster(at: &Numbered<'_>) -> String {
    format!("cluster_{}", at.number)
}

/// A node at the upper edge of what is drawn for a step.
fn first(at: &Numbered<'_>) -> usize {
    at.nested.first().map_or(at.number, first)
}

/// A node at its lower edge.
fn last(at: &Numbered<'_>) -> usize {
    at.nested.last().map_or(at.number, last)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
