//! What can be seen to be wrong with a script before it is asked anything.

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use longhaul_model::policy::DECIDE;
use longhaul_model::source::{Source, Span};
use rhai::{AST, ASTNode, Expr, FnCallExpr, ParseError, Position, Stmt};

use crate::engine::ENGINE;
use crate::names;

/// Everything that is wrong with a script.
pub(crate) fn script(source: &Source) -> Diagnostics {
    let ast = match ENGINE.compile(source.text()) {
        Ok(ast) => ast,
        Err(error) => return unreadable(source, &error).into(),
    };
    let mut found = Diagnostics::new();
    outside(source, &ast, &mut found);
    let view = decides(source, &ast, &mut found);
    let own: Vec<String> = ast.iter_functions().map(|it| it.name.to_owned()).collect();
    ast.walk(&mut |nodes| {
        let Some(node) = nodes.last() else { return true };
        if let Some(one) = unknown_function(source, node, &own) {
            found.push(one);
        }
        if let Some(one) = view.as_deref().and_then(|view| unknown_field(source, node, view)) {
            found.push(one);
        }
        true
    });
    found.sorted()
}

fn unreadable(source: &Source, error: &ParseError) -> Diagnostic {
    let text = error.err_type().to_string();
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let span = match error.position() {
        position if position.is_none() => {
            let end = source.text().trim_end().len();
            Span::new(end.saturating_sub(1), end)
        }
        position => at(source, position, 1),
    };
    Diagnostic::new(Code::PolicyScript, source, span, text)
}

/// Nothing stands outside of functions: it would be carried out anew at every question.
fn outside(source: &Source, ast: &AST, found: &mut Diagnostics) {
    if let Some(first) = ast.statements().iter().find(|it| !matches!(it, Stmt::Noop(_))) {
        let message = "a statement stands outside of functions, where nobody carries it out";
        let one = Diagnostic::new(Code::NoDecide, source, at(source, first.position(), 1), message);
        found.push(one.help("put it into `decide`, or make a function of it"));
    }
}

/// What `decide` calls the view.
fn decides(source: &Source, ast: &AST, found: &mut Diagnostics) -> Option<String> {
    let own: Vec<_> = ast.iter_functions().filter(|it| it.name == DECIDE).collect();
    let sizes: Vec<usize> = own.iter().map(|it| it.params.len()).collect();
    let is_private = own.iter().any(|it| matches!(it.access, rhai::FnAccess::Private));
    let message = match sizes.as_slice() {
        [1 | 2] if !is_private => return own[0].params.first().map(|name| (*name).to_owned()),
        [1 | 2] => "`decide` is private, so nobody can ask it".to_owned(),
        [] => "there is no function `decide`".to_owned(),
        [other] => {
            format!("`decide` takes {other} things: it takes the view, or the view and the map of its `with`")
        }
        [..] => "`decide` stands here more than once".to_owned(),
    };
    let first = source.text().lines().next().map_or(0, str::len);
    let span = function_name(source, DECIDE).unwrap_or(Span::new(0, first));
    let one = Diagnostic::new(Code::NoDecide, source, span, message);
    let functions: Vec<&str> = ast.iter_functions().map(|it| it.name).collect();
    let near = nearest(DECIDE, functions);
    found.push(match near.filter(|near| *near != DECIDE) {
        Some(near) => one.help(format!("is `{near}` meant?")),
        None => one.help("write `fn decide(view) { allow() }`, and then when it does not allow"),
    });
    None
}

/// Where a function's name stands first.
pub(crate) fn function_name(source: &Source, name: &str) -> Option<Span> {
    let start = source.text().find(&format!("fn {name}"))? + "fn ".len();
    Some(Span::new(start, start + name.len()))
}

fn unknown_function(source: &Source, node: &ASTNode<'_>, own: &[String]) -> Option<Diagnostic> {
    let (call, position): (&FnCallExpr, Position) = match node {
        ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)) => (call, *position),
        ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, *position),
        _ => return None,
    };
    let name = call.name.as_str();
    // A closure has a name of Rhai's own.
    if call.op_token.is_some() || names::is_function(name) || own.iter().any(|it| it == name) {
        return None;
    }
    let message = format!("policies have no function `{name}`");
    let one = Diagnostic::new(Code::PolicyScript, source, at(source, position, name.len()), message);
    let known: Vec<&str> = names::functions().chain(own.iter().map(String::as_str)).collect();
    Some(one.did_you_mean(name, known))
}

/// The first name of a chain that begins with the view and that no view has.
fn unknown_field(source: &Source, node: &ASTNode<'_>, view: &str) -> Option<Diagnostic> {
    let ASTNode::Expr(Expr::Dot(pair, ..)) = node else { return None };
    let Expr::Variable(variable, ..) = &pair.lhs else { return None };
    if variable.1.as_str() != view {
        return None;
    }
    let (mut path, mut rest): (Vec<&str>, _) = (Vec::new(), &pair.rhs);
    loop {
        let (here, next) = match rest {
            Expr::Dot(pair, ..) => (&pair.lhs, Some(&pair.rhs)),
            Expr::Index(pair, ..) => (&pair.lhs, None),
            other => (other, None),
        };
        let Expr::Property(property, position) = here else { return None };
        let name = property.2.as_str();
        let known = names::fields_below(&path)?;
        if !known.contains(&name) {
            return Some(no_field(source, name, &path, *position));
        }
        path.push(name);
        rest = next?;
    }
}

fn no_field(source: &Source, name: &str, path: &[&str], position: Position) -> Diagnostic {
    let known = names::fields_below(path).unwrap_or_default();
    let of = if path.is_empty() { "a view".to_owned() } else { format!("`{}` of a view", path.join(".")) };
    let message = format!("{of} has no `{name}`");
    let one = Diagnostic::new(Code::PolicyScript, source, at(source, position, name.len()), message);
    match nearest(name, known.iter().copied()) {
        Some(near) => one.help(format!("did you mean `{near}`?")),
        None => one.help(format!("there are: {}", known.join(", "))),
    }
}

/// So many bytes from a position of Rhai, which counts lines and characters from 1.
fn at(source: &Source, position: Position, bytes: usize) -> Span {
    let text = source.text();
    let line = position.line().unwrap_or(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let column = position.position().unwrap_or(1).saturating_sub(1);
    let within = text[start..].char_indices().nth(column).map_or(text.len() - start, |(at, _)| at);
    let from = start + within;
    let end = (from + bytes).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    Span::new(from, end)
}
