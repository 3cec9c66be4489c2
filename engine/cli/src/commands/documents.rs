//! Reading the files that operators name.

use std::path::Path;

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::document::Document;
use longhaul_model::source::Source;

use crate::commands::validate;
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::{invalid, mistakes};
use crate::{exit_code, output};

/// A file as text under the name the operator gave it.
pub(super) fn source(path: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(path);
    let text = text.doing(exit_code::INVALID_FILE, || format!("read {}", path.display()))?;
    Ok(Source::new(&path.display().to_string(), &text))
}

/// How the mistakes of a file are shown by a command that needs the file to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// To people, as talk.
    Text,
    /// To scripts, as data in the form of `longhaul validate --json`.
    Json,
}

impl Shown {
    /// As the command's `--json` says.
    pub(super) fn by(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Shows every mistake of a file, and makes the command's failure of them.
    pub(super) fn refuse(self, file: &Path, found: &Diagnostics) -> Failure {
        match self {
            Self::Text => invalid(found),
            Self::Json => {
                output::json(&[validate::as_json(file, found)]);
                mistakes(found)
            }
        }
    }
}

/// A file as a document, or everything that is wrong with its form.
pub(super) fn document(path: &Path) -> Result<std::result::Result<Document, Diagnostics>> {
    Ok(Document::parse(&source(path)?))
}
