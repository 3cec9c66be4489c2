//! The functions that expressions have. The list is the language's promise: a function of Rhai that is not on it is
//! refused, so that a newer Rhai widens nothing by itself.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

/// Every function and method an expression may call, by name.
pub const FUNCTIONS: [&str; 43] = [
    "abs",
    "all",
    "always",
    "bits_per_second",
    "bytes",
    "ceiling",
    "contains",
    "duration",
    "ends_with",
    "failed",
    "filter",
    "find",
    "floor",
    "get",
    "index_of",
    "is_empty",
    "keys",
    "len",
    "map",
    "max",
    "min",
    "now",
    "parse_float",
    "parse_int",
    "range",
    "rate",
    "reduce",
    "round",
    "seconds",
    "size",
    "skipped",
    "some",
    "split",
    "starts_with",
    "sub_string",
    "succeeded",
    "time",
    "to_float",
    "to_int",
    "to_lower",
    "to_string",
    "to_upper",
    "values",
];

/// What Rhai itself puts into an AST for a closure that captures.
pub(crate) const CURRY: &str = "curry";

/// A name in a call that is not in [`FUNCTIONS`], and where.
pub(crate) fn unknown(node: &ASTNode<'_>) -> Option<(String, Position)> {
    let (call, position): (&FnCallExpr, Position) = match node {
        ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)) => (call, *position),
        ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, *position),
        _ => return None,
    };
    let name = call.name.as_str();
    let known = call.op_token.is_some() || name == CURRY || FUNCTIONS.contains(&name);
    (!known).then(|| (name.to_owned(), position))
}

/// The function whose name is nearest to `name`, if one is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    FUNCTIONS.into_iter().min_by_key(distance).filter(|known| distance(known) <= 1 + name.len() / 4)
}
