//! A judged run of a case: what is kept of it when there are thousands.

use longhaul_saga::{Record, Status};

use super::names::Seen;
use super::{Case, Failing};
use crate::{Fault, Ran};

/// A judged run.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What went wrong in it.
    pub fault: Fault,
    /// How it ended.
    pub status: Status,
    /// From its first to its last record, in milliseconds of the virtual clock.
    pub took_ms: u64,
    /// What did not come true.
    pub failing: Vec<Failing>,
    /// Its records; none if everything came true.
    pub records: Vec<Record>,
    /// What it shows of the case's names.
    pub(super) seen: Vec<Seen>,
}

impl Verdict {
    /// The record at which all that is wrong has shown; none if some of it only shows at the end.
    #[must_use]
    pub fn shows_at(&self) -> Option<u64> {
        let records: Option<Vec<u64>> = self.failing.iter().map(|failing| failing.record).collect();
        records.and_then(|records| records.into_iter().max())
    }
}

impl Case {
    /// Judges a run and keeps what a person needs to see of it.
    #[must_use]
    pub fn verdict(&self, ran: Ran) -> Verdict {
        let (failing, seen) = (self.judge(&ran), self.seen_in(&ran.records));
        let (status, took_ms) = (ran.status(), ran.took_ms());
        let records = if failing.is_empty() { Vec::new() } else { ran.records };
        Verdict { fault: ran.fault, status, took_ms, failing, records, seen }
    }
}
