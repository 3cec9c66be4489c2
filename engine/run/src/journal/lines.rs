//! Records as JSON lines: the form of exports, fixtures and replays.

use std::io::{self, Write};

use longhaul_saga::{Header, Record};

use super::chain::{self, Head};
use super::{Error, Stored};

/// Writes one line per record.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_lines(out: &mut dyn Write, records: &[Stored]) -> io::Result<()> {
    for record in records {
        let line = serde_json::to_string(&record.header)?;
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Reads exported lines of one run, follows their chain, and returns them as stored and as read.
///
/// # Errors
/// When a line is no record, the chain is broken, or this binary cannot read a record.
pub fn read_lines(text: &str) -> Result<(Vec<Stored>, Vec<Record>), Error> {
    let mut stored = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let malformed = |source| Error::Line { line: index + 1, source };
        let header: Header = serde_json::from_str(line).map_err(malformed)?;
        stored.push(Stored { text: header.payload.to_string(), header });
    }
    if let Some(first) = stored.first() {
        chain::follow(&first.header.run, &stored)?;
    }
    let records = stored.iter().map(|stored| Record::read(stored.header.clone()));
    let records = records.collect::<Result<_, _>>()?;
    Ok((stored, records))
}

/// Hashes records anew after something in them was redacted. Their order and numbers stay.
#[must_use]
pub fn rechain(headers: Vec<Header>) -> Vec<Stored> {
    let mut head = Head::empty();
    let mut link = |mut header: Header| {
        header.previous.clone_from(&head.digest);
        let text = header.payload.to_string();
        head = Head { seq: header.seq, digest: header.digest(&text) };
        Stored { header, text }
    };
    headers.into_iter().map(&mut link).collect()
}
