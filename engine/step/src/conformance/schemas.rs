//! The descriptor's schemas are schemas, and its parameters fit them.

use serde_json::Value;

use super::{Subject, Violation, expect};

pub(super) fn check(subject: &dyn Subject) -> Vec<Violation> {
    let action = subject.action();
    let descriptor = action.descriptor();
    let mut violations = Vec::new();
    violations.extend(valid(
        "`params` is a JSON Schema 2020-12",
        &descriptor.params,
        Some(&subject.params()),
    ));
    violations.extend(valid("`outputs` is a JSON Schema 2020-12", &descriptor.outputs, None));
    let findings = action.check(&subject.params(), &Value::Object(serde_json::Map::new()));
    violations.extend(expect("`check` accepts parameters that succeed", findings.is_empty(), || {
        format!("{findings:?}")
    }));
    violations
}

fn valid(promise: &'static str, schema: &Value, instance: Option<&Value>) -> Option<Violation> {
    match jsonschema::draft202012::new(schema) {
        Err(error) => Some(Violation { promise, seen: error.to_string() }),
        Ok(validator) => {
            let error = validator.iter_errors(instance?).next()?;
            Some(Violation { promise: "the parameters fit their schema", seen: error.to_string() })
        }
    }
}

/// Whether outputs fit the schema that the descriptor promises.
pub(super) fn outputs(subject: &dyn Subject, outputs: &Value) -> Option<Violation> {
    let action = subject.action();
    let validator = jsonschema::draft202012::new(&action.descriptor().outputs).ok()?;
    let error = validator.iter_errors(outputs).next()?;
    Some(Violation { promise: "the outputs fit their schema", seen: format!("{error} in {outputs}") })
}
