//! Exactly one `${{ }}`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use rhai::{AST, ASTFlags, Dynamic, EvalAltResult, Expr, ParseError, Position, Stmt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::{ENGINE, OPERATIONS_MAX, bounded};
use crate::operations::{self, Operation};
use crate::reference::{self, Reference, Root};
use crate::scan::{self, Piece};
use crate::value::{from_dynamic, map_to_dynamic, to_dynamic};
use crate::{Asked, Error, Hopeless, Scope, constant, facts, functions, status};

/// One expression, parsed and checked for everything that can be seen without a scope.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    references: Box<[Reference]>,
    looks: Box<Looks>,
    asked: Asked,
    /// Whether it is nothing but names joined by dots.
    is_path: bool,
    ast: Arc<AST>,
}

/// What a check looks at, and no evaluation does.
#[derive(Clone)]
struct Looks {
    operations: Vec<Operation>,
    hopeless: Vec<Hopeless>,
}

/// What can be said about an expression's value before it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The value of this reference, as it is.
    Reference(Reference),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// Text.
    Text,
    /// A list.
    List,
    /// A map.
    Map,
    /// Nothing can be said.
    Any,
}

impl Expression {
    /// Reads `${{ ... }}`; white space around it is ignored.
    ///
    /// # Errors
    /// When the text is anything but one expression, or the expression cannot be read.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let trimmed = text.trim();
        let offset = text.len() - text.trim_start().len();
        let one = scan::pieces(trimmed).map_err(|error| error.shifted(offset))?;
        let [Piece::Expression(_)] = one.as_slice() else {
            return Err(Error::NotOneExpression { at: 0..text.len() });
        };
        let inside = offset + scan::OPEN.len()..offset + trimmed.len() - scan::CLOSE.len();
        if text[inside.clone()].trim().is_empty() {
            return Err(Error::Empty { at: offset..offset + trimmed.len() });
        }
        let ast = ENGINE
            .compile_expression(&text[inside.clone()])
            .map_err(|error| syntax(&error, text, &inside))?;
        let lines = Lines::of(&text[inside.clone()]);
        let locate = |position: Position| inside.start + lines.offset(position);
        refuse_unknown_functions(&ast, &locate)?;
        let (asked, questions) = status::questions(&ast, &locate)?;
        let read = reference::references(&ast, &locate).into_iter().map(|read| read.widened(text));
        let references: Box<[Reference]> = read.chain(questions).collect();
        let operations = operations::operations(&ast, &references, &locate);
        let looks = Box::new(Looks { operations, hopeless: constant::hopeless(&ast, &locate) });
        let (text, ast) = (text.to_owned(), Arc::new(ast));
        let read = Self { text, references, looks, asked, is_path: false, ast };
        let is_path = matches!(read.shape(), Shape::Reference(_));
        Ok(Self { is_path, ..read })
    }

    /// The text as the author wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Everything it reads, in the order of evaluation as far as that is known; names may repeat.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The operators in it, with what they are given.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.looks.operations
    }

    /// The calls in it that fail in every run.
    #[must_use]
    pub fn hopeless(&self) -> &[Hopeless] {
        &self.looks.hopeless
    }

    /// Whether it has the same value in every run.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        let Asked { any, time, sites, .. } = self.asked;
        self.references.is_empty() && !(any || time || sites)
    }

    /// What it asks about the run.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Its value. The value keeps its type.
    ///
    /// # Errors
    /// When something it reads is not there, types do not fit, or a limit is reached.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        self.at_path(scope).cloned().map_or_else(|| self.calculate(scope).0, Ok)
    }

    /// The site that has to be looked at before it can have a value, if there is one: what was seen of the others is in the
    /// scope already.
    #[must_use]
    pub fn unseen(&self, scope: &Scope) -> Option<String> {
        if self.asked.sites { self.calculate(scope).1 } else { None }
    }

    fn calculate(&self, scope: &Scope) -> (Result<Value, Error>, Option<String>) {
        let mut names = rhai::Scope::new();
        names.push_constant_dynamic("inputs", self.reached(&Root::Inputs, &scope.inputs));
        names.push_constant_dynamic("run", self.reached(&Root::Run, &scope.run));
        names.push_constant_dynamic("steps", self.reached(&Root::Steps, &scope.steps));
        for (name, value) in &scope.vars {
            names.push_constant_dynamic(name.as_str(), to_dynamic(value));
        }
        let mut evaluate = || bounded(OPERATIONS_MAX, || ENGINE.eval_ast_with_scope(&mut names, &self.ast));
        let asks = self.asked.any || self.asked.time || self.asked.sites;
        let (value, unseen) = if asks { facts::with_unseen(scope, evaluate) } else { (evaluate(), None) };
        let value = value.map_err(|error| self.no_value(describe(*error)));
        let value = value.and_then(|value: Dynamic| {
            from_dynamic(value).map_err(|found| self.no_value(format!("it is {found}")))
        });
        (value, unseen)
    }

    /// The value that a path leads to, where Rhai would hand back the same: most expressions of most workflows. `None`
    /// says nothing.
    fn at_path<'s>(&self, scope: &'s Scope) -> Option<&'s Value> {
        let ([read], true) = (&*self.references, self.is_path) else { return None };
        let mut names = read.path.iter();
        let first = match &read.root {
            Root::Inputs => scope.inputs.get(names.next()?)?,
            Root::Run => scope.run.get(names.next()?)?,
            Root::Steps => scope.steps.get(names.next()?)?,
            Root::Variable(name) => scope.vars.get(name)?,
        };
        let value = names.try_fold(first, |value, name| value.as_object()?.get(name))?;
        is_plain(value).then_some(value)
    }

    /// What of a map it reads, as Rhai has it. A list of hundreds of VMs is not converted for who asks for a site's name.
    fn reached(&self, root: &Root, all: &Map<String, Value>) -> Dynamic {
        let paths = || self.references.iter().filter(|read| read.root == *root).map(|read| read.path.first());
        if paths().any(|first| first.is_none()) {
            return map_to_dynamic(all);
        }
        let read =
            paths().flatten().filter_map(|name| Some((name.as_str().into(), to_dynamic(all.get(name)?))));
        Dynamic::from_map(read.collect())
    }

    /// What can be said about its value without a scope.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self.ast.statements() {
            [Stmt::Expr(only)] => self.shape_of(only),
            _ => Shape::Any,
        }
    }

    fn shape_of(&self, expression: &Expr) -> Shape {
        match expression {
            Expr::Variable(..) => self.whole_reference(0),
            Expr::Dot(..) | Expr::Index(..) => match (chain_length(expression), last_call(expression)) {
                (Some(names), _) => self.whole_reference(names),
                (None, Some(method)) => functions::shape_of(method),
                (None, None) => Shape::Any,
            },
            Expr::BoolConstant(..) | Expr::And(..) | Expr::Or(..) => Shape::Boolean,
            Expr::IntegerConstant(..) => Shape::Integer,
            Expr::FloatConstant(..) => Shape::Number,
            Expr::StringConstant(..) | Expr::InterpolatedString(..) | Expr::CharConstant(..) => Shape::Text,
            Expr::Array(..) => Shape::List,
            Expr::Map(..) => Shape::Map,
            Expr::FnCall(call, _) if TRUTHS.contains(&call.name.as_str()) => Shape::Boolean,
            Expr::FnCall(call, _) => functions::shape_of(call.name.as_str()),
            _ => Shape::Any,
        }
    }

    /// The only reference, if its path is as long as the whole expression's.
    fn whole_reference(&self, names: usize) -> Shape {
        match &*self.references {
            [only] if only.path.len() == names => Shape::Reference(only.clone()),
            _ => Shape::Any,
        }
    }

    fn no_value(&self, message: String) -> Error {
        Error::NoValue { expression: self.text.clone(), message }
    }
}

