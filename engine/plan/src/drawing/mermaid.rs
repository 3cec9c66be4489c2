//! For Mermaid, which many web pages and editors draw by themselves.

use std::fmt::Write;

use super::labels::{self, Numbered, numbered};
use crate::check::Outline;
use crate::plan::Body;

/// The steps as a Mermaid flowchart.
#[must_use]
pub fn mermaid(outline: &Outline) -> String {
    let mut picture = Picture { text: String::new(), depth: 0 };
    let mut next = 0;
    picture.line("flowchart TD");
    picture.depth += 1;
    for (number, policy) in labels::policies(outline).iter().enumerate() {
        picture.line(&format!("policy{number}[/{}/]", quoted(policy)));
    }
    picture.level(&numbered(&outline.graph, &mut next));
    for (id, title, graph) in labels::blocks(outline) {
        picture.block(id, title, &numbered(graph, &mut next));
    }
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
        for to in steps {
            for from in steps.iter().filter(|from| to.step.needs.contains(&from.step.id)) {
                let label = quoted(&labels::edge(to.step, &from.step.id).join("\n"));
                self.line(&format!("n{} -->|{label}| n{}", from.number, to.number));
            }
        }
    }

    fn node(&mut self, at: &Numbered<'_>) {
        match &at.step.body {
            Body::Action(action) => {
                let (open, close, pivot) =
                    if action.pivot { ("[[", "]]", "\npivot") } else { ("(", ")", "") };
                let label = quoted(&format!("{}{pivot}", labels::action(at.step, action).join("\n")));
                self.line(&format!("n{}{open}{label}{close}", at.number));
            }
            Body::Wait(wait) => {
                let label = quoted(&labels::wait(at.step, wait).join("\n"));
                self.line(&format!("n{}({label})", at.number));
            }
            Body::Question(question) => {
                let label = quoted(&labels::question(at.step, question).join("\n"));
                self.line(&format!("n{}({label})", at.number));
            }
            Body::Foreach(foreach) => {
                self.frame(&format!("n{}", at.number), &labels::foreach(at.step, foreach), at);
            }
            Body::Workflow(child) => {
                self.frame(&format!("n{}", at.number), &labels::child(at.step, child), at);
            }
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
        self.line(&format!("subgraph {name} [{}]", quoted(label)));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("end");
    }
}

/// Mermaid has no escapes but those of HTML, with `#` for `&`.
fn quoted(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '#' | '"' | '<' | '>' | '&' | '`' => {
                write!(safe, "#{};", u32::from(c)).expect("writing into a string cannot fail");
            }
            '\n' => safe.push_str("<br/>"),
            other => safe.push(other),
        }
    }
    format!("\"{safe}\"")
}
