//! Expressions and templates of a document: read, their names resolved, their types compared with what is asked for.

use longhaul_expr::{Error, Expression, Hopeless, Partial, Placed, Root, Scope, Template};
use longhaul_model::action::{ActionName, Descriptor, Finding};
use longhaul_model::diagnostic::Code;
use longhaul_model::document::{Content, Entry, Node};
use longhaul_model::ids::StepId;
use longhaul_model::source::Span;
use serde_json::{Map, Value, json};

use crate::check::Checker;
use crate::inputs::describe;
use crate::names::{Known, Names, suggestion};
use crate::{formats, schema};

/// A template that could be read, and what it reads of steps.
pub(crate) struct CheckedTemplate {
    pub(crate) template: Template,
    pub(crate) reads: Vec<StepRead>,
}

/// An expression that could be read, and what it reads of steps.
pub(crate) struct CheckedExpression {
    pub(crate) expression: Expression,
    pub(crate) reads: Vec<StepRead>,
}

/// What an expression reads of a step.
pub(crate) struct StepRead {
    pub(crate) step: StepId,
    /// As the author would write it: `steps.tunnel.outputs.rtt_us`.
    pub(crate) field: String,
    /// Where it stands.
    pub(crate) span: Span,
}

/// What a step's `with` is held against.
pub(crate) struct Takes<'t> {
    /// The action, or the workflow's file.
    pub(crate) name: String,
    /// What it calls one of them: a parameter, an input, an output.
    pub(crate) what: &'static str,
    pub(crate) schema: &'t Value,
    /// The action, which may have more to say than its schema.
    action: Option<&'t ActionName>,
}

impl<'t> Takes<'t> {
    pub(crate) fn of_action(action: &'t Descriptor) -> Self {
        let name = action.name.to_string();
        Self { name, what: "parameter", schema: &action.params, action: Some(&action.name) }
    }

    pub(crate) fn of_outputs(action: &'t Descriptor) -> Self {
        Self { name: action.name.to_string(), what: "output", schema: &action.outputs, action: None }
    }

    pub(crate) fn of_workflow(file: &str, schema: &'t Value) -> Self {
        Self { name: file.to_owned(), what: "input", schema, action: None }
    }
}

