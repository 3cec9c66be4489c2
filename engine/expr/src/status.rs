//! What is asked about the run by functions: how a step ended (`succeeded("x")`, `failed("x")`, `skipped("x")`, `always()`),
//! and whether a site is up (`site_up("a")`).

use longhaul_model::site::Sight;
use rhai::{AST, ASTNode, Engine, EvalAltResult, Expr, Position, Stmt};

use crate::reference::{Reference, Root};
use crate::{Error, facts};

/// The question, and the statuses that answer it with yes.
const QUESTIONS: [(&str, &[&str]); 3] = [
    ("succeeded", &["succeeded", "kept"]),
    ("failed", &["failed", "partial", "needs_operator"]),
    ("skipped", &["skipped"]),
];
/// True whatever the steps before came to; what matters is that it stands there.
const ALWAYS: &str = "always";

/// The time of the run.
const NOW: &str = "now";

/// Whether a site's agent answers.
const SITE_UP: &str = "site_up";

/// What an expression asks about the run: how steps ended, what time it is, and which sites are up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The steps whose failure it asks for.
    pub failed: Vec<String>,
    /// The steps without whose success it is not true.
    pub succeeded: Vec<String>,
    /// Whether it says `always()`.
    pub always: bool,
    /// Whether it asks how any step ended.
    pub any: bool,
    /// Whether it asks what time it is.
    pub time: bool,
    /// Whether it asks which sites are up.
    pub sites: bool,
}

/// Gives an engine the functions.
pub(crate) fn register(engine: &mut Engine) {
    for (name, answers) in QUESTIONS {
        engine.register_fn(name, move |id: &str| is_one_of(id, answers));
    }
    engine.register_fn(ALWAYS, || true);
    engine.register_fn(SITE_UP, is_up);
}

fn is_up(site: &str) -> Result<bool, Box<EvalAltResult>> {
    match facts::sight_of(site) {
        Some(Sight::Up) => Ok(true),
        Some(Sight::Down) => Ok(false),
        Some(Sight::Unknown(why)) => Err(format!("whether site `{site}` is up is not known: {why}").into()),
        None => Err(format!("whether site `{site}` is up is not known here").into()),
    }
}

fn is_one_of(id: &str, statuses: &[&str]) -> Result<bool, Box<EvalAltResult>> {
    match facts::status_of(id) {
        Some(status) => Ok(statuses.contains(&status.as_str())),
        None => Err(format!("how step `{id}` ended is not known here").into()),
    }
}

/// What an expression asks, and the steps that it thereby reads.
pub(crate) fn questions(
    ast: &AST,
    locate: &dyn Fn(Position) -> usize,
) -> Result<(Asked, Vec<Reference>), Error> {
    let (mut asked, mut reads, mut wrong) = (Asked::default(), Vec::new(), None);
    ast.walk(&mut |nodes| {
        let Some((name, arguments, position)) = nodes.last().and_then(call_of) else { return true };
        let start = locate(position);
        let at = start..start + name.len();
        match (name, arguments) {
            (NOW, _) => {
                asked.time = true;
                return true;
            }
            (SITE_UP, _) => {
                asked.sites = true;
                return true;
            }
            (ALWAYS, []) => asked.always = true,
            (ALWAYS, _) => {
                wrong = Some(Error::Syntax { message: "`always` takes nothing".to_owned(), at, help: None });
            }
            (_, [Expr::StringConstant(id, _)]) => {
                if name == "failed" {
                    asked.failed.push(id.to_string());
                }
                let path = vec![id.to_string(), "status".to_owned()];
                reads.push(Reference { root: Root::Steps, path, has_default: false, at });
            }
            (_, _) => {
                let message = format!("`{name}` takes the id of one step, in quotes: `{name}(\"move\")`");
                wrong = Some(Error::Syntax { message, at, help: None });
            }
        }
        asked.any = true;
        wrong.is_none()
    });
    if let [Stmt::Expr(whole)] = ast.statements() {
        needed_successes(whole, &mut asked.succeeded);
    }
    wrong.map_or(Ok((asked, reads)), Err)
}

/// The steps that all have to have succeeded for an expression to be true: those asked for on their own, or joined by `&&`.
fn needed_successes(whole: &Expr, needed: &mut Vec<String>) {
    match whole {
        Expr::And(parts, _) => parts.iter().for_each(|part| needed_successes(part, needed)),
        Expr::FnCall(call, _) if call.name.as_str() == "succeeded" => {
            if let [Expr::StringConstant(id, _)] = call.args.as_slice() {
                needed.push(id.to_string());
            }
        }
        _ => {}
    }
}

/// The name, the arguments and the place of a call of one of the functions.
fn call_of<'a>(node: &ASTNode<'a>) -> Option<(&'a str, &'a [Expr], Position)> {
    let (call, position) = match node {
        ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)) => (call, *position),
        ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, *position),
        _ => return None,
    };
    let name = call.name.as_str();
    is_question(name).then(|| (name, call.args.as_slice(), position))
}

/// Whether a function's value depends on more than what it is given.
pub(crate) fn is_question(name: &str) -> bool {
    [ALWAYS, NOW, SITE_UP].contains(&name) || QUESTIONS.iter().any(|(question, _)| *question == name)
}
