//! What an expression can see at its place, and what is known of the types behind the names.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use longhaul_expr::{Asked, Expression, Reference, Root, Shape, Template};
use longhaul_model::diagnostic::{Code, nearest};
use longhaul_model::ids::StepId;
use longhaul_model::workflow::StepSpec;
use serde_json::{Value, json};

use crate::family::Uses;
use crate::inputs::Declared;
use crate::questions;
use crate::schema::{self, ANY};
use crate::seen::{Seen, SeenKind, SeenStep};
use crate::status;

/// What `run.` has.
const RUN_FIELDS: [&str; 1] = ["id"];

/// Most names that a message lists.
const LISTED_MAX: usize = 20;

/// What is known of a value: a schema of the workflow or of an action, or one made here.
pub(crate) type Known<'k> = Cow<'k, Value>;

/// The names that can be seen from some place of a workflow. Cheap to clone: every step has its own.
#[derive(Clone)]
pub(crate) struct Names<'a> {
    inputs: &'a [Declared<'a>],
    steps: Rc<Seen<'a>>,
    /// Item variables of the foreach steps around, innermost last.
    variables: Vec<(String, Rc<Value>)>,
    /// Steps that are still running here: the foreach steps around.
    around: Vec<&'a StepId>,
    /// The step that reads.
    own: Option<&'a StepId>,
    /// How many of the steps, from the first, may have ended otherwise than well when this is read.
    unsure: usize,
    /// Steps that certainly succeeded when this is read.
    succeeded: Vec<String>,
    /// Steps that may have been passed over although the run went well.
    passed_over: Rc<BTreeSet<StepId>>,
    /// In a compensation: the step it belongs to, the only one it may read.
    compensates: Option<&'a StepId>,
    /// Whether sites can be looked at before this is evaluated.
    looks: bool,
}

/// Why a reference cannot be resolved.
pub(crate) struct Unresolved {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Unresolved {
    fn new(code: Code, message: String, help: Option<String>) -> Self {
        Self { code, message, help }
    }
}

impl<'a> Names<'a> {
    /// What the outermost steps see.
    pub(crate) fn root(inputs: &'a [Declared<'a>], steps: &'a [StepSpec], uses: Uses<'a>) -> Self {
        Self {
            inputs,
            steps: Rc::new(Seen::new(None, steps, uses)),
            variables: Vec::new(),
            around: Vec::new(),
            own: None,
            unsure: 0,
            succeeded: Vec::new(),
            passed_over: Rc::default(),
            compensates: None,
            looks: false,
        }
    }

    /// The same where a decision waits until sites were looked at.
    pub(crate) fn looking(&self) -> Self {
        Self { looks: true, ..self.clone() }
    }

    /// Whether sites can be looked at before this is evaluated.
    pub(crate) fn can_look(&self) -> bool {
        self.looks
    }

    /// The same with the steps of one more graph, which hide none of those around.
    pub(crate) fn with_steps(mut self, steps: &'a [StepSpec], uses: Uses<'a>) -> Self {
        self.steps = Rc::new(Seen::new(Some(self.steps), steps, uses));
        self
    }

    /// What the steps inside a foreach step see besides: the item.
    pub(crate) fn inside(&self, foreach: &'a StepId, variable: Option<(String, Value)>) -> Self {
        let mut names = self.clone();
        names.variables.extend(variable.map(|(name, schema)| (name, Rc::new(schema))));
        names.around.push(foreach);
        names
    }

    /// The same with one more name, which stands for a value of that schema.
    pub(crate) fn with_variable(mut self, name: &str, schema: Value) -> Self {
        self.variables.push((name.to_owned(), Rc::new(schema)));
        self
    }

    /// What a step sees.
    pub(crate) fn of_step(&self, step: &'a StepId) -> Self {
        Self { own: Some(step), ..self.clone() }
    }

    /// The same for a step that runs under a condition: it may ask how steps ended, and then all of them may have failed
    /// but those whose success it asks for.
    pub(crate) fn under(&self, asked: &Asked) -> Self {
        let mut names = self.clone();
        if asked.any {
            names.unsure = names.steps.len();
        }
        names.succeeded.extend(asked.succeeded.iter().cloned());
        names
    }

    /// What is seen when the steps are over, however they ended.
    pub(crate) fn at_the_end(&self) -> Self {
        Self { unsure: self.steps.len(), ..self.clone() }
    }

    /// What is seen when the steps went well, but for those that may have been passed over.
    pub(crate) fn when_well(&self, passed_over: BTreeSet<StepId>) -> Self {
        Self { passed_over: Rc::new(passed_over), ..self.clone() }
    }

    /// What the compensation of a step sees.
    pub(crate) fn compensating(&self, step: &'a StepId) -> Self {
        Self { compensates: Some(step), ..self.clone() }
    }

    /// Whether a step of that id can be seen.
    pub(crate) fn has_step(&self, id: &StepId) -> bool {
        self.steps.find(id.as_str()).is_some()
    }

