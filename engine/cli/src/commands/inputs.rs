//! The inputs that a person gives a workflow.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::commands::documents::{self, Shown};
use crate::errors::{Failure, Result};
use crate::exit_code;

/// Inputs on the command line and in a file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Inputs {
    /// An input; VALUE is JSON if it reads as JSON, else text. Wins over --inputs
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = pair)]
    given: Vec<(String, Value)>,
    /// A YAML or JSON file with a map of inputs
    #[arg(id = "inputs_file", long = "inputs", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Inputs {
    /// All of them; mistakes in the file's form are shown.
    pub(super) fn gather(&self, shown: Shown) -> Result<Map<String, Value>> {
        let mut inputs = Map::new();
        if let Some(file) = &self.file {
            let document = documents::document(file)?.map_err(|found| shown.refuse(file, &found))?;
            match document.root.to_json() {
                Value::Object(map) => inputs = map,
                _ => {
                    let message = format!("{} holds no map of inputs", file.display());
                    return Err(Failure::said(exit_code::INVALID_FILE, message));
                }
            }
        }
        inputs.extend(self.given.iter().cloned());
        Ok(inputs)
    }
}

fn pair(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as --input from=a")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A value that reads as JSON is JSON, everything else is text, and the command line wins over the file.
    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inputs.yaml");
        std::fs::write(&file, "from: z\nto: b\n").unwrap();
        let given = ["from=a", "vms=[\"vm-a\"]", "present=0.85"].map(|text| pair(text).unwrap());
        let inputs = Inputs { given: given.into(), file: Some(file) }.gather(Shown::Text).unwrap();
        assert_eq!(
            Value::Object(inputs),
            json!({ "from": "a", "to": "b", "vms": ["vm-a"], "present": 0.85 })
        );
        assert!(pair("from").is_err());
    }
}
