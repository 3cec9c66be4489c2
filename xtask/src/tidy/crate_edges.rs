//! Which crate may know which: the table in docs/ARCHITECTURE.md is the rule, `cargo metadata` is the fact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::problem::Problem;
use super::sources::Sources;

const TABLE: &str = "docs/ARCHITECTURE.md";
/// Every package of the product is called so.
const PREFIX: &str = "longhaul-";
/// Crates that compute and do nothing else.
const PURE: [&str; 5] = ["model", "expr", "plan", "saga", "sim"];
/// What such a crate may not even reach.
const RUNTIME: &str = "tokio";
/// Packages outside the product, which may know all of it.
const OUTSIDE: [&str; 1] = ["tests"];

/// Which crates a crate may know; `None` means all.
type Allowed = BTreeMap<String, Option<BTreeSet<String>>>;
/// Packages and what they build with.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub(super) fn check(root: &Path, sources: &Sources) -> Result<Vec<Problem>> {
    let metadata =
        MetadataCommand::new().current_dir(root).exec().context("ask cargo for the crate graph")?;
    let allowed = read_table(sources.get(TABLE).with_context(|| format!("read {TABLE}"))?);
    let mut problems = judge(&allowed, &own_edges(&metadata));
    problems.extend(judge_pure(&package_graph(&metadata)));
    Ok(problems)
}

/// Rows of the form "| `run` | what it is | model, expr |" below the heading "Crates".
fn read_table(text: &str) -> Allowed {
    let section = text.split("\n## ").find(|section| section.starts_with("Crates")).unwrap_or_default();
    let mut allowed = Allowed::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        if let [_, name, _, knows, _] = cells[..] {
            allowed.insert(name.trim_matches('`').to_owned(), read_knows(knows));
        }
    }
    allowed
}

fn read_knows(cell: &str) -> Option<BTreeSet<String>> {
    match cell {
        "everything" => None,
        "nothing of ours" => Some(BTreeSet::new()),
        list => Some(
            list.split(',').filter_map(|word| word.split_whitespace().next()).map(str::to_owned).collect(),
        ),
    }
}

/// Every edge between two of our packages, of any kind, by short name.
fn own_edges(metadata: &Metadata) -> Vec<(String, Option<String>)> {
    let mut edges = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(from) = package.name.strip_prefix(PREFIX) else { continue };
        edges.push((from.to_owned(), None));
        for dependency in &package.dependencies {
            edges.extend(
                dependency.name.strip_prefix(PREFIX).map(|to| (from.to_owned(), Some(to.to_owned()))),
            );
        }
    }
    edges
}

fn judge(allowed: &Allowed, edges: &[(String, Option<String>)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (from, to) in edges.iter().filter(|(from, _)| !OUTSIDE.contains(&from.as_str())) {
        match (allowed.get(from), to) {
            (None, None) => {
                problems.push(Problem::new(TABLE, 0, format!("has no row for the crate `{from}`")));
            }
            (Some(Some(knows)), Some(to)) if !knows.contains(to) => {
                let text = format!("`{from}` may not know `{to}` ({TABLE}, \"Crates\")");
                problems.push(Problem::new(&format!("engine/{from}/Cargo.toml"), 0, text));
            }
            _ => {}
        }
    }
    problems
}

/// What every package builds with, by name; versions of one package are taken together.
fn package_graph(metadata: &Metadata) -> Graph<'_> {
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut graph = Graph::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let normal = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        let to = normal.filter_map(|dep| names.get(&dep.pkg).copied());
        if let Some(name) = names.get(&node.id) {
            graph.entry(name).or_default().extend(to);
        }
    }
    graph
}

fn judge_pure(graph: &Graph<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pure in PURE {
        let package = format!("{PREFIX}{pure}");
        if reachable(graph, &package).contains(RUNTIME) {
            let text = format!("`{pure}` reaches {RUNTIME}; `cargo tree -p {package} -i {RUNTIME}` says how");
            problems.push(Problem::new(&format!("engine/{pure}/Cargo.toml"), 0, text));
        }
    }
    problems
}

fn reachable<'a>(graph: &Graph<'a>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        open.extend(graph.get(next).into_iter().flatten().filter(|to| seen.insert(to)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n\n## Words\n\n| `run` | x | y |\n\n## Crates\n\n| folder | is | may know |\n|---|---|---|\n\
        | `model` | documents | nothing of ours |\n| `steps` | actions | model, saga (report only) |\n\
        | `cli` | the binary | everything |\n\n## Next\n| `x` | y | z |\n";

    fn found(from: &str, to: &str) -> Vec<String> {
        let edges = [(from.to_owned(), None), (from.to_owned(), (!to.is_empty()).then(|| to.to_owned()))];
        judge(&read_table(PAGE), &edges).iter().map(ToString::to_string).collect()
    }

    /// An edge that the table does not allow is told, and a crate that has no row; what the table allows is not.
    #[test]
    fn judges_edges() {
        assert!(found("model", "saga")[0].contains("`model` may not know `saga`"));
        assert!(found("steps", "cli")[0].contains("`steps` may not know `cli`"));
        assert!(
            found("steps", "saga").is_empty()
                && found("cli", "steps").is_empty()
                && found("tests", "cli").is_empty()
        );
        assert!(found("new", "").iter().any(|problem| problem.contains("no row for the crate `new`")));
    }

    /// A pure crate that reaches the runtime through others is told; a circle ends.
    #[test]
    fn follows_edges() {
        let mut graph = Graph::from([
            ("longhaul-saga", BTreeSet::from(["serde", "longhaul-plan"])),
            ("longhaul-plan", BTreeSet::from(["helper", "longhaul-saga"])),
            ("longhaul-run", BTreeSet::from(["tokio"])),
        ]);
        assert_eq!(judge_pure(&graph), []);
        graph.insert("helper", BTreeSet::from(["tokio"]));
        let found: Vec<_> = judge_pure(&graph).into_iter().map(|problem| problem.path).collect();
        assert_eq!(found, ["engine/plan/Cargo.toml", "engine/saga/Cargo.toml"]);
    }
}
