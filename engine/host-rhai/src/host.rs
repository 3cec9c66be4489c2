//! The host itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use longhaul_expr::embed;
use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::policy::{DECIDE, Decision, Host, View};
use longhaul_model::source::Source;
use rhai::{AST, CallFnOptions, Dynamic, EvalAltResult, Position, Scope};
use serde_json::Value;

use crate::engine::{ENGINE, OPERATIONS_MAX};
use crate::{answer, check};

/// Scripts that are kept read. A run has a few.
const KEPT_MAX: usize = 64;

/// Carries out scripts in Rhai. What it keeps is what it has read before, which changes no answer.
#[derive(Default)]
pub struct RhaiHost {
    kept: Mutex<BTreeMap<String, Arc<AST>>>,
}

impl RhaiHost {
    fn read(&self, script: &Source) -> Result<Arc<AST>, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ast) = kept.get(script.text()) {
            return Ok(Arc::clone(ast));
        }
        // A script out of a journal was checked by the binary that wrote it, which may have been another one.
        if let Some(one) = check::script(script).iter().next() {
            let place = script.place(one.span.start);
            return Err(format!("{}:{}:{}: {}", script.name(), place.line, place.column, one.message));
        }
        let ast = ENGINE.compile(script.text()).map_err(|error| format!("{}: {error}", script.name()))?;
        let ast = Arc::new(ast);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(script.text().to_owned(), Arc::clone(&ast));
        Ok(ast)
    }
}

impl Host for RhaiHost {
    fn check(&self, script: &Source) -> Diagnostics {
        check::script(script)
    }

    fn decide(&self, script: &Source, view: &View, with: &Value) -> Result<Vec<Decision>, String> {
        let ast = self.read(script)?;
        let now: Timestamp =
            view.now.parse().map_err(|_| format!("the view's `now` is `{}`, which is no time", view.now))?;
        let shown = serde_json::to_value(view).map_err(|error| format!("the view is no JSON: {error}"))?;
        let takes_with = ast.iter_functions().any(|it| it.name == DECIDE && it.params.len() == 2);
        let mut given = vec![embed::into_script(&shown)];
        if takes_with {
            given.push(embed::into_script(with));
        }
        let options = CallFnOptions::new().eval_ast(false);
        let now_unix_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let answer = embed::at(now_unix_ms, OPERATIONS_MAX, || {
            ENGINE.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &ast, DECIDE, given)
        });
        let answer = answer.map_err(|error| describe(script, &error))?;
        answer::of(answer).map_err(|why| format!("{}: {why}", script.name()))
    }
}

/// `policies/window.rhai:12:5: what went wrong`, the place where it went wrong first; of a bound that was met in a loop the
/// function that was asked.
fn describe(script: &Source, error: &EvalAltResult) -> String {
    let (mut inner, mut position) = (error, error.position());
    while let EvalAltResult::ErrorInFunctionCall(_, _, cause, _) = inner {
        inner = cause;
        // A bound has no place of its own; the call in which it was met has.
        position = if inner.position().is_none() { position } else { inner.position() };
    }
    let text = match inner {
        EvalAltResult::ErrorTerminated(..) => "Too many operations".to_owned(),
        other => other.to_string(),
    };
    // Rhai writes the place behind the message.
    let text = text.split(" (line ").next().unwrap_or(&text);
    let text = text.strip_prefix("Runtime error: ").unwrap_or(text);
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    match (position.line(), position.position()) {
        _ if position == Position::NONE => match check::function_name(script, DECIDE) {
            Some(span) => {
                let place = script.place(span.start);
                format!("{}:{}:{}: {text}", script.name(), place.line, place.column)
            }
            None => format!("{}: {text}", script.name()),
        },
        (line, column) => {
            format!("{}:{}:{}: {text}", script.name(), line.unwrap_or(1), column.unwrap_or(1))
        }
    }
}

#[cfg(test)]
mod tests;