/// Whether a value is the same after its way into Rhai and back, and no limit can be reached on that way.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Number(number) => number.is_i64(),
        Value::String(text) => text.len() <= PLAIN_BYTES_MAX,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Longest text that is handed back without asking Rhai, which has limits of its own.
const PLAIN_BYTES_MAX: usize = 1 << 16;

/// Operators whose value is a truth value whatever they are given.
const TRUTHS: [&str; 7] = ["==", "!=", "<", "<=", ">", ">=", "!"];

/// How many names follow the first of a chain; `None` when something else than a name is among them.
pub(crate) fn chain_length(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => Some(1 + chain_length(&pair.rhs)?),
        Expr::Property(..) | Expr::StringConstant(..) => Some(0),
        _ => None,
    }
}

/// The method that a chain ends with, which makes its value. Behind `?.` there may be nothing to call it on.
fn last_call(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(pair, flags, _) | Expr::Index(pair, flags, _) if !flags.contains(ASTFlags::NEGATED) => {
            last_call(&pair.rhs)
        }
        Expr::MethodCall(call, _) => Some(call.name.as_str()),
        _ => None,
    }
}

fn refuse_unknown_functions(ast: &AST, locate: &dyn Fn(Position) -> usize) -> Result<(), Error> {
    let mut unknown = None;
    ast.walk(&mut |nodes| {
        unknown = nodes.last().and_then(functions::unknown);
        unknown.is_none()
    });
    let Some((name, position)) = unknown else { return Ok(()) };
    let start = locate(position);
    let suggestion = functions::nearest(&name);
    Err(Error::UnknownFunction { at: start..start + name.len(), suggestion, name })
}

