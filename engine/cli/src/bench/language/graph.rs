//! Generated graphs, as a workflow of ours and as one of GitHub Actions: the same steps, the same edges, the same values
//! read from other steps.

use std::fmt::Write as _;

/// A graph of so many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) shape: Shape,
    pub(super) steps: usize,
}

/// How the steps need each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Rows of ten; each step reads from the step above it and needs its neighbour there, too.
    Rows,
    /// Each step reads from the one before.
    Chain,
    /// The last step needs all others.
    FanIn,
    /// One step for each item of a list that long.
    Items,
}

/// Steps of a row.
const ROW: usize = 10;

impl Graph {
    /// In words: `10,000 steps in rows of ten`.
    pub(super) fn text(self) -> String {
        let steps = thousands(self.steps);
        match self.shape {
            Shape::Rows => format!("{steps} steps in rows of ten"),
            Shape::Chain => format!("a chain of {steps} steps"),
            Shape::FanIn => format!("a step that needs {steps} others"),
            Shape::Items => format!("a foreach over {steps} items"),
        }
    }

    /// The name of its files.
    pub(super) fn name(self) -> String {
        format!("{:?}-{}", self.shape, self.steps).to_lowercase()
    }

    /// The steps that a step reads from, and those that it only needs.
    fn edges(self, step: usize) -> (Option<usize>, Vec<usize>) {
        match self.shape {
            Shape::Rows if step < ROW => (None, Vec::new()),
            Shape::Rows => {
                let above = step - ROW;
                let beside = if step % ROW == ROW - 1 { above - 1 } else { above + 1 };
                (Some(above), vec![beside])
            }
            Shape::Chain => (step.checked_sub(1), Vec::new()),
            Shape::FanIn if step + 1 == self.steps => (None, (0..step).collect()),
            Shape::FanIn | Shape::Items => (None, Vec::new()),
        }
    }

    /// A workflow of ours.
    pub(super) fn ours(self) -> String {
        let mut text = String::from(
            "apiVersion: longhaul/v1\nkind: Workflow\nname: generated\nversion: 1.0.0\n\
             inputs:\n  ttl: { type: integer, default: 5, description: How long names may be kept }\n",
        );
        if self.shape == Shape::Items {
            let vms: Vec<String> = (0..self.steps).map(|item| format!("vm-{item}")).collect();
            let _ = write!(
                text,
                "  vms:\n    type: array\n    items: {{ type: string, format: vm-id }}\n    default: [{}]\n\
                 steps:\n  each:\n    foreach: ${{{{ inputs.vms }}}}\n    as: vm\n    max_parallel: 4\n    steps:\n      \
                 prepare:\n        uses: gtm.prepare@1\n        with: {{ vm: \"${{{{ vm }}}}\", ttl: \"${{{{ inputs.ttl }}}}\" }}\n",
                vms.join(", ")
            );
            return text;
        }
        text.push_str("steps:\n");
        for step in 0..self.steps {
            self.step(step, &mut text);
        }
        text
    }

    fn step(self, step: usize, text: &mut String) {
        let (read, needed) = self.edges(step);
        let ttl =
            read.map_or_else(|| "inputs.ttl".to_owned(), |read| format!("steps.s{read}.outputs.ttl_seconds"));
        let _ = write!(text, "  s{step}:\n{}", needs("needs", read, &needed));
        let _ = write!(
            text,
            "    uses: gtm.prepare@1\n    with: {{ vm: vm-{step}, ttl: \"${{{{ {ttl} }}}}\" }}\n    timeout: 5m\n"
        );
    }

    /// The same graph for GitHub Actions; nothing where the format has no such construct.
    pub(super) fn theirs(self) -> Option<String> {
        if self.shape == Shape::Items {
            return None;
        }
        let mut text = String::from(
            "name: generated\non:\n  workflow_dispatch:\n    inputs:\n      ttl: { type: string, default: '5', description: How long names may be kept }\njobs:\n",
        );
        for step in 0..self.steps {
            let (read, needed) = self.edges(step);
            let ttl = read
                .map_or_else(|| "inputs.ttl".to_owned(), |read| format!("needs.s{read}.outputs.ttl_seconds"));
            let _ = write!(text, "  s{step}:\n    runs-on: ubuntu-latest\n{}", needs("needs", read, &needed));
            let _ = write!(
                text,
                "    outputs: {{ ttl_seconds: \"${{{{ steps.prepare.outputs.ttl_seconds }}}}\" }}\n    \
                 timeout-minutes: 5\n    steps:\n      - id: prepare\n        run: ./prepare\n        \
                 env: {{ VM: vm-{step}, TTL: \"${{{{ {ttl} }}}}\" }}\n"
            );
        }
        Some(text)
    }
}

/// The line that says what a step needs; what it reads is written, too, for the other format asks for it.
fn needs(key: &str, read: Option<usize>, needed: &[usize]) -> String {
    let all: Vec<String> = read.iter().chain(needed).map(|step| format!("s{step}")).collect();
    if all.is_empty() { String::new() } else { format!("    {key}: [{}]\n", all.join(", ")) }
}

/// `10000` as `10,000`.
fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

#[cfg(test)]
mod tests {
    use longhaul_model::document::Document;
    use longhaul_model::ids::StepId;
    use longhaul_model::source::Source;
    use serde_json::Map;

    use super::*;

    const SHAPES: [Shape; 4] = [Shape::Rows, Shape::Chain, Shape::FanIn, Shape::Items];

    /// Every generated workflow is right, has as many steps as it says, and both formats have the same edges.
    #[test]
    fn generated_workflows_are_right() {
        for shape in SHAPES {
            let graph = Graph { shape, steps: 40 };
            let document = Document::parse(&Source::new("w.yaml", &graph.ours())).unwrap();
            let plan = longhaul_plan::check(&document, &Map::new(), &longhaul_steps::catalogue()).unwrap();
            let steps = if shape == Shape::Items { 1 } else { 40 };
            assert_eq!(plan.graph.steps.len(), steps, "{shape:?}");
            let Some(theirs) = graph.theirs() else { continue };
            let theirs = Document::parse(&Source::new("g.yaml", &theirs)).unwrap().root.to_json();
            for step in &plan.graph.steps {
                let needs: Vec<&str> = step.needs.iter().map(StepId::as_str).collect();
                let job = &theirs["jobs"][step.id.as_str()];
                let theirs: Vec<&str> =
                    job["needs"].as_array().into_iter().flatten().filter_map(|id| id.as_str()).collect();
                assert_eq!(needs, theirs, "{shape:?} {}", step.id);
            }
        }
    }
}
