//! Reading the files that operators name.

use std::path::Path;

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::document::Document;
use longhaul_model::source::Source;

use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// A file as text under the name the operator gave it.
pub(super) fn source(path: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(path);
    let text = text.doing(exit_code::INVALID_FILE, || format!("read {}", path.display()))?;
    Ok(Source::new(&path.display().to_string(), &text))
}

/// A file as a document, or everything that is wrong with its form.
pub(super) fn document(path: &Path) -> Result<std::result::Result<Document, Diagnostics>> {
    Ok(Document::parse(&source(path)?))
}
