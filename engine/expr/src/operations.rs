//! What operators are given, as far as it stands in the text.

use std::ops::Range;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position};
use serde_json::Value;

use crate::expression::chain_length;
use crate::reference::Reference;

/// The operators whose two sides have to be of one kind to mean anything.
const OPERATORS: [&str; 8] = ["==", "!=", "<", "<=", ">", ">=", "+", "-"];

/// An operator between two values.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// `==`, `!=`, `<`, `<=`, `>`, `>=`, `+` or `-`.
    pub operator: String,
    /// What stands before it, and behind it.
    pub sides: [Operand; 2],
    /// The byte range of the operator in the parsed text.
    pub at: Range<usize>,
}

impl Operation {
    /// Whether it is true or false.
    #[must_use]
    pub fn compares(&self) -> bool {
        !["+", "-"].contains(&self.operator.as_str())
    }
}

/// One side of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A value that stands there.
    Literal(Value),
    /// The value of this reference, as it is.
    Read(Reference),
    /// Something that has to be worked out.
    Other,
}

/// Every such operator of the syntax tree. `locate` turns a Rhai position into a byte offset of the parsed text.
pub(crate) fn operations(
    ast: &AST,
    references: &[Reference],
    locate: &dyn Fn(Position) -> usize,
) -> Vec<Operation> {
    let mut found = Vec::new();
    ast.walk(&mut |nodes| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, position))) = nodes.last()
            && let Some(sides) = sides(call)
        {
            let sides = sides.map(|side| operand(side, references, locate));
            let start = locate(*position);
            let operator = call.name.to_string();
            found.push(Operation { at: start..start + operator.len(), operator, sides });
        }
        true
    });
    found
}

fn sides(call: &FnCallExpr) -> Option<[&Expr; 2]> {
    let is_meant = call.op_token.is_some() && OPERATORS.contains(&call.name.as_str());
    match call.args.as_slice() {
        [before, behind] if is_meant => Some([before, behind]),
        _ => None,
    }
}

fn operand(side: &Expr, references: &[Reference], locate: &dyn Fn(Position) -> usize) -> Operand {
    match side {
        Expr::BoolConstant(value, _) => Operand::Literal((*value).into()),
        Expr::IntegerConstant(value, _) => Operand::Literal((*value).into()),
        Expr::FloatConstant(value, _) => Operand::Literal((**value).into()),
        Expr::StringConstant(text, _) => Operand::Literal(text.as_str().into()),
        Expr::CharConstant(letter, _) => Operand::Literal(letter.to_string().into()),
        Expr::Variable(..) => read(side, 0, references, locate),
        Expr::Dot(..) | Expr::Index(..) => {
            chain_length(side).map_or(Operand::Other, |names| read(side, names, references, locate))
        }
        _ => Operand::Other,
    }
}

/// The reference that stands there. A closure's parameter is none.
fn read(side: &Expr, names: usize, references: &[Reference], locate: &dyn Fn(Position) -> usize) -> Operand {
    let Some(start) = start_of(side).map(locate) else { return Operand::Other };
    let here = references.iter().find(|read| read.at.start == start && read.path.len() == names);
    here.map_or(Operand::Other, |read| Operand::Read(read.clone()))
}

/// Where the first name of a chain stands.
fn start_of(side: &Expr) -> Option<Position> {
    match side {
        Expr::Variable(_, _, position) => Some(*position),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => start_of(&pair.lhs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expression;

    fn seen(text: &str) -> Vec<String> {
        let expression = Expression::parse(&format!("${{{{ {text} }}}}")).unwrap();
        let side = |side: &Operand| match side {
            Operand::Literal(value) => value.to_string(),
            Operand::Read(reference) => reference.to_string(),
            Operand::Other => "?".to_owned(),
        };
        let shown = |one: &Operation| {
            let [before, behind] = one.sides.each_ref().map(side);
            let written = &expression.as_str()[one.at.clone()];
            assert_eq!(written, one.operator, "{text}");
            format!("{before} {written} {behind}")
        };
        expression.operations().iter().map(shown).collect()
    }

    /// Each side is a value, a reference as a whole, or something that has to be worked out; what a closure is given is that.
    #[test]
    fn sides_are_told_apart() {
        assert_eq!(seen("inputs.n == \"3\""), ["inputs.n == \"3\""]);
        assert_eq!(seen("steps.a.outputs.b>=2.5"), ["steps.a.outputs.b >= 2.5"]);
        assert_eq!(seen("vm != 'x' && !(1 < run.n)"), ["vm != \"x\"", "1 < run.n"]);
        assert_eq!(seen("now() < inputs.at - duration(\"1h\")"), ["? < ?", "inputs.at - ?"]);
        assert_eq!(seen("inputs.vms.filter(|v| v == inputs.last).len() > 0"), ["? > 0", "? == inputs.last"]);
        assert_eq!(seen("inputs.vms[0] == (inputs.x ?? 1)"), ["? == ?"]);
        assert_eq!(seen("inputs.n * 2"), [""; 0]);
    }
}
