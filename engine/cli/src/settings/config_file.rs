//! `config.yaml`: settings of a user or a machine that no flag and no variable has to repeat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longhaul_model::document::Document;
use longhaul_model::read::{Read as _, Reader};
use longhaul_model::source::Source;
use longhaul_model::units::Time;

use super::{Origin, Setting, invalid};
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// The keys there are.
const KEYS: [&str; 4] = ["state", "sites", "keep_runs_for", "keep_runs"];

/// What the file says; nothing if there is none.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
    retention: Retention,
}

/// How long runs are kept that are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retention {
    /// From their end; for ever if nothing is said and no number either.
    pub(crate) keep_runs_for: Option<Time>,
    /// So many of the newest stay, however old they are.
    pub(crate) keep_runs: Option<usize>,
}

impl Retention {
    /// Whether nothing ever goes.
    pub(crate) fn keeps_all(self) -> bool {
        self == Self::default()
    }
}

impl ConfigFile {
    /// Reads the file. That there is none is fine.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.doing(exit_code::INVALID_FILE, || format!("read {}", path.display()))?,
        };
        let (values, retention) = if text.trim().is_empty() { <_>::default() } else { read(path, &text)? };
        Ok(Self { path: path.to_owned(), values, retention })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(path: &str, values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self { path: path.into(), values: values.collect(), retention: Retention::default() }
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention
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
fn read(path: &Path, text: &str) -> Result<(BTreeMap<String, String>, Retention)> {
    let source = Source::new(&path.display().to_string(), text);
    let document = Document::parse(&source).map_err(|found| invalid(&found))?;
    let mut reader = Reader::new(&source);
    reader.fields(&document.root, "the configuration", &KEYS);
    let (mut values, mut retention) = (BTreeMap::new(), Retention::default());
    for entry in document.root.entries() {
        match entry.key.value.as_str() {
            "keep_runs_for" => retention.keep_runs_for = Time::read(&entry.value, &mut reader),
            "keep_runs" => {
                retention.keep_runs = u32::read(&entry.value, &mut reader).map(|number| number as usize);
            }
            key => {
                if let Some(value) = String::read(&entry.value, &mut reader) {
                    values.insert(key.to_owned(), value);
                }
            }
        }
    }
    reader.found.or(Some((values, retention))).map_err(|found| invalid(&found))
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
        std::fs::write(&path, "keep_runs_for: 36h\nkeep_runs: 5\n").unwrap();
        let kept = Retention { keep_runs_for: Some("36h".parse().unwrap()), keep_runs: Some(5) };
        assert_eq!(ConfigFile::read(&path).unwrap().retention(), kept);
        std::fs::write(&path, "keep_runs_for: long\n").unwrap();
        assert_eq!(ConfigFile::read(&path).unwrap_err().code(), exit_code::INVALID_FILE);
        std::fs::write(&path, "stat: /s\n").unwrap();
        assert_eq!(ConfigFile::read(&path).unwrap_err().code(), exit_code::INVALID_FILE);
    }
}
