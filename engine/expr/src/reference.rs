//! What an expression reads: `inputs.x`, `steps.x.outputs.y`, `run.id`, item variables.
//!
//! Found by walking Rhai's syntax tree. Closures are functions of their own in it: their parameters are not
//! references, and what they capture shows up both where it is captured and, with its path, in their bodies.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use crate::functions::CURRY;

/// The name a reference begins with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// `inputs`
    Inputs,
    /// `steps`
    Steps,
    /// `run`
    Run,
    /// Any other name: an item variable, if there is one of that name.
    Variable(String),
}

impl Root {
    fn of(name: &str) -> Self {
        match name {
            "inputs" => Self::Inputs,
            "steps" => Self::Steps,
            "run" => Self::Run,
            other => Self::Variable(other.to_owned()),
        }
    }
}

/// Something an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it begins with.
    pub root: Root,
    /// The names after it, as far as they are written out: `["x", "outputs", "y"]` of `steps.x.outputs.y[0]`.
    pub path: Vec<String>,
    /// Whether something else is taken where it has no value: it stands before a `??`.
    pub has_default: bool,
    /// The byte range in the parsed text: of all its names where they are joined by dots, else of the first.
    pub at: Range<usize>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = match &self.root {
            Root::Inputs => "inputs",
            Root::Steps => "steps",
            Root::Run => "run",
            Root::Variable(name) => name,
        };
        f.write_str(first)?;
        self.path.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

impl Reference {
    /// The same with the range of all its names, if they stand in `text` joined by dots.
    pub(crate) fn widened(self, text: &str) -> Self {
        let names = self.path.iter().map(|name| 1 + name.len()).sum::<usize>();
        let written = text.get(self.at.end..self.at.end + names);
        let joined: String = self.path.iter().flat_map(|name| [".", name.as_str()]).collect();
        if written == Some(joined.as_str()) {
            Self { at: self.at.start..self.at.end + names, ..self }
        } else {
            self
        }
    }
}

/// Everything the syntax tree reads. `locate` turns a Rhai position into a byte offset of the parsed text.
pub(crate) fn references(ast: &AST, locate: &dyn Fn(Position) -> usize) -> Vec<Reference> {
    // Rhai does not say to which closure a body belongs, so a name is local if any closure has such a parameter. That
    // hides nothing: what a closure captures is read, as an argument of its `curry`, by the expression around it.
    let locals: BTreeSet<&str> = ast
        .iter_fn_def()
        .flat_map(|function| function.params.iter().map(rhai::ImmutableString::as_str))
        .collect();
    let mut found = Vec::new();
    ast.walk(&mut |nodes| {
        let in_closure = !ast.statements().iter().any(|own| stands_in(own, nodes));
        found.extend(read_at(nodes, locate).filter(|read| match &read.root {
            Root::Variable(name) => !(in_closure && locals.contains(name.as_str())),
            Root::Inputs | Root::Steps | Root::Run => true,
        }));
        true
    });
    found
}

fn stands_in(statement: &Stmt, nodes: &[ASTNode<'_>]) -> bool {
    matches!(nodes.first(), Some(ASTNode::Stmt(first)) if std::ptr::eq(*first, statement))
}

/// The reference that the last of `nodes`, its ancestors before it, is; `None` for everything but a variable.
fn read_at(nodes: &[ASTNode<'_>], locate: &dyn Fn(Position) -> usize) -> Option<Reference> {
    let (ASTNode::Expr(Expr::Variable(variable, _, position)), above) = nodes.split_last()? else {
        return None;
    };
    let name = variable.1.as_str();
    let root = Root::of(name);
    let path = match above.last() {
        Some(ASTNode::Expr(Expr::FnCall(call, _)))
            if call.name == CURRY && !matches!(root, Root::Variable(_)) =>
        {
            return None;
        }
        Some(ASTNode::Expr(Expr::Dot(pair, ..) | Expr::Index(pair, ..)))
            if std::ptr::eq(&raw const pair.lhs, expression_of(nodes.last()?)?) =>
        {
            names_after(above.last()?)
        }
        _ => Vec::new(),
    };
    let start = locate(*position);
    Some(Reference { root, path, has_default: has_default(nodes), at: start..start + name.len() })
}

/// Whether one of the nodes stands before the last part of a `??` around it.
fn has_default(nodes: &[ASTNode<'_>]) -> bool {
    nodes.windows(2).any(|pair| match (&pair[0], expression_of(&pair[1])) {
        (ASTNode::Expr(Expr::Coalesce(parts, _)), Some(part)) => {
            parts.last().is_some_and(|last| !std::ptr::eq(last, part))
        }
        (_, _) => false,
    })
}

fn expression_of<'a>(node: &ASTNode<'a>) -> Option<&'a Expr> {
    match node {
        ASTNode::Expr(expression) => Some(expression),
        _ => None,
    }
}

/// The names written after the first one of a chain: Rhai nests `a.b.c` as `a.(b.c)`.
fn names_after(chain: &ASTNode<'_>) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = expression_of(chain);
    while let Some(Expr::Dot(pair, ..) | Expr::Index(pair, ..)) = rest {
        let (name, next) = match &pair.rhs {
            Expr::Dot(inner, ..) | Expr::Index(inner, ..) => (name_of(&inner.lhs), Some(&pair.rhs)),
            last => (name_of(last), None),
        };
        let Some(name) = name else { break };
        names.push(name);
        rest = next;
    }
    names
}

fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Property(property, _) => Some(property.2.to_string()),
        Expr::StringConstant(text, _) => Some(text.to_string()),
        _ => None,
    }
}
