//! The functions as a page: `docs/reference/functions.md`.

use std::fmt::Write as _;

use longhaul_model::site::Sight;
use serde_json::{Value, json};

use super::{FUNCTIONS, Group};
use crate::{Scope, limits};

/// What time it is in the examples.
pub(crate) const EXAMPLE_NOW: &str = "2026-08-30T06:00:00Z";

/// The same in Unix milliseconds.
const EXAMPLE_NOW_UNIX_MS: u64 = 1_788_069_600_000;

/// What the examples read: a run's inputs and two of its steps.
pub(crate) fn example_scope() -> Scope {
    let inputs = json!({
        "vms": ["vm-a", "vm-b", "vm-c"],
        "memory": { "vm-a": "8GiB", "vm-b": "4GiB" },
    });
    let steps = json!({
        "copy": { "status": "succeeded", "outputs": { "rounds": 3 } },
        "dns": { "status": "skipped", "outputs": null },
    });
    let map = |value: Value| match value {
        Value::Object(entries) => entries,
        _ => serde_json::Map::new(),
    };
    Scope {
        inputs: map(inputs),
        steps: map(steps),
        now_unix_ms: Some(EXAMPLE_NOW_UNIX_MS),
        sites: [("tampa".to_owned(), Sight::Up)].into(),
        ..Scope::default()
    }
}

const HEAD: &str = "# Functions of expressions

Generated from the definitions; do not edit. `longhaul functions` shows the same, [expressions](../guide/expressions.md) explains
the language around them.

A function of one value can also be written behind it: `seconds(duration(\"1m\"))` is `duration(\"1m\").seconds()`. None of them
changes what it is given. A quantity (a time, a duration, a size, a rate) is text outside an expression, and its value is shown as
that text.
";

/// The reference as Markdown: every function with its types, an example and the example's value, and the limits.
#[must_use]
pub fn reference() -> String {
    let mut text =
        format!("{HEAD}\nThe examples read these inputs and steps, at {EXAMPLE_NOW}:\n\n```json\n");
    let scope = example_scope();
    let seen = json!({ "inputs": scope.inputs, "steps": scope.steps });
    let _ = writeln!(text, "{}\n```", serde_json::to_string_pretty(&seen).unwrap_or_default());
    for group in Group::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n| function | does | example | value |\n|---|---|---|---|\n",
            group.title()
        );
        for function in FUNCTIONS.iter().filter(|function| function.group == group) {
            let signatures: Vec<String> = function.signatures.iter().map(|it| code(it)).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                signatures.join("<br>"),
                function.means.replace('|', "\\|"),
                code(function.example),
                code(function.value)
            );
        }
    }
    text.push_str("\n## Limits\n\nAn evaluation that reaches one of them is an error, the same in every run and every replay.\n\n");
    text.push_str("| limit | of |\n|---|---|\n");
    for (most, of) in limits() {
        let _ = writeln!(text, "| {most} | {of} |");
    }
    text
}

/// In a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}
