//! The functions that expressions have. The table is the language's promise: a function of Rhai that is not in it is
//! refused, so that a newer Rhai widens nothing by itself; and what the reference says of a function, a test evaluates.

mod library;
mod reference;
mod table;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use crate::Shape;

pub(crate) use library::register;
pub use reference::reference;
#[cfg(test)]
pub(crate) use reference::{EXAMPLE_NOW, example_scope};
pub use table::FUNCTIONS;

/// A function or method that an expression may call.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it works on.
    pub group: Group,
    /// The ways to call it, with types.
    pub signatures: &'static [&'static str],
    /// What it does, a sentence.
    pub means: &'static str,
    /// An expression that calls it, without `${{ }}`.
    pub example: &'static str,
    /// The example's value, as JSON.
    pub value: &'static str,
    /// What its value is, whatever it is given; `Any` where that depends.
    pub(crate) shape: Shape,
}

/// What a function works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// How the run stands.
    Run,
    /// Lists and maps.
    Lists,
    /// Text.
    Text,
    /// Numbers.
    Numbers,
    /// Times, durations, sizes and rates.
    Quantities,
}

impl Group {
    /// Every group, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Run, Self::Lists, Self::Text, Self::Numbers, Self::Quantities];

    /// What the group is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Run => "The run",
            Self::Lists => "Lists and maps",
            Self::Text => "Text",
            Self::Numbers => "Numbers",
            Self::Quantities => "Times, durations, sizes and rates",
        }
    }
}

/// What Rhai itself puts into an AST for a closure that captures.
pub(crate) const CURRY: &str = "curry";

/// A name in a call that is none of [`FUNCTIONS`], and where.
pub(crate) fn unknown(node: &ASTNode<'_>) -> Option<(String, Position)> {
    let (call, position): (&FnCallExpr, Position) = match node {
        ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)) => (call, *position),
        ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, *position),
        _ => return None,
    };
    let name = call.name.as_str();
    let known = call.op_token.is_some() || name == CURRY || !is_unknown(name);
    (!known).then(|| (name.to_owned(), position))
}

/// Whether a name is none of [`FUNCTIONS`].
pub(crate) fn is_unknown(name: &str) -> bool {
    named(name).is_none()
}

fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// What can be said of the value of a call.
pub(crate) fn shape_of(name: &str) -> Shape {
    named(name).map_or(Shape::Any, |function| function.shape.clone())
}

/// Functions that other engines have, and what says the same here.
const FOREIGN: [(&str, &str); 15] = [
    ("success", "succeeded(\"STEP\")"),
    ("successful", "succeeded(\"STEP\")"),
    ("failure", "failed(\"STEP\")"),
    ("startsWith", "TEXT.starts_with(TEXT)"),
    ("endsWith", "TEXT.ends_with(TEXT)"),
    ("length", "LIST.len()"),
    ("size_of", "LIST.len()"),
    ("toLower", "TEXT.to_lower()"),
    ("lower", "TEXT.to_lower()"),
    ("toUpper", "TEXT.to_upper()"),
    ("upper", "TEXT.to_upper()"),
    ("any", "LIST.some(|item| …)"),
    ("indexOf", "LIST.index_of(VALUE)"),
    ("asInt", "parse_int(TEXT)"),
    ("asFloat", "parse_float(TEXT)"),
];

/// The function that says what one of another engine says, as it is called; else the one whose name is nearest to `name`, if
/// one is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    if let Some((_, ours)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return Some(ours);
    }
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let names = FUNCTIONS.iter().map(|function| function.name);
    names.min_by_key(distance).filter(|known| distance(known) <= 1 + name.len() / 4)
}

#[cfg(test)]
mod tests;
