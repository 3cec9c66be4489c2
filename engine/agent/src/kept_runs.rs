//! Records of runs that are kept here for the case that their controller is lost with its disk, and who of its controllers counts.
//!
//! In a database of its own, `runs.db`: what is kept for others never holds up a fact of this site. The records are lines of text
//! here; whoever reads them again follows their hashes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_wire::v1;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::{Class, Error};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS controllers (run TEXT PRIMARY KEY, generation INTEGER NOT NULL, controller TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS records (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT;
CREATE TABLE IF NOT EXISTS kept_values (run TEXT NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (run, digest)) STRICT;
";

/// The hash that stands before a run's first record.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// So many bytes of records are read for one answer; the last one may go beyond.
const ANSWER_BYTES: usize = 1 << 20;

/// The records that are kept here.
#[derive(Clone)]
pub(crate) struct KeptRuns {
    db: Arc<Mutex<Connection>>,
}

impl KeptRuns {
    /// Opens what is kept, and makes the database if there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let db = Connection::open(path)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.execute_batch(TABLES)?;
            Ok(db)
        };
        let db =
            open().map_err(|error: rusqlite::Error| Error::internal("opening the runs kept here", &error))?;
        Ok(Self { db: Arc::new(Mutex::new(db)) })
    }

    /// Lets the controller of this generation ask for something, unless one of a higher generation has asked before.
    pub(crate) fn admit(&self, run: &str, generation: u64, controller: &str) -> Result<(), Error> {
        if generation == 0 {
            return Ok(());
        }
        self.write(|db| admit(db, run, generation, controller))
    }

    /// Lets whoever has that generation ask for something, unless one of a higher generation has asked before.
    pub(crate) fn admit_generation(&self, run: &str, generation: u64) -> Result<(), Error> {
        self.write(|db| match known(db, run)? {
            Some((known, by)) if generation > 0 && known > generation => {
                Err(taken_over(run, &by, "the one that asks"))
            }
            Some(_) | None => Ok(()),
        })
    }

    /// Keeps records that follow what is kept; the number of the last one that is kept then.
    pub(crate) fn keep(&self, asked: &v1::KeepRecordsRequest) -> Result<u64, Error> {
        self.write(|db| {
            admit(db, &asked.run, asked.generation, &asked.controller)?;
            let (mut kept, mut digest) = head(db, &asked.run)?;
            for value in &asked.values {
                db.execute(
                    "INSERT OR IGNORE INTO kept_values VALUES (?1, ?2, ?3)",
                    (&asked.run, &value.digest, &value.text),
                )?;
            }
            for record in &asked.records {
                if record.seq <= kept {
                    continue;
                }
                if record.seq != kept + 1 || record.previous != digest {
                    break;
                }
                db.execute(
                    "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5)",
                    (&asked.run, signed(record.seq), &record.previous, &record.digest, &record.line),
                )?;
                (kept, digest) = (record.seq, record.digest.clone());
            }
            Ok(kept)
        })
    }

    /// Records of a run from this number on, as many as one answer holds.
    pub(crate) fn read(&self, run: &str, from: u64) -> Result<v1::ReadRecordsReply, Error> {
        self.write(|db| {
            let (kept, _) = head(db, run)?;
            let (generation, controller) = known(db, run)?.unwrap_or_default();
            let (mut records, mut bytes) = (Vec::new(), 0);
            let sql =
                "SELECT seq, previous, digest, line FROM records WHERE run = ?1 AND seq >= ?2 ORDER BY seq";
            let mut query = db.prepare(sql)?;
            let mut rows = query.query((run, signed(from)))?;
            while let (true, Some(row)) = (bytes < ANSWER_BYTES, rows.next()?) {
                let line: String = row.get(3)?;
                bytes += line.len();
                let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
                records.push(v1::KeptRecord { seq, previous: row.get(1)?, digest: row.get(2)?, line });
            }
            let values = values(db, run, &records)?;
            Ok(v1::ReadRecordsReply { records, values, kept, generation, controller })
        })
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Refused>) -> Result<T, Error> {
        let mut db: MutexGuard<'_, Connection> = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let carry_out = || {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        carry_out().map_err(|refused: Refused| match refused {
            Refused::By(error) => error,
            Refused::Database(error) => Error::internal("keeping records of a run", &error),
        })
    }
}

