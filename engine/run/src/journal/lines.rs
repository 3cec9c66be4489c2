//! One run's records as JSON lines: the form of exports, fixtures and replays.
//!
//! ```text
//! {"export":1,"written_by":"longhaul 0.1.0","command":"...","redacted":false,"run":"...","records":2,"head":"...","values":1}
//! {"value":"9f86d081...","text":"{\"lines\":[ ... ]}"}
//! {"run":"...","seq":1, ... ,"kind":"run_created","payload":{...},"previous":"000..."}
//! {"run":"...","seq":2, ... ,"kind":"start","payload":{...},"previous":"9a1..."}
//! ```
//!
//! After the first line come the large values that records name by digest, if there are any, then the records.
//!
//! The first line says what follows and holds the hash of the last record, so that a torn file is told from a whole one.

use std::collections::BTreeMap;
use std::io::{self, Write};

use longhaul_model::ids::RunId;
use longhaul_saga::{Header, RECORD_VERSION, Record, SAGA_VERSION, sha256_hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::{self, Head};
use super::{Broken, Bundle, Error, Stored};

/// The form of the exports that this binary writes and reads.
pub const EXPORT_FORMAT: u32 = 1;

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The form of the file.
    pub export: u32,
    /// The program and its version.
    pub written_by: String,
    /// The command that wrote it.
    pub command: String,
    /// Whether what names machines, people and times was taken out; see [`redact`](super::redact()).
    pub redacted: bool,
    /// The run.
    pub run: RunId,
    /// How many records follow.
    pub records: u64,
    /// SHA-256 of the last record, in hex.
    pub head: String,
    /// How many values come before the records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub values: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A value that records name by its digest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueLine {
    value: String,
    text: String,
}

/// Who writes an export.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The program and its version.
    pub program: &'a str,
    /// The command that was given.
    pub command: &'a str,
    /// Whether the records were redacted.
    pub redacted: bool,
}

/// An export that was read and whose chain was followed to its head.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its first line.
    pub about: About,
    /// The run as it was stored.
    pub bundle: Bundle,
    /// The records as read.
    pub records: Vec<Record>,
}

/// Writes the records of one run, all of them, from the first.
///
/// # Errors
/// When there are none or their chain is broken, and when `out` cannot be written.
pub fn write_export(out: &mut dyn Write, writer: Writer<'_>, bundle: &Bundle) -> Result<(), Error> {
    let run = bundle.run().ok_or(Error::NoExport)?.clone();
    let head = chain::follow(&run, &bundle.records)?;
    let about = About {
        export: EXPORT_FORMAT,
        written_by: writer.program.to_owned(),
        command: writer.command.to_owned(),
        redacted: writer.redacted,
        run,
        records: head.seq,
        head: head.digest,
        values: bundle.values.len(),
    };
    let mut write = || -> io::Result<()> {
        writeln!(out, "{}", serde_json::to_string(&about)?)?;
        for (value, text) in &bundle.values {
            let line = ValueLine { value: value.clone(), text: text.clone() };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        }
        for record in &bundle.records {
            writeln!(out, "{}", record.line())?;
        }
        out.flush()
    };
    write().map_err(Error::Write)
}

/// Reads an export and follows its chain to the head that its first line names.
///
/// # Errors
/// [`Error::NoExport`] for a file of another kind, [`Error::NewerExport`] for one of a newer Longhaul,
/// [`Error::Broken`] with the first record that cannot be trusted, [`Error::Line`] and [`Error::Unreadable`].
pub fn read_export(text: &str) -> Result<Export, Error> {
    let mut lines = text.lines();
    let about = read_about(lines.next().unwrap_or_default())?;
    let mut bundle = Bundle::default();
    for (index, line) in lines.enumerate() {
        let malformed = |source| Error::Line { line: index + 2, source };
        if index < about.values {
            let ValueLine { value, text } = serde_json::from_str(line).map_err(malformed)?;
            if sha256_hex(text.as_bytes()) != value {
                return Err(Error::WrongValue { line: index + 2 });
            }
            bundle.values.insert(value, text);
            continue;
        }
        bundle.records.push(Stored::of_line(line).map_err(malformed)?);
    }
    follow(&about, &bundle.records)?;
    let records = bundle.read()?;
    Ok(Export { about, bundle, records })
}

/// The form is looked at before anything else: a newer one may have other fields.
fn read_about(line: &str) -> Result<About, Error> {
    let value: Value = serde_json::from_str(line).map_err(|_| Error::NoExport)?;
    let found = value["export"].as_u64().ok_or(Error::NoExport)?;
    if found > u64::from(EXPORT_FORMAT) {
        return Err(Error::NewerExport { found, known: EXPORT_FORMAT });
    }
    serde_json::from_value(value).map_err(|source| Error::Line { line: 1, source })
}

fn follow(about: &About, stored: &[Stored]) -> Result<(), Error> {
    let broken = |seq, why: &str| Error::from(Broken { run: about.run.clone(), seq, why: why.to_owned() });
    if let Some(other) = stored.iter().find(|record| record.header.run != about.run) {
        return Err(broken(other.header.seq, "it is of another run"));
    }
    let Head { seq, digest } = chain::follow(&about.run, stored)?;
    if seq < about.records {
        return Err(broken(seq + 1, "it was written and is missing"));
    }
    if seq > about.records || digest != about.head {
        return Err(broken(seq, "its content does not fit the hash in the export's first line"));
    }
    Ok(())
}

/// Records that never were in a journal, such as those of a simulated run, as one would store them.
#[must_use]
pub fn bundle_of(records: &[Record]) -> Bundle {
    let header = |record: &Record| {
        let (kind, payload) = record.entry.split();
        let Record { run, seq, at_unix_ms, entry: _ } = record.clone();
        let (version, saga, previous) = (RECORD_VERSION, SAGA_VERSION, String::new());
        Header { run, seq, version, saga, at_unix_ms, kind, payload, previous }
    };
    rechain(records.iter().map(header).collect())
}

/// Hashes records anew after something in them was changed. Their order and numbers stay.
#[must_use]
pub fn rechain(headers: Vec<Header>) -> Bundle {
    let mut head = Head::empty();
    let mut link = |mut header: Header| {
        header.previous.clone_from(&head.digest);
        let text = header.payload.to_string();
        head = Head { seq: header.seq, digest: header.digest(&text) };
        Stored { header, text }
    };
    Bundle { records: headers.into_iter().map(&mut link).collect(), values: BTreeMap::new() }
}
