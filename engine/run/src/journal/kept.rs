//! States that are kept beside the records, the last one of each run: a long run is taken up from there instead of from its first
//! record.
//!
//! A kept state is a shortcut and nothing else. One that is of another form, of another version of the saga, damaged, or of a
//! record that is not there is passed over, and the records are folded from the first.

use longhaul_model::ids::RunId;
use longhaul_saga::event::RunCreated;
use longhaul_saga::{Entry, Event, Fold, FoldError, KEPT_FORM, Record, SAGA_VERSION, Saga, sha256_hex};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::chain::{self, Head};
use super::error::database;
use super::schema::Kind;
use super::{Error, Reader, Stored};

/// A state to be kept.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) run: RunId,
    /// The last record that it has seen.
    pub(super) seq: u64,
    /// The number of the last message that it has seen.
    pub(super) message: u64,
    pub(super) state: String,
}

/// A state as it is kept.
struct Kept {
    seq: u64,
    message: u64,
    digest: String,
    state: String,
}

/// What a driver needs to go on with a run.
#[derive(Debug)]
pub struct TakenUp {
    /// The state after the last record.
    pub fold: Fold,
    /// The first record, and those behind the state that was kept; all if none was.
    pub records: Vec<Record>,
    /// The number of the last message that is in the records.
    pub message: u64,
}

/// Keeps a state in place of the one before; not if records have come behind it in the meantime. One that cannot be kept is
/// dropped: it must never stop a run.
pub(super) fn keep(tx: &Transaction<'_>, head: Option<&Head>, keeping: &Keeping) {
    let Keeping { run, seq, message, state } = keeping;
    let Some(head) = head.filter(|head| head.seq == *seq) else { return };
    let sql = "INSERT OR REPLACE INTO states (run, seq, form, saga, digest, message, state, hash)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let hash = sha256_hex(state.as_bytes());
    let row = (run.as_str(), seq, KEPT_FORM, SAGA_VERSION, &head.digest, message, state, hash);
    if let Err(error) = tx.execute(sql, row) {
        tracing::warn!(%error, "dropped a state that was to be kept");
    }
}

impl Reader {
    /// What is needed to go on with a run: from the state that was kept of it, if there is one, else from its first record.
    ///
    /// # Errors
    /// When there is no such run, or a record that is needed was changed, cannot be read or does not follow from those before it.
    pub fn take_up(&self, run: &RunId) -> Result<TakenUp, Error> {
        if let Some(kept) = self.kept(run)?
            && let Some(taken_up) = self.take_up_from(run, kept)?
        {
            return Ok(taken_up);
        }
        let records = self.records(run)?;
        let fold = Saga::fold(&records).map_err(folding(run))?;
        let message = last_message(&records);
        Ok(TakenUp { fold, records, message })
    }

    fn take_up_from(&self, run: &RunId, kept: Kept) -> Result<Option<TakenUp>, Error> {
        let stored = self.texts(run, kept.seq)?;
        let Some((at, behind)) = stored.split_first() else { return Ok(None) };
        if at.header.digest(&at.text) != kept.digest {
            return Ok(None);
        }
        chain::follow_from(Head { seq: kept.seq, digest: kept.digest }, run, behind)?;
        let first = self.first(run)?;
        let Some(saga) = recall(&first, &kept.state) else { return Ok(None) };
        let behind = behind.iter().map(|stored: &Stored| self.read(stored.clone()));
        let behind = behind.collect::<Result<Vec<_>, _>>()?;
        let mut fold = Fold { saga, unrecorded: Vec::new() };
        fold.go_on(&behind).map_err(folding(run))?;
        let message = last_message(&behind).max(kept.message);
        let records = std::iter::once(first).chain(behind).collect();
        Ok(Some(TakenUp { fold, records, message }))
    }

    /// The state that was kept of a run, if this binary can go on from it.
    fn kept(&self, run: &RunId) -> Result<Option<Kept>, Error> {
        if self.kind != Kind::Journal {
            return Ok(None);
        }
        let sql =
            "SELECT seq, message, digest, state, hash FROM states WHERE run = ?1 AND form = ?2 AND saga = ?3";
        let row = |row: &Row<'_>| {
            let (state, hash): (String, String) = (row.get(3)?, row.get(4)?);
            let is_whole = sha256_hex(state.as_bytes()) == hash;
            let kept = Kept { seq: row.get(0)?, message: row.get(1)?, digest: row.get(2)?, state };
            Ok(is_whole.then_some(kept))
        };
        let kept = self.db.query_row(sql, (run.as_str(), KEPT_FORM, SAGA_VERSION), row).optional();
        Ok(kept.map_err(database("read the kept state"))?.flatten())
    }

    /// Whether the state that was kept of a run is the one that its records make.
    pub(super) fn verify_kept(&self, run: &RunId) -> Result<(), Error> {
        let Some(kept) = self.kept(run)? else { return Ok(()) };
        let records = self.records(run)?;
        let seen = records.iter().take_while(|record| record.seq <= kept.seq).count();
        let fold = Saga::fold(&records[..seen]).map_err(folding(run))?;
        if fold.saga.keep().as_ref() == Some(&kept.state) {
            return Ok(());
        }
        Err(Error::WrongState { run: run.clone(), seq: kept.seq })
    }
}

pub(super) fn folding(run: &RunId) -> impl Fn(FoldError) -> Error {
    let run = run.clone();
    move |source| Error::Fold { run: run.clone(), source: Box::new(source) }
}

fn recall(first: &Record, state: &str) -> Option<Saga> {
    let Entry::Event(Event::RunCreated(created)) = &first.entry else { return None };
    let RunCreated { plan, .. } = &**created;
    Saga::recall(state, plan.clone())
        .inspect_err(|error| tracing::warn!(run = %first.run, %error, "a kept state is passed over"))
        .ok()
}

/// The number of the last message that is in these records.
fn last_message(records: &[Record]) -> u64 {
    let number = |record: &Record| match &record.entry {
        Entry::Event(event) => event.message(),
        Entry::Intent(_) => None,
    };
    records.iter().filter_map(number).max().unwrap_or(0)
}