    /// Whether an item variable of that name can be seen.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|(known, _)| known == name)
    }

    /// The schema of an expression's value, as far as it is known.
    pub(crate) fn type_of(&self, expression: &Expression) -> Known<'_> {
        let name = match expression.shape() {
            Shape::Reference(reference) => return self.resolve(&reference).unwrap_or(Cow::Borrowed(&ANY)),
            Shape::Any => return Cow::Borrowed(&ANY),
            Shape::Boolean => "boolean",
            Shape::Integer => "integer",
            Shape::Number => "number",
            Shape::Text => "string",
            Shape::List => "array",
            Shape::Map => "object",
        };
        of_type(name)
    }

    /// The schema of a map of templates' values, as far as it is known. Every one of them is there.
    pub(crate) fn schema_of(&self, templates: &[(String, Template)]) -> Value {
        let schema = |template: &Template| match (template.source(), template.expressions().as_slice()) {
            (Value::String(_), [placed]) if placed.whole => self.type_of(placed.expression).into_owned(),
            (Value::String(_), _) => json!({"type": "string"}),
            (Value::Object(_), _) => json!({"type": "object"}),
            (Value::Array(_), _) => json!({"type": "array"}),
            (Value::Number(_), _) => json!({"type": "number"}),
            (Value::Bool(_), _) => json!({"type": "boolean"}),
            (Value::Null, _) => json!({"type": "null"}),
        };
        let properties: serde_json::Map<_, _> =
            templates.iter().map(|(name, template)| (name.clone(), schema(template))).collect();
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    }

    /// The schema of what a reference reads.
    pub(crate) fn resolve(&self, reference: &Reference) -> Result<Known<'_>, Unresolved> {
        match &reference.root {
            Root::Inputs => self.resolve_input(&reference.path),
            Root::Run => resolve_run(&reference.path),
            Root::Variable(name) => self.resolve_variable(name, &reference.path),
            Root::Steps => self.resolve_step(&reference.path, reference.has_default),
        }
    }

    fn resolve_input(&self, path: &[String]) -> Result<Known<'_>, Unresolved> {
        let Some((name, rest)) = path.split_first() else { return Ok(of_type("object")) };
        let known = || self.inputs.iter().map(|one| one.input.name.value.as_str());
        let Some(declared) = self.inputs.iter().find(|one| one.input.name.value == *name) else {
            let help = suggestion(name, known(), "the workflow declares");
            return Err(Unresolved::new(Code::UnknownInput, format!("there is no input `{name}`"), help));
        };
        resolve_inside(&declared.schema, rest, Code::UnknownInput, &format!("input `{name}`"))
    }

    fn resolve_variable(&self, name: &str, path: &[String]) -> Result<Known<'_>, Unresolved> {
        if let Some((_, schema)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return resolve_inside(schema, path, Code::UnknownName, &format!("`{name}`"));
        }
        let variables = self.variables.iter().map(|(name, _)| name.as_str());
        let near = nearest(name, variables.chain(["inputs", "steps", "run"])).map(str::to_owned);
        let is_input = self.inputs.iter().any(|one| one.input.name.value == name);
        let near = near.or_else(|| is_input.then(|| format!("inputs.{name}")));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        Err(Unresolved::new(Code::UnknownName, format!("there is nothing called `{name}` here"), help))
    }

    fn resolve_step(&self, path: &[String], has_default: bool) -> Result<Known<'_>, Unresolved> {
        let Some((id, rest)) = path.split_first() else {
            let message = "`steps` is read as a whole: name the step".to_owned();
            return Err(Unresolved::new(Code::UnknownStep, message, None));
        };
        let (place, step) = self.find_step(id)?;
        if let Some(owner) = self.compensates
            && owner != step.id
        {
            let message = format!("the compensation of `{owner}` reads step `{id}`");
            let help = "it may read inputs, item variables and the outputs of its own step".to_owned();
            return Err(Unresolved::new(Code::CompensationReads, message, Some(help)));
        }
        let running = self.own == Some(step.id) || self.around.contains(&step.id);
        if running && self.compensates.is_none() {
            let message = format!("step `{id}` is not done when this is read");
            return Err(Unresolved::new(Code::ForwardRead, message, None));
        }
        if let [part, output, ..] = rest
            && part == "outputs"
            && !has_default
            && self.may_lack(place, &step)
        {
            return Err(without_default(step.id, output));
        }
        let is_unsure =
            place < self.unsure || self.compensates.is_some() || self.passed_over.contains(step.id);
        resolve_in_step(step, rest, is_unsure)
    }

    /// Whether a step may have put nothing out when this is read.
    fn may_lack(&self, place: usize, step: &SeenStep<'_>) -> bool {
        let sure = self.compensates.is_some() || self.succeeded.iter().any(|id| id == step.id.as_str());
        let unsure = place < self.unsure;
        !sure && (step.is_conditional || unsure || self.passed_over.contains(step.id))
    }

    /// The step of that id, and how many stand before it.
    fn find_step(&self, id: &str) -> Result<(usize, SeenStep<'a>), Unresolved> {
        if let Some(found) = self.steps.find(id) {
            return Ok(found);
        }
        let message = format!("there is no step `{id}` to be seen here");
        let help = match self.steps.hiding(id) {
            Some(parent) => Some(format!("`{id}` stands inside `{parent}`: read `steps.{parent}.items`")),
            None => suggestion(id, self.steps.ids().into_iter(), "there are"),
        };
        Err(Unresolved::new(Code::UnknownStep, message, help))
    }
}

