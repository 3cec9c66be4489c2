//! Inputs: their schemas, their defaults, and the values a run is given.

use jsonschema::Validator;
use longhaul_expr::Expression;
use longhaul_model::diagnostic::Code;
use longhaul_model::ids::StepId;
use longhaul_model::workflow::Input;
use serde_json::{Map, Value};

use crate::check::Checker;
use crate::formats;
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
            let mut one =
                checker.mistake(Code::InvalidSchema, input.schema.nearest(&error.pointer).span, message);
            one.help = error.help;
            checker.found.push(one);
            Declared { input, schema: ANY.clone(), validator: None }
        }
    }
}

fn check_default(input: &Input, schema: &Value, validator: &Validator, checker: &mut Checker<'_>) {
    let Some(default) = schema.get("default") else { return };
    for error in validator.iter_errors(default) {
        let message = format!(
            "the default of input `{}` does not fit its own schema: {}",
            input.name.value,
            describe(&error, schema)
        );
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
            validator.iter_errors(value).map(|error| describe(&error, &one.schema)).collect()
        }
        (None, _) | (_, None) => Vec::new(),
    };
    for error in &errors {
        let message = format!("input `{}` does not fit: {error}", name.value);
        let mut mistake = checker.mistake(Code::InvalidInput, name.span, message);
        mistake.help = as_json_list(value, &one.schema);
        checker.found.push(mistake);
    }
    errors.is_empty().then(|| (name.value.clone(), value.clone()))
}

/// A text that was given where a list is needed, as the list that was meant.
fn as_json_list(value: &Value, schema: &Value) -> Option<String> {
    let text = value.as_str()?;
    if !schema::types_of(schema)?.contains(&"array") {
        return None;
    }
    let inside = text.trim().trim_start_matches('[').trim_end_matches(']');
    let items = inside.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
    let items: Vec<&str> = items.filter(|item| !item.is_empty()).collect();
    Some(format!("lists are JSON: `{}`", Value::from(items).to_string().replace(',', ", ")))
}

/// What a validator of this schema says, with the form that the value should have.
pub(crate) fn describe(error: &jsonschema::ValidationError<'_>, schema: &Value) -> String {
    use jsonschema::error::ValidationErrorKind as Kind;
    let format = match error.kind() {
        Kind::Format { format } => Some(format.as_str()),
        Kind::Type { .. } => {
            let asks = error.schema_path().as_str().strip_suffix("/type");
            asks.and_then(|asks| schema.pointer(asks)?.get("format")?.as_str())
        }
        _ => None,
    };
    match format.and_then(|format| Some((format, formats::example(format)?))) {
        Some((format, example)) => format!("{} is not a {format}: write {example}", error.instance()),
        None => error.to_string(),
    }
}
