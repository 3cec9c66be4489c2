//! The hash chain: every record holds the hash of the one before it, the head that of the last.

use std::collections::BTreeMap;
use std::io;

use longhaul_model::ids::RunId;
use longhaul_saga::{Entry, FIRST_PREVIOUS, Header, RECORD_VERSION, Record, SAGA_VERSION};
use serde_json::Value;

use super::Error;
use super::blobs::{self, Blobs};

/// A record as it is stored: large fields of its payload are references.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What it holds.
    pub header: Header,
    /// The payload's text, over which the hash goes.
    pub text: String,
}

impl Stored {
    /// The record as a line of an export.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(&self.header).expect("a header holds only what JSON has")
    }

    /// A record of such a line.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_line(line: &str) -> serde_json::Result<Self> {
        let header: Header = serde_json::from_str(line)?;
        Ok(Self { text: header.payload.to_string(), header })
    }
}

/// A run as it is stored, whole: its records, and the values that they name by digest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bundle {
    /// The records, from the first.
    pub records: Vec<Stored>,
    /// The values as JSON, by their digests.
    pub values: BTreeMap<String, String>,
}

impl Bundle {
    /// The run; none without records.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        self.records.first().map(|record| &record.header.run)
    }

    /// The same run up to this record.
    #[must_use]
    pub fn cut(&self, records: usize) -> Self {
        Self { records: self.records[..records].to_vec(), values: self.values.clone() }
    }

    /// The records with every value in its place.
    ///
    /// # Errors
    /// [`Error::Lost`] when one that a record names is not here.
    pub fn whole(&self) -> Result<Vec<Stored>, Error> {
        let whole = |Stored { header, text }: &Stored| {
            let lost = |digest: &str| Error::NotThere { seq: header.seq, digest: digest.to_owned() };
            let get = |digest: &str| self.values.get(digest).cloned().ok_or_else(|| lost(digest));
            let text = blobs::put_back(text.clone(), get)?;
            let mut header = header.clone();
            // Text that is no JSON was changed; the chain says so with the record's name.
            header.payload = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok(Stored { header, text })
        };
        self.records.iter().map(whole).collect()
    }

    /// The records as the saga reads them.
    ///
    /// # Errors
    /// As [`whole`](Self::whole), and when this binary cannot read one.
    pub fn read(&self) -> Result<Vec<Record>, Error> {
        let read = |Stored { header, text }| Record::read_text(header, &text).map_err(Error::from);
        self.whole()?.into_iter().map(read).collect()
    }
}

/// A record that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} of run `{run}` is broken: {why}")]
pub struct Broken {
    /// The run.
    pub run: RunId,
    /// The first record that cannot be trusted.
    pub seq: u64,
    /// How one can tell.
    pub why: String,
}

/// The end of a run's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) digest: String,
}

impl Head {
    pub(super) fn empty() -> Self {
        Self { seq: 0, digest: FIRST_PREVIOUS.to_owned() }
    }

    /// The stored form of an entry at this end, which it moves. Large values are durable when this returns.
    pub(super) fn append(
        &mut self,
        run: &RunId,
        at_unix_ms: u64,
        entry: &Entry,
        blobs: &Blobs,
    ) -> io::Result<Stored> {
        let (kind, payload) = entry.split();
        let text = blobs::put_away(&payload, payload.to_string(), |value| blobs.put(value))?;
        let header = Header {
            run: run.clone(),
            seq: self.seq + 1,
            version: RECORD_VERSION,
            saga: SAGA_VERSION,
            at_unix_ms,
            kind,
            payload: Value::Null,
            previous: self.digest.clone(),
        };
        *self = Self { seq: header.seq, digest: header.digest(&text) };
        Ok(Stored { header, text })
    }
}

/// Follows the chain of one run from its first record and says where it ends.
///
/// # Errors
/// Names the first record that cannot be trusted. If a record was changed, that is the one before the first whose
/// `previous` does not fit.
pub(super) fn follow(run: &RunId, records: &[Stored]) -> Result<Head, Broken> {
    follow_from(Head::empty(), run, records)
}

/// The same of records that come behind this end.
pub(super) fn follow_from(mut head: Head, run: &RunId, records: &[Stored]) -> Result<Head, Broken> {
    for Stored { header, text } in records {
        let broken = |seq, why: &str| Broken { run: run.clone(), seq, why: why.to_owned() };
        if header.seq != head.seq + 1 {
            return Err(broken(head.seq + 1, "it is missing"));
        }
        if header.previous != head.digest {
            // Of the first record only its own `previous` can be wrong.
            let seq = head.seq.max(1);
            return Err(broken(seq, "its content does not fit the hash in the record after it"));
        }
        head = Head { seq: header.seq, digest: header.digest(text) };
    }
    Ok(head)
}