/// Why something is not written.
enum Refused {
    By(Error),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn admit(db: &Transaction<'_>, run: &str, generation: u64, controller: &str) -> Result<(), Refused> {
    match known(db, run)? {
        // A controller raises its generation whenever it comes up, so two of one generation are two that took the run over at once.
        Some((known, by)) if known > generation || (known == generation && by != controller) => {
            Err(taken_over(run, &by, controller))
        }
        Some((known, _)) if known == generation => Ok(()),
        Some(_) | None => {
            db.execute(
                "INSERT OR REPLACE INTO controllers VALUES (?1, ?2, ?3)",
                (run, signed(generation), controller),
            )?;
            Ok(())
        }
    }
}

fn taken_over(run: &str, by: &str, controller: &str) -> Refused {
    let message = format!("run {run} was taken over by {by}; {controller} has no say in it any more");
    Refused::By(Error::new(Class::Conflict, message))
}

fn known(db: &Transaction<'_>, run: &str) -> rusqlite::Result<Option<(u64, String)>> {
    let row =
        |row: &rusqlite::Row<'_>| Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(), row.get(1)?));
    db.query_row("SELECT generation, controller FROM controllers WHERE run = ?1", [run], row).optional()
}

/// The last record that is kept of a run, and its hash.
fn head(db: &Transaction<'_>, run: &str) -> rusqlite::Result<(u64, String)> {
    let row =
        |row: &rusqlite::Row<'_>| Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(), row.get(1)?));
    let sql = "SELECT seq, digest FROM records WHERE run = ?1 ORDER BY seq DESC LIMIT 1";
    Ok(db.query_row(sql, [run], row).optional()?.unwrap_or_else(|| (0, NOTHING.to_owned())))
}

/// The values that these records name.
fn values(
    db: &Transaction<'_>,
    run: &str,
    records: &[v1::KeptRecord],
) -> rusqlite::Result<Vec<v1::KeptValue>> {
    let mut all = Vec::new();
    let mut query = db.prepare("SELECT digest, text FROM kept_values WHERE run = ?1")?;
    let rows = query.query_map([run], |row| Ok(v1::KeptValue { digest: row.get(0)?, text: row.get(1)? }))?;
    for value in rows {
        let value = value?;
        if records.iter().any(|record| record.line.contains(&value.digest)) {
            all.push(value);
        }
    }
    Ok(all)
}

/// SQLite's whole numbers are signed; ours never reach the sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> v1::KeptRecord {
        let digest = |seq: u64| if seq == 0 { NOTHING.to_owned() } else { format!("digest-{seq}") };
        v1::KeptRecord { seq, previous: digest(seq - 1), digest: digest(seq), line: format!("line {seq}") }
    }

    fn request(generation: u64, records: &[u64]) -> v1::KeepRecordsRequest {
        let records = records.iter().copied().map(record).collect();
        let (run, controller) = ("run-1".to_owned(), format!("host-{generation}"));
        v1::KeepRecordsRequest { run, generation, controller, records, values: Vec::new() }
    }

    /// What follows is kept, what does not is not; what is kept stands there after a restart, and whoever asks again changes nothing.
    #[test]
    fn records_are_kept_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptRuns::open(&folder.path().join("runs.db")).unwrap();
        assert_eq!(kept.keep(&request(1, &[])).unwrap(), 0);
        assert_eq!(kept.keep(&request(1, &[2])).unwrap(), 0);
        assert_eq!(kept.keep(&request(1, &[1, 2])).unwrap(), 2);
        let mut other = request(1, &[3]);
        other.records[0].previous = "of another run".to_owned();
        assert_eq!(kept.keep(&other).unwrap(), 2);
        assert_eq!(kept.keep(&request(1, &[1, 2, 3])).unwrap(), 3);
        drop(kept);
        let kept = KeptRuns::open(&folder.path().join("runs.db")).unwrap();
        let read = kept.read("run-1", 2).unwrap();
        assert_eq!((read.kept, read.generation, read.controller.as_str()), (3, 1, "host-1"));
        assert_eq!(read.records, [record(2), record(3)]);
        assert_eq!(kept.read("run-2", 1).unwrap().kept, 0);
    }

    /// A controller that another one has taken the run from is refused, in whatever it asks, and told by whom.
    #[test]
    fn a_lower_generation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptRuns::open(&folder.path().join("runs.db")).unwrap();
        kept.keep(&request(3, &[1])).unwrap();
        kept.admit("run-1", 3, "host-3").unwrap();
        kept.admit("run-1", 0, "a command").unwrap();
        kept.admit("run-1", 5, "host-5").unwrap();
        kept.admit_generation("run-1", 5).unwrap();
        let again =
            [kept.admit("run-1", 5, "other").unwrap_err(), kept.admit_generation("run-1", 4).unwrap_err()];
        assert!(again.iter().all(|refused| refused.class == Class::Conflict), "{again:?}");
        for refused in
            [kept.admit("run-1", 3, "host-3").unwrap_err(), kept.keep(&request(4, &[2])).unwrap_err()]
        {
            assert_eq!(refused.class, Class::Conflict);
            assert!(refused.to_string().contains("taken over by host-5; "), "{refused}");
        }
        assert_eq!(kept.read("run-1", 1).unwrap().kept, 1);
    }
}
