//! Inputs: their schemas, their defaults, and the values a run is given.

use jsonschema::Validator;
use longhaul_expr::Expression;
use longhaul_model::diagnostic::Code;
use longhaul_model::ids::StepId;
use longhaul_model::workflow::Input;
use serde_json::{Map, Value};

use crate::check::Checker;
use crate::schema::{self, ANY};

/// An input and what is known of it.
pub(crate) struct Declared<'a> {
    pub(crate) input: &'a Input,
    /// Its schema; one that accepts everything if what was written is none.
    pub(crate) schema: Value,
    validator: Option<Validator>,
}

/// Checks the declaration of an input.
pub(crate) fn declare<'a>(input: &'a Input, checker: &mut Checker<'a>) -> Declared<'a> {
    let name = &input.name;
    if Expression::parse(&format!("${{{{ inputs.{} }}}}", name.value)).is_err()
        && name.value.parse::<StepId>().is_ok()
    {
        checker.report(
            Code::ReservedName,
            name.span,
            format!("`{}` is a word of the expression language", name.value),
        );
    }
    let written = input.schema.to_json();
    match schema::validator(&written) {
        Ok(validator) => {
            check_default(input, &written, &validator, checker);
            Declared { input, schema: written, validator: Some(validator) }
        }
        Err(error) => {
            let message = format!("the schema of input `{}` is wrong: {}", name.value, error.message);
            checker.report(Code::InvalidSchema, input.schema.nearest(&error.pointer).span, message);
            Declared { input, schema: ANY.clone(), validator: None }
        }
    }
}

fn check_default(input: &Input, schema: &Value, validator: &Validator, checker: &mut Checker<'_>) {
    let Some(default) = schema.get("default") else { return };
    for error in validator.iter_errors(default) {
        let message =
            format!("the default of input `{}` does not fit its own schema: {error}", input.name.value);
        checker.report(Code::InvalidSchema, input.schema.nearest("/default").span, message);
    }
}

/// Gives every declared input its value; nothing if one of them has none that fits.
pub(crate) fn bind(
    declared: &[Declared<'_>],
    given: &Map<String, Value>,
    checker: &mut Checker<'_>,
) -> Option<Map<String, Value>> {
    let known = || declared.iter().map(|one| one.input.name.value.as_str());
    let unknown: Vec<&String> = given.keys().filter(|name| !known().any(|known| known == *name)).collect();
    for name in &unknown {
        let message = format!("input `{name}` was given, and the workflow does not declare it");
        let one = checker
            .mistake(Code::UnknownInput, checker.workflow.inputs_span, message)
            .labelled("declared here");
        checker.found.push(one.did_you_mean(name, known()));
    }
    let bound: Vec<Option<(String, Value)>> =
        declared.iter().map(|one| bind_one(one, given.get(&one.input.name.value), checker)).collect();
    bound.into_iter().collect::<Option<Map<_, _>>>().filter(|_| unknown.is_empty())
}

fn bind_one(one: &Declared<'_>, given: Option<&Value>, checker: &mut Checker<'_>) -> Option<(String, Value)> {
    let name = &one.input.name;
    let Some(value) = given.or_else(|| one.schema.get("default")) else {
        checker.report(
            Code::MissingInput,
            name.span,
            format!("input `{}` was not given and has no default", name.value),
        );
        return None;
    };
    let errors: Vec<String> = match (given, &one.validator) {
        (Some(value), Some(validator)) => {
            validator.iter_errors(value).map(|error| describe(&error)).collect()
        }
        (None, _) | (_, None) => Vec::new(),
    };
    for error in &errors {
        checker.report(
            Code::InvalidInput,
            name.span,
            format!("input `{}` does not fit: {error}", name.value),
        );
    }
    errors.is_empty().then(|| (name.value.clone(), value.clone()))
}

/// What a validator says, with the form a format asks for.
pub(crate) fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let jsonschema::error::ValidationErrorKind::Format { format } = error.kind() else {
        return error.to_string();
    };
    match crate::formats::example(format) {
        Some(example) => format!("{} is not a {format}: write {example}", error.instance()),
        None => error.to_string(),
    }
}
