//! The hash chain: every record holds the hash of the one before it, the head that of the last.

use longhaul_model::ids::RunId;
use longhaul_saga::{Entry, FIRST_PREVIOUS, Header, RECORD_VERSION, SAGA_VERSION};

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What it holds.
    pub header: Header,
    /// The payload's text, over which the hash goes.
    pub text: String,
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

    /// The stored form of an entry at this end, which it moves.
    pub(super) fn append(&mut self, run: &RunId, at_unix_ms: u64, entry: &Entry) -> Stored {
        let (kind, payload) = entry.split();
        let text = payload.to_string();
        let header = Header {
            run: run.clone(),
            seq: self.seq + 1,
            version: RECORD_VERSION,
            saga: SAGA_VERSION,
            at_unix_ms,
            kind,
            payload,
            previous: self.digest.clone(),
        };
        *self = Self { seq: header.seq, digest: header.digest(&text) };
        Stored { header, text }
    }
}

/// Follows the chain of one run from its first record and says where it ends.
///
/// # Errors
/// Names the first record that cannot be trusted. If a record was changed, that is the one before the first whose
/// `previous` does not fit.
pub(super) fn follow(run: &RunId, records: &[Stored]) -> Result<Head, Broken> {
    let mut head = Head::empty();
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
