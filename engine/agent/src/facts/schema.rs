//! The tables, and which version of them a file holds.

use rusqlite::{Connection, OptionalExtension};

use super::error::Error;

/// The version this agent writes: 2 added `names_former`, 3 `copies` and `copied_to`.
const VERSION: u32 = 3;

/// `handovers_decision` is the rule "no RUN and NACK for one epoch"; the primary key of `handovers` is the rule "a fact is
/// made once". Epochs are whole numbers from 1; times are milliseconds since 1970.
const TABLES: &str = "
CREATE TABLE schema (version INTEGER NOT NULL);
CREATE TABLE vms (
    vm TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('owner', 'relinquished', 'incoming', 'absent')),
    role_epoch INTEGER NOT NULL,
    highest_epoch INTEGER NOT NULL CHECK (highest_epoch >= role_epoch)
) STRICT;
CREATE TABLE handovers (
    vm TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    fact TEXT NOT NULL CHECK (fact IN ('attempt', 'abandoned', 'relinquish', 'run', 'nack')),
    side TEXT NOT NULL CHECK (side IN ('source', 'target')),
    run TEXT NOT NULL,
    detail TEXT NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (vm, epoch, fact)
) STRICT;
CREATE UNIQUE INDEX handovers_decision ON handovers (vm, epoch) WHERE fact IN ('run', 'nack');
CREATE UNIQUE INDEX handovers_way_out ON handovers (vm, epoch) WHERE fact IN ('abandoned', 'relinquish');
CREATE TABLE moving (vm TEXT PRIMARY KEY, run TEXT NOT NULL, controller TEXT NOT NULL, since_unix_ms INTEGER NOT NULL)
    STRICT;
CREATE TABLE operations (
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL,
    result BLOB NOT NULL,
    version INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    begun_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (key, attempt, kind)
) STRICT;
CREATE TABLE names (vm TEXT PRIMARY KEY, address TEXT NOT NULL, ttl_seconds INTEGER NOT NULL, serial INTEGER NOT NULL)
    STRICT;
CREATE INDEX operations_unfinished ON operations (finished) WHERE finished = 0;
";

/// What an effect found a name answered with, by the effect's key, until it is taken away.
const NAMES_FORMER: &str = "
CREATE TABLE names_former (key TEXT PRIMARY KEY, address TEXT NOT NULL, ttl_seconds INTEGER NOT NULL) STRICT;
";

/// Copies of other sites' disks that are kept here, and for which site this one counts the writes to its own. `made_by` is the
/// key of the effect that made a copy, `taken_by` the run that has taken it over.
const COPIES: &str = "
CREATE TABLE copies (
    vm TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    origin INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    taken_by TEXT,
    kept_unix_ms INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL,
    present_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE copied_to (vm TEXT PRIMARY KEY, target TEXT NOT NULL) STRICT;
";

/// Which calls hold a VM: of this connection, not of the file.
const PASSING: &str = "
CREATE TEMP TABLE IF NOT EXISTS passing (
    vm TEXT NOT NULL,
    run TEXT NOT NULL,
    controller TEXT NOT NULL,
    since_unix_ms INTEGER NOT NULL
) STRICT;
";

/// What each version added, from the second one on.
const ADDED: [&str; VERSION as usize - 1] = [NAMES_FORMER, COPIES];

/// Makes the tables in an empty file and adds what an older one lacks; refuses a file of a newer agent.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Error> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(PASSING)?;
    let transaction = connection.transaction()?;
    let made = "SELECT 1 FROM sqlite_master WHERE name = 'schema'";
    if transaction.query_row(made, [], |_| Ok(())).optional()?.is_none() {
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO schema VALUES (1)", [])?;
    }
    let found: u32 = transaction.query_row("SELECT max(version) FROM schema", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::Newer { found, known: VERSION });
    }
    if found < VERSION {
        for tables in ADDED.iter().skip(found.saturating_sub(1) as usize) {
            transaction.execute_batch(tables)?;
        }
        transaction.execute("UPDATE schema SET version = ?1", [VERSION])?;
    }
    transaction.commit().map_err(Error::Commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of any earlier version gets what it lacks, and no more.
    #[test]
    fn an_older_file_is_brought_up() {
        for older in 1..VERSION {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(TABLES).unwrap();
            ADDED[..older as usize - 1].iter().for_each(|tables| connection.execute_batch(tables).unwrap());
            connection.execute("INSERT INTO schema VALUES (?1)", [older]).unwrap();
            prepare(&mut connection).unwrap();
            for table in ["names_former", "copies", "copied_to"] {
                let rows = format!("SELECT count(*) FROM {table}");
                assert_eq!(connection.query_row(&rows, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
            }
            let version = "SELECT version FROM schema";
            assert_eq!(connection.query_row(version, [], |row| row.get::<_, u32>(0)).unwrap(), VERSION);
        }
    }

    /// A file of a newer agent is refused by its number and left as it is.
    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection).unwrap();
        prepare(&mut connection).unwrap();
        connection.execute("UPDATE schema SET version = 4", []).unwrap();
        let refused = prepare(&mut connection).unwrap_err();
        assert!(matches!(refused, Error::Newer { found: 4, known: 3 }), "{refused}");
    }
}
