//! Who works in a controller directory.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::error::database;
use super::{Error, schema};

/// The controller that works, or worked last, in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its process.
    pub pid: u32,
    /// Its host.
    pub host: String,
    /// When it opened the journal, in Unix milliseconds.
    pub started_at_unix_ms: u64,
    /// Raised by every controller; the highest is the one that may write.
    pub generation: u64,
}

impl Owner {
    /// Whether its process was on this host and is not there any more. A process that took its number over makes this say no.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.host == hostname() && !Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, host, started_at_unix_ms, generation } = self;
        let started =
            i64::try_from(*started_at_unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let started = started.map_or_else(|| "an unknown time".to_owned(), |at| format!("{at:.0}"));
        write!(f, "pid {pid} on host {host}, since {started}, generation {generation}")
    }
}

/// Takes the directory's lock, which the kernel drops when this process dies.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("controller.lock");
    let io = |source| Error::Io { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Held(holder(directory))),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Who holds the lock, as far as it has said so: between taking the lock and writing the row it has not.
fn holder(directory: &Path) -> Owner {
    let unknown = Owner { pid: 0, host: "unknown".to_owned(), started_at_unix_ms: 0, generation: 0 };
    let Ok((db, _)) = schema::open_reader(&directory.join("journal.db")) else { return unknown };
    read(&db).ok().flatten().unwrap_or(unknown)
}

pub(super) fn read(db: &Connection) -> Result<Option<Owner>, Error> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Owner {
            pid: row.get(0)?,
            host: row.get(1)?,
            started_at_unix_ms: row.get(2)?,
            generation: row.get(3)?,
        })
    };
    db.query_row("SELECT pid, host, started_at_unix_ms, generation FROM owner", [], row)
        .optional()
        .map_err(database("read the journal's owner"))
}

/// Writes this process down as the owner, one generation higher than the last, and of this one at least.
pub(super) fn take_over(db: &Connection, now_unix_ms: u64, at_least: u64) -> Result<Owner, Error> {
    let generation = (read(db)?.map_or(0, |owner| owner.generation) + 1).max(at_least);
    let (pid, host) = (std::process::id(), hostname());
    let owner = Owner { pid, host, started_at_unix_ms: now_unix_ms, generation };
    db.execute(
        "INSERT OR REPLACE INTO owner (one, pid, host, started_at_unix_ms, generation) VALUES (1, ?1, ?2, ?3, ?4)",
        (&owner.pid, &owner.host, &owner.started_at_unix_ms, &owner.generation),
    )
    .map_err(database("write the journal's owner"))?;
    Ok(owner)
}