fn without_default(id: &StepId, output: &str) -> Unresolved {
    let message = format!("step `{id}` may not have run, and there is no default for its output `{output}`");
    let help = format!(
        "write `steps.{id}.outputs.{output} ?? ...`, or run this only `if: ${{{{ succeeded(\"{id}\") }}}}`"
    );
    Unresolved::new(Code::MayNotHaveRun, message, Some(help))
}

/// "did you mean" if something is near, else what there is.
pub(crate) fn suggestion<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str>,
    intro: &str,
) -> Option<String> {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("{intro}: {}", listed(&known))),
    }
}

/// Names in a message; of very many the first ones.
fn listed(names: &[&str]) -> String {
    let (shown, rest) = names.split_at(names.len().min(LISTED_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}

/// What is known of a value of which only its type is.
fn of_type(name: &str) -> Known<'static> {
    Cow::Owned(json!({ "type": name }))
}

/// What stands at a path within a value of that schema.
fn resolve_inside<'k>(
    schema: &'k Value,
    path: &[String],
    code: Code,
    what: &str,
) -> Result<Known<'k>, Unresolved> {
    schema::walk(schema, path).map(Cow::Borrowed).ok_or_else(|| {
        let (known, name) = schema::end_of_the_way(schema, path);
        let help = suggestion(name, known.into_iter(), "it has");
        Unresolved::new(code, format!("{what} has no `{}`", path.join(".")), help)
    })
}

fn resolve_run(path: &[String]) -> Result<Known<'static>, Unresolved> {
    match path.first() {
        Some(field) if !RUN_FIELDS.contains(&field.as_str()) => {
            let help = suggestion(field, RUN_FIELDS.into_iter(), "there is");
            Err(Unresolved::new(Code::UnknownName, format!("`run` has no `{field}`"), help))
        }
        Some(_) => Ok(of_type("string")),
        None => Ok(of_type("object")),
    }
}

fn resolve_in_step<'a>(
    step: SeenStep<'a>,
    path: &[String],
    is_unsure: bool,
) -> Result<Known<'a>, Unresolved> {
    let id = step.id;
    let Some((part, rest)) = path.split_first() else { return Ok(of_type("object")) };
    let parts: &[&str] = match step.kind {
        SeenKind::Action(_) | SeenKind::Workflow(_) | SeenKind::Question(_) => &["outputs", "status"],
        SeenKind::Foreach => &["items", "status"],
        SeenKind::Wait => &["status"],
        SeenKind::Broken => return Ok(Cow::Borrowed(&ANY)),
    };
    match (part.as_str(), step.kind) {
        ("status", _) => Ok(Cow::Owned(status::schema(is_unsure))),
        ("items", SeenKind::Foreach) => Ok(of_type("array")),
        ("outputs", SeenKind::Action(descriptor)) => {
            resolve_output(id, &format!("`{}`", descriptor.name), &descriptor.outputs, rest)
                .map(Cow::Borrowed)
        }
        ("outputs", SeenKind::Workflow(child)) => {
            let what = format!("`{}`", child.pin.name);
            resolve_output(id, &what, &child.parts.outputs_schema, rest).map(Cow::Borrowed)
        }
        ("outputs", SeenKind::Question(question)) => {
            let outputs = questions::outputs_schema(question);
            resolve_output(id, "a question", &outputs, rest).map(|schema| Cow::Owned(schema.clone()))
        }
        _ => {
            let help = suggestion(part, parts.iter().copied(), "there are");
            Err(Unresolved::new(Code::UnknownOutput, format!("step `{id}` has no `{part}`"), help))
        }
    }
}

fn resolve_output<'k>(
    id: &StepId,
    what: &str,
    outputs: &'k Value,
    path: &[String],
) -> Result<&'k Value, Unresolved> {
    let Some(name) = path.first() else { return Ok(outputs) };
    let properties = outputs.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = properties.into_iter().flat_map(|all| all.keys()).map(String::as_str).collect();
    match schema::walk(outputs, path) {
        Some(schema) if known.is_empty() || known.contains(&name.as_str()) => Ok(schema),
        Some(_) | None => {
            let message = format!("step `{id}` ({what}) has no output `{}`", path.join("."));
            let help = suggestion(name, known.into_iter(), "there are");
            Err(Unresolved::new(Code::UnknownOutput, message, help))
        }
    }
}
