//! `config.yaml`: settings of a user or a machine that no flag and no variable has to repeat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longhaul_model::document::Document;
use longhaul_model::read::{Read as _, Reader};
use longhaul_model::source::Source;

use super::{Origin, Setting, invalid};
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// The keys there are.
const KEYS: [&str; 2] = ["state", "sites"];

/// What the file says; nothing if there is none.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

impl ConfigFile {
    /// Reads the file. That there is none is fine.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.doing(exit_code::INVALID_FILE, || format!("read {}", path.display()))?,
        };
        let values = if text.trim().is_empty() { BTreeMap::new() } else { values(path, &text)? };
        Ok(Self { path: path.to_owned(), values })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(path: &str, values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self { path: path.into(), values: values.collect() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn state(&self) -> Option<Setting<PathBuf>> {
        self.value("state")
    }

    pub(crate) fn sites(&self) -> Option<Setting<PathBuf>> {
        self.value("sites")
    }

    fn value(&self, key: &str) -> Option<Setting<PathBuf>> {
        let value = self.values.get(key)?.into();
        Some(Setting { value, origin: Origin::File(self.path.clone()) })
    }
}

/// The values of the file, every mistake shown.
fn values(path: &Path, text: &str) -> Result<BTreeMap<String, String>> {
    let source = Source::new(&path.display().to_string(), text);
    let document = Document::parse(&source).map_err(|found| invalid(&found))?;
    let mut reader = Reader::new(&source);
    reader.fields(&document.root, "the configuration", &KEYS);
    let mut values = BTreeMap::new();
    for entry in document.root.entries() {
        if let Some(value) = String::read(&entry.value, &mut reader) {
            values.insert(entry.key.value.clone(), value);
        }
    }
    reader.found.or(Some(values)).map_err(|found| invalid(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missing file says nothing, a key it does not know is a mistake of the file.
    #[test]
    fn a_missing_file_is_fine_and_an_unknown_key_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        assert_eq!(ConfigFile::read(&path).unwrap().state(), None);
        std::fs::write(&path, "state: /s\n").unwrap();
        assert_eq!(ConfigFile::read(&path).unwrap().state().unwrap().value, Path::new("/s"));
        std::fs::write(&path, "stat: /s\n").unwrap();
        assert_eq!(ConfigFile::read(&path).unwrap_err().code(), exit_code::INVALID_FILE);
    }
}
