//! Reading the files that operators name.

use std::path::Path;

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::source::{Source, Span};

use crate::commands::{files, validate};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::{invalid, mistakes};
use crate::{exit_code, output};

/// A file as text under the name the operator gave it.
pub(super) fn source(path: &Path) -> Result<Source> {
    let text = files::text(path);
    let text = text.doing(exit_code::INVALID_FILE, || format!("read {}", path.display()))?;
    Ok(Source::new(&path.display().to_string(), &text))
}

/// The same for whoever looks for mistakes: that a file cannot be read is one of them.
pub(super) fn to_read(path: &Path) -> std::result::Result<Source, Diagnostics> {
    let name = path.display().to_string();
    files::text(path).map(|text| Source::new(&name, &text)).map_err(|error| {
        match files::no_text(path, &error) {
            Some((legible, at)) => {
                let message = "the file is not text in UTF-8 from here on";
                let bad = Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8());
                let one = Diagnostic::new(Code::OtherFile, &Source::new(&name, &legible), bad, message);
                one.labelled("no letter").help("save it as UTF-8").into()
            }
            None => {
                let message = format!("the file cannot be read: {error}");
                let one = Diagnostic::new(Code::OtherFile, &Source::new(&name, ""), Span::default(), message);
                one.help("correct the path, or make the file readable").into()
            }
        }
    })
}

/// How the mistakes of a file are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shown {
    /// For people, with the lines they are in
    Text,
    /// For scripts
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
}

/// The options that say in which form a command answers.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Form of the answer
    #[arg(long, value_enum, value_name = "FORM", default_value = "text", conflicts_with = "json")]
    format: Shown,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

impl Format {
    /// What the two options say together.
    pub(super) fn shown(self) -> Shown {
        if self.json { Shown::Json } else { self.format }
    }
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
            Self::Sarif => {
                output::json(&sarif(found));
                mistakes(found)
            }
        }
    }
}

/// Mistakes as code scanning reads them; without any, a log that says so.
pub(super) fn sarif(found: &Diagnostics) -> serde_json::Value {
    found.to_sarif(env!("CARGO_PKG_VERSION"))
}

/// A file as a document, or everything that is wrong with its form.
pub(super) fn document(path: &Path) -> Result<std::result::Result<Document, Diagnostics>> {
    Ok(Document::parse(&source(path)?))
}

/// A file as a document that is looked at for mistakes: those of its form that do not hinder reading are told with the others.
pub(super) fn to_check(path: &Path) -> Result<std::result::Result<Document, Diagnostics>> {
    Ok(Document::parse_noting(&source(path)?))
}