impl Checker<'_> {
    /// Reads a field that is exactly one expression.
    pub(crate) fn expression(&mut self, node: &Node, names: &Names<'_>) -> Option<CheckedExpression> {
        let Some(text) = node.as_text() else {
            let message = format!("exactly one `${{{{ }}}}` is needed, this is {}", node.type_name());
            let mut one = self.mistake(Code::NotOneExpression, node.span, message);
            one.help = as_one_expression(node).map(|text| format!("write `{text}`"));
            self.found.push(one);
            return None;
        };
        match Expression::parse(text) {
            Ok(expression) => {
                let reads = self.references(&expression, 0, node, names);
                Some(CheckedExpression { expression, reads })
            }
            Err(error) => {
                self.expression_error(&error, node);
                None
            }
        }
    }

    /// Reads a value whose strings may hold expressions. Every string is looked at, also behind a broken one.
    pub(crate) fn template(&mut self, node: &Node, names: &Names<'_>) -> Option<CheckedTemplate> {
        let Ok(template) = Template::parse(node.to_json()) else {
            self.strings(node, names);
            return None;
        };
        let mut reads = Vec::new();
        for placed in template.expressions() {
            let string = node.nearest(&placed.pointer);
            reads.extend(self.references(placed.expression, placed.offset, string, names));
        }
        Some(CheckedTemplate { template, reads })
    }

    /// Notes what is wrong with each string below a node: a mistake in one must not hide those in the others.
    fn strings(&mut self, node: &Node, names: &Names<'_>) {
        match &node.content {
            Content::Text(text) => self.string(text, node, names),
            Content::List(items) => items.iter().for_each(|item| self.strings(item, names)),
            Content::Map(entries) => entries.iter().for_each(|entry| self.strings(&entry.value, names)),
            Content::Null | Content::Bool(_) | Content::Number(_) => {}
        }
    }

    fn string(&mut self, text: &str, node: &Node, names: &Names<'_>) {
        match Template::parse(Value::from(text)) {
            Ok(template) => {
                for placed in template.expressions() {
                    self.references(placed.expression, placed.offset, node, names);
                }
            }
            Err(error) => self.expression_error(&error, node),
        }
    }

    /// Resolves everything an expression reads; what it reads of steps.
    fn references(
        &mut self,
        expression: &Expression,
        offset: usize,
        node: &Node,
        names: &Names<'_>,
    ) -> Vec<StepRead> {
        if expression.asked().sites && !names.can_look() {
            let message = "whether a site is up can be asked in `if`, and in `requires` of a compensation";
            self.report(Code::NotAskedHere, node.span, message);
        }
        let mut reads = Vec::new();
        for reference in expression.references() {
            let place = reference.at.start + offset..reference.at.end + offset;
            match names.resolve(reference) {
                Ok(_) if reference.root == Root::Steps => {
                    let step = reference.path.first().and_then(|id| id.parse::<StepId>().ok());
                    if let (Some(step), [_, _, output, ..], true) =
                        (&step, &*reference.path, reference.has_default)
                    {
                        self.defaulted.entry(step.clone()).or_default().insert(output.clone());
                    }
                    let field = format!("steps.{}", reference.path.join("."));
                    let span = self.within(node, place.start, place.end);
                    reads.extend(step.map(|step| StepRead { step, field, span }));
                }
                Ok(_) => {}
                Err(unresolved) => {
                    let at = self.within(node, place.start, place.end);
                    let mut one = self.mistake(unresolved.code, at, unresolved.message);
                    one.help = unresolved.help;
                    self.found.push(one);
                }
            }
        }
        self.operations(expression, offset, node, names);
        self.constants(expression, offset, node);
        reads
    }

    /// Notes what has no value in any run.
    fn constants(&mut self, expression: &Expression, offset: usize, node: &Node) {
        for Hopeless { at, message } in expression.hopeless() {
            let at = self.within(node, at.start + offset, at.end + offset);
            self.report(Code::Expression, at, format!("this fails in every run: {message}"));
        }
        if expression.hopeless().is_empty()
            && let Some(error) = failure_of_constant(expression)
        {
            let at = self.within(node, offset, offset + expression.as_str().len());
            self.report(Code::Expression, at, error.to_string());
        }
    }

    pub(crate) fn within(&self, node: &Node, start: usize, end: usize) -> Span {
        node.span_within(&self.workflow.document.source, start, end)
    }

    fn expression_error(&mut self, error: &Error, node: &Node) {
        let span = error.at().map_or(node.span, |at| self.within(node, at.start, at.end));
        let code = match error {
            Error::Unclosed { .. } if is_noted(node) => return,
            Error::Unclosed { .. } => {
                let message = "`${{` has no `}}` of its own: a bracket or a quote inside is not closed";
                return self.report(Code::UnclosedExpression, span, message);
            }
            Error::Empty { .. } | Error::Syntax { .. } | Error::NoValue { .. } | Error::NotText { .. } => {
                Code::Expression
            }
            Error::NotOneExpression { .. } => Code::NotOneExpression,
            Error::UnknownFunction { .. } => Code::UnknownFunction,
        };
        let mut one = self.mistake(code, span, error.to_string());
        match error {
            Error::UnknownFunction { suggestion: Some(near), .. } => {
                one = one.help(format!("did you mean `{near}`?"));
            }
            Error::Syntax { help, .. } => one.help = help.clone(),
            Error::Unclosed { .. }
            | Error::Empty { .. }
            | Error::NotOneExpression { .. }
            | Error::UnknownFunction { .. }
            | Error::NoValue { .. }
            | Error::NotText { .. } => {}
        }
        self.found.push(one);
    }

    /// Reads a step's `with` and compares it with what is taken.
    pub(crate) fn parameters(
        &mut self,
        with: Option<&Node>,
        uses: Span,
        takes: Option<&Takes<'_>>,
        names: &Names<'_>,
    ) -> Option<CheckedTemplate> {
        let empty = Node { content: Content::Map(Vec::new()), span: uses };
        let node = with.unwrap_or(&empty);
        if !matches!(node.content, Content::Map(_)) {
            let message = format!("parameters are a map, this is {}", node.type_name());
            self.report(Code::WrongType, node.span, message);
            return None;
        }
        let checked = self.template(node, names)?;
        if let Some(takes) = takes {
            self.parameter_types(node, &checked.template, takes, names);
            self.parameter_values(node, &checked.template, takes);
        }
        Some(checked)
    }

    /// Compares the types of whole-value expressions with the schema of the parameters.
    fn parameter_types(&mut self, node: &Node, template: &Template, takes: &Takes<'_>, names: &Names<'_>) {
        for placed in template.expressions() {
            let have = type_of(&placed, names);
            let want = schema::at_pointer(takes.schema, &placed.pointer);
            if let Some(why) = schema::conflict(&have, want) {
                let name = placed.pointer.trim_start_matches('/').replace('/', ".");
                let message =
                    format!("{} `{name}` of `{}` does not take this: {why}", takes.what, takes.name);
                self.report(Code::TypeMismatch, node.nearest(&placed.pointer).span, message);
            }
        }
    }

    /// Validates what is written out, and what the inputs make known, against the schema of the parameters.
    fn parameter_values(&mut self, node: &Node, template: &Template, takes: &Takes<'_>) {
        // A broken schema is the action's mistake and its own tests find it.
        let Some(validator) =
            self.validators.named(format!("{} of {}", takes.what, takes.name), takes.schema)
        else {
            return;
        };
        let Partial { value, unknown, .. } = self.known(node, template);
        let mut fits = true;
        for error in validator.iter_errors(&value) {
            let at = error.instance_path().as_str();
            if !hidden(&unknown, at) || concerns_keys(&error) {
                self.parameter_error(&error, node.nearest(at), takes);
                fits = false;
            }
        }
        if let (true, Some(action)) = (fits, takes.action) {
            self.parameter_findings(node, &value, &unknown, action);
        }
    }

    /// What the action itself finds wrong, where everything it may have looked at is known.
    fn parameter_findings(&mut self, node: &Node, value: &Value, unknown: &[String], action: &ActionName) {
        for Finding { pointer, message } in self.catalogue.check(action, value) {
            if hidden(unknown, &pointer) {
                continue;
            }
            let place = pointer.trim_start_matches('/').replace('/', ".");
            let message = format!("parameter `{place}` of `{action}`: {message}");
            self.report(Code::InvalidParameter, node.nearest(&pointer).span, message);
        }
    }

    /// Holds one text against a format, as far as it is known.
    pub(crate) fn value_of_format(
        &mut self,
        node: &Node,
        template: &Template,
        format: &str,
        names: &Names<'_>,
    ) {
        let wanted = json!({"type": "string", "format": format});
        let have = match template.expressions().as_slice() {
            [placed] => type_of(placed, names).into_owned(),
            _ => json!({"type": "string"}),
        };
        if let Some(why) = schema::conflict(&have, &wanted) {
            return self.report(Code::TypeMismatch, node.span, why);
        }
        let Partial { value, unknown, .. } = self.known(node, template);
        let validator = self.validators.named(format!("format {format}"), &wanted);
        let fits = validator.is_some_and(|validator| validator.is_valid(&value));
        if unknown.is_empty() && !fits {
            let example = formats::example(format).unwrap_or_default();
            self.report(Code::Malformed, node.span, format!("{value} is not {example}"));
        }
    }

    /// The template's value as far as the inputs make it known, and the strings that nobody knows yet.
    fn known(&mut self, node: &Node, template: &Template) -> Partial {
        let nothing = Scope::default();
        let (scope, is_known): (&Scope, fn(&Expression) -> bool) = match &self.scope {
            // What fails in every run was noted where it stands.
            Some(scope) => (scope, |it| reads_inputs_alone(it) && !fails_always(it)),
            None => (&nothing, |_| false),
        };
        let partial = template.evaluate_known(scope, &is_known);
        for (pointer, error) in &partial.failed {
            self.report(Code::Expression, node.nearest(pointer).span, error.to_string());
        }
        partial
    }

    fn parameter_error(&mut self, error: &jsonschema::ValidationError<'_>, node: &Node, takes: &Takes<'_>) {
        use jsonschema::error::ValidationErrorKind as Kind;
        let at = error.instance_path().as_str();
        let place = at.trim_start_matches('/').replace('/', ".");
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let known = schema::at_pointer(takes.schema, at);
                for name in unexpected {
                    self.unexpected_parameter(name, node, known, takes);
                }
            }
            Kind::Required { property } => {
                let message = format!("`{}` needs {} {}", takes.name, takes.what, joined(&place, property));
                self.report(Code::InvalidParameter, node.span, message);
            }
            _ => {
                let message = format!(
                    "{} `{place}` of `{}`: {}",
                    takes.what,
                    takes.name,
                    describe(error, takes.schema)
                );
                self.report(Code::InvalidParameter, node.span, message);
            }
        }
    }

    fn unexpected_parameter(&mut self, name: &str, node: &Node, schema: &Value, takes: &Takes<'_>) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let entry = node.entries().iter().find(|entry: &&Entry| entry.key.value == name);
        let span = entry.map_or(node.span, |entry| entry.key.span);
        let mut one = self.mistake(
            Code::InvalidParameter,
            span,
            format!("`{}` takes no {} `{name}`", takes.name, takes.what),
        );
        one.help = suggestion(name, known.keys().map(String::as_str), "it takes");
        self.found.push(one);
    }
}

