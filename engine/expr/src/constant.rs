//! What fails in every run: calls of constants that the function does not take.

use std::ops::Range;

use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, Position, Scope};

use crate::engine::{ENGINE, OPERATIONS_MAX, bounded};
use crate::expression::describe;
use crate::{functions, status};

/// A part of an expression that has no value in any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hopeless {
    /// The byte range in the parsed text.
    pub at: Range<usize>,
    /// Why it has none.
    pub message: String,
}

/// Every call of a function that is given constants alone and refuses them. `locate` turns a Rhai position into a byte offset
/// of the parsed text.
pub(crate) fn hopeless(ast: &AST, locate: &dyn Fn(Position) -> usize) -> Vec<Hopeless> {
    let mut found = Vec::new();
    ast.walk(&mut |nodes| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, position))) = nodes.last()
            && let Some(message) = refusal(call)
        {
            let start = locate(*position);
            found.push(Hopeless { at: start..start + call.name.len(), message });
        }
        true
    });
    found
}

/// Why a call fails; none of a call that works, or of one whose arguments have to be worked out.
fn refusal(call: &FnCallExpr) -> Option<String> {
    let name = call.name.as_str();
    if call.op_token.is_some() || functions::is_unknown(name) || status::is_question(name) {
        return None;
    }
    let mut names = Scope::new();
    for (place, argument) in call.args.iter().enumerate() {
        names.push_constant_dynamic(format!("a{place}"), constant(argument)?);
    }
    let arguments: Vec<&str> = names.iter_raw().map(|(name, ..)| name).collect();
    let text = format!("{name}({})", arguments.join(", "));
    let called = bounded(OPERATIONS_MAX, || ENGINE.eval_expression_with_scope::<Dynamic>(&mut names, &text));
    called.err().map(|error| describe(*error))
}

/// The value that stands there.
fn constant(argument: &Expr) -> Option<Dynamic> {
    argument.is_constant().then(|| argument.get_literal_value(None)).flatten()
}

#[cfg(test)]
mod tests {
    use crate::Expression;

    /// A call that no run can get a value of is found with its place, wherever it stands; what depends on a run is left alone.
    #[test]
    fn constants_are_tried() {
        let hopeless = |text: &str| -> Vec<String> {
            let expression = Expression::parse(&format!("${{{{ {text} }}}}")).unwrap();
            expression.hopeless().iter().map(|one| expression.as_str()[one.at.clone()].to_owned()).collect()
        };
        assert_eq!(hopeless("inputs.at - duration(\"5 min\")"), ["duration"]);
        assert_eq!(hopeless("inputs.x.map(|x| size(\"2GB\") > rate(\"1\"))"), ["size", "rate"]);
        assert_eq!(hopeless("duration(\"5m\") + duration(inputs.x) > \"3 h\""), [""; 0]);
        assert_eq!(hopeless("succeeded(\"copy\") && site_up(\"a\") && now() > time(inputs.t)"), [""; 0]);
    }
}
