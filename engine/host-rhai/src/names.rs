//! The names that scripts may use. The lists are a promise: what is not on them is refused, so that a newer Rhai widens
//! nothing by itself.

/// Every function and method a script may call besides those it defines and those of expressions.
pub const FUNCTIONS: [&str; 26] = [
    "allow",
    "append",
    "call",
    "clear",
    "debug",
    "dedup",
    "deny",
    "extract",
    "hour",
    "insert",
    "is_empty",
    "minute",
    "pop",
    "print",
    "push",
    "remove",
    "replace",
    "require_approval",
    "reverse",
    "shift",
    "sort",
    "to_array",
    "trim",
    "type_of",
    "warn",
    "weekday",
];

/// Functions of expressions that ask about the steps of a run: policies see those in their view.
const OF_STEPS: [&str; 4] = ["always", "failed", "skipped", "succeeded"];

/// What Rhai itself puts into a closure that captures.
const CURRY: &str = "curry";

/// Every function that a script may call, but for its own.
pub(crate) fn functions<'n>() -> impl Iterator<Item = &'n str> {
    let names = longhaul_expr::FUNCTIONS.iter().map(|function| function.name);
    let of_expressions = names.filter(|name| !OF_STEPS.contains(name));
    FUNCTIONS.into_iter().chain(of_expressions)
}

pub(crate) fn is_function(name: &str) -> bool {
    name == CURRY || functions().any(|known| known == name)
}

/// The fields of a view below this field of it; none of what is not fixed.
pub(crate) fn fields_below(path: &[&str]) -> Option<&'static [&'static str]> {
    match path {
        [] => Some(&["version", "hook", "now", "workflow", "inputs", "run", "plan", "step", "failure"]),
        ["workflow"] => Some(&["name", "version", "sha256"]),
        ["run"] => Some(&["id", "started_by"]),
        ["plan"] => Some(&["steps", "deadline"]),
        ["step"] => Some(&["path", "id", "uses", "does", "effects", "pivot", "params", "items", "outputs"]),
        ["failure"] => Some(&["steps", "done"]),
        _ => None,
    }
}
