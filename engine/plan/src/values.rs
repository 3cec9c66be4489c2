//! Values held against a JSON Schema, with the formats that Longhaul adds.

use jsonschema::Validator;
use longhaul_model::action::Finding;
use serde_json::Value;

use crate::{inputs, schema};

/// A schema that values can be held against.
#[derive(Debug, Clone)]
pub struct ValueSchema {
    validator: Validator,
    schema: Value,
}

impl ValueSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Why it is none.
    pub fn new(schema: &Value) -> Result<Self, String> {
        let validator = schema::validator(schema).map_err(|error| error.message)?;
        Ok(Self { validator, schema: schema.clone() })
    }

    /// Everything about a value that does not fit.
    #[must_use]
    pub fn misfits(&self, value: &Value) -> Vec<Finding> {
        let finding = |error: jsonschema::ValidationError<'_>| Finding {
            pointer: error.instance_path().as_str().to_owned(),
            message: inputs::describe(&error, &self.schema),
        };
        self.validator.iter_errors(value).map(finding).collect()
    }
}