/// A list of values as one expression; nothing of what is no list, or holds others than expressions, texts and numbers.
fn as_one_expression(node: &Node) -> Option<String> {
    let Content::List(items) = &node.content else { return None };
    let inside = |item: &Node| match &item.content {
        Content::Text(text) => match text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"))
        {
            Some(inside) => Some(inside.trim().to_owned()).filter(|inside| !inside.contains("${{")),
            None => (!text.contains("${{")).then(|| Value::from(text.as_str()).to_string()),
        },
        Content::Number(_) | Content::Bool(_) => Some(item.to_json().to_string()),
        Content::Null | Content::List(_) | Content::Map(_) => None,
    };
    let items: Option<Vec<String>> = items.iter().map(inside).collect();
    Some(format!("${{{{ [{}] }}}}", items?.join(", ")))
}

/// Whether what opens an expression and never closes it was noted when the document was read, as it is without any `}}`.
fn is_noted(node: &Node) -> bool {
    let open = |text: &str| text.rfind("${{").is_some_and(|open| !text[open..].contains("}}"));
    node.as_text().is_some_and(open)
}

/// What is known of a string with an expression: text, unless the expression is all of it.
fn type_of<'n>(placed: &Placed<'_>, names: &'n Names<'_>) -> Known<'n> {
    if placed.whole { names.type_of(placed.expression) } else { Known::Owned(json!({"type": "string"})) }
}

/// Whether the inputs alone make an expression's value.
pub(crate) fn reads_inputs_alone(expression: &Expression) -> bool {
    !expression.asked().time && expression.references().iter().all(|read| read.root == Root::Inputs)
}

fn failure_of_constant(expression: &Expression) -> Option<Error> {
    expression.is_constant().then(|| expression.evaluate(&Scope::default()).err()).flatten()
}

fn fails_always(expression: &Expression) -> bool {
    !expression.hopeless().is_empty() || failure_of_constant(expression).is_some()
}

/// Whether the value at a place, or a part of it, is not known yet.
fn hidden(unknown: &[String], at: &str) -> bool {
    unknown.iter().any(|pointer| pointer == at || pointer.starts_with(&format!("{at}/")))
}

/// Whether an error is about which keys there are: true whatever the values turn out to be.
fn concerns_keys(error: &jsonschema::ValidationError<'_>) -> bool {
    use jsonschema::error::ValidationErrorKind as Kind;
    matches!(error.kind(), Kind::AdditionalProperties { .. } | Kind::Required { .. })
}

fn joined(place: &str, property: &Value) -> String {
    let name = property.as_str().unwrap_or_default();
    if place.is_empty() { format!("`{name}`") } else { format!("`{place}.{name}`") }
}