/// The lines of a text, for Rhai counts lines and letters.
struct Lines<'t> {
    /// Where each begins, the line, and whether its letters are bytes.
    lines: Vec<(usize, &'t str, bool)>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let mut start = 0;
        let lines = text.split_inclusive('\n').map(|line| {
            let begins = start;
            start += line.len();
            (begins, line, line.is_ascii())
        });
        Self { lines: lines.collect() }
    }

    /// The byte offset of a Rhai position (line and character, both from 1); 0 for no position.
    fn offset(&self, position: Position) -> usize {
        let line = position.line().unwrap_or(1) - 1;
        let Some((start, line, is_ascii)) = self.lines.get(line).or(self.lines.last()) else { return 0 };
        let letters = position.position().unwrap_or(1).saturating_sub(1);
        let within = if *is_ascii {
            letters
        } else {
            line.char_indices().nth(letters).map_or(line.len(), |(at, _)| at)
        };
        start + within.min(line.len())
    }
}

fn syntax(error: &ParseError, text: &str, inside: &Range<usize>) -> Error {
    let at = match error.position() {
        Position::NONE => inside.end - 1,
        position => inside.start + Lines::of(&text[inside.clone()]).offset(position),
    };
    if let Some(word) = single_quoted(&text[at..inside.end]) {
        let message = "single quotes hold one letter".to_owned();
        let help = Some(format!("text stands in double quotes: `\"{word}\"`"));
        return Error::Syntax { message, at: at..at + word.len() + 2, help };
    }
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    let message = lower_first(&error.err_type().to_string()).replace("script", "expression");
    Error::Syntax { message, at: at..end, help: None }
}

/// The text in single quotes that another text begins with. Rhai has letters between them, and texts between double ones.
fn single_quoted(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('\'')?.split_once('\'')?;
    (word.chars().count() != 1).then_some(word)
}

/// What Rhai says went wrong, as a part of our messages.
pub(crate) fn describe(mut error: EvalAltResult) -> String {
    if let EvalAltResult::ErrorTerminated(..) | EvalAltResult::ErrorTooManyOperations(_) =
        error.unwrap_inner()
    {
        return "too many operations".to_owned();
    }
    let _ = error.take_position();
    let message = error.to_string();
    lower_first(message.strip_prefix(RUNTIME_ERROR).unwrap_or(&message))
}

/// What Rhai writes before a function's own words.
const RUNTIME_ERROR: &str = "Runtime error: ";

/// Rhai's messages begin with a capital; ours are fragments.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl FromStr for Expression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Expression {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
