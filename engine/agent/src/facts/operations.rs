//! The operations an agent was asked for. Requests, states and results are bytes and words of the caller's.

use rusqlite::{Connection, OptionalExtension, Row};

use super::error::Error;
use super::store::{Facts, now_unix_ms, signed, unsigned};

/// What names an operation: the same three always mean the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperationId {
    /// The key of the effect: run, step path and incarnation, as one text.
    pub key: String,
    /// The attempt.
    pub attempt: u32,
    /// What is done, such as `move-vm`; an undoing has a kind of its own.
    pub kind: String,
}

/// An operation to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation {
    /// Its name.
    pub id: OperationId,
    /// The request as it came.
    pub request: Vec<u8>,
    /// Its first state.
    pub state: String,
}

/// An operation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// Its name.
    pub id: OperationId,
    /// The request as it came.
    pub request: Vec<u8>,
    /// The state.
    pub state: String,
    /// What came out; empty until then.
    pub result: Vec<u8>,
    /// Raised with every change, from 1.
    pub version: u64,
    /// Whether it has ended.
    pub finished: bool,
    /// When it began, milliseconds since 1970.
    pub begun_unix_ms: u64,
}

/// What beginning an operation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is new, and durable now.
    New(OperationRow),
    /// It was begun before; nothing changed.
    Before(OperationRow),
}

const COLUMNS: &str = "key, attempt, kind, request, state, result, version, finished, begun_unix_ms";

impl Facts {
    /// Begins an operation, or returns the one begun before under the same name.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_begin(&self, new: &NewOperation) -> Result<Begun, Error> {
        self.write(|transaction| {
            if let Some(before) = find(transaction, &new.id)? {
                return Ok(Begun::Before(before));
            }
            insert(transaction, new)?;
            Ok(Begun::New(existing(transaction, &new.id)?))
        })
    }

    /// Begins an operation anew that was taken away, and forgets the undoing, which has to have ended in this state. False,
    /// and nothing changed, without such an undoing or while the operation is under way.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_begin_again(
        &self,
        new: &NewOperation,
        undoing: &OperationId,
        undone: &str,
    ) -> Result<bool, Error> {
        self.write(|transaction| {
            let is_under_way = find(transaction, &new.id)?.is_some_and(|row| !row.finished);
            let was_undone =
                find(transaction, undoing)?.is_some_and(|row| row.finished && row.state == undone);
            if is_under_way || !was_undone {
                return Ok(false);
            }
            for id in [&new.id, undoing] {
                transaction.execute(
                    "DELETE FROM operations WHERE key = ?1 AND attempt = ?2 AND kind = ?3",
                    (&id.key, id.attempt, &id.kind),
                )?;
            }
            insert(transaction, new)?;
            Ok(true)
        })
    }

    /// Changes the state of an operation, with its result if it has ended, and returns the new version.
    ///
    /// # Errors
    /// [`Error::NoOperation`]; fatal ones.
    pub fn operations_update(
        &self,
        id: &OperationId,
        state: &str,
        ended: Option<&[u8]>,
    ) -> Result<u64, Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE operations SET state = ?4, result = ifnull(?5, result), finished = ?5 IS NOT NULL,
                 version = version + 1 WHERE key = ?1 AND attempt = ?2 AND kind = ?3",
                (&id.key, id.attempt, &id.kind, state, ended),
            )?;
            Ok(existing(transaction, id)?.version)
        })
    }

    /// Writes another request over that of an operation that has not ended; what it does is the same. False if it has ended, or
    /// never was.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_rewrite(&self, id: &OperationId, request: &[u8]) -> Result<bool, Error> {
        self.write(|transaction| {
            let rewritten = transaction.execute(
                "UPDATE operations SET request = ?4 WHERE key = ?1 AND attempt = ?2 AND kind = ?3 AND finished = 0",
                (&id.key, id.attempt, &id.kind, request),
            )?;
            Ok(rewritten == 1)
        })
    }

    /// Makes an operation that has ended one that has not: it is to be taken up again. False if it has not ended, so that
    /// of two who ask at once one takes it up.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_reopen(&self, id: &OperationId, state: &str) -> Result<bool, Error> {
        self.write(|transaction| {
            let reopened = transaction.execute(
                "UPDATE operations SET state = ?4, result = x'', finished = 0, version = version + 1
                 WHERE key = ?1 AND attempt = ?2 AND kind = ?3 AND finished = 1",
                (&id.key, id.attempt, &id.kind, state),
            )?;
            Ok(reopened == 1)
        })
    }

    /// The operation of this name.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_get(&self, id: &OperationId) -> Result<Option<OperationRow>, Error> {
        self.read(|connection| find(connection, id))
    }

    /// Every operation under a key, by attempt.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_of_key(&self, key: &str) -> Result<Vec<OperationRow>, Error> {
        let query = format!("SELECT {COLUMNS} FROM operations WHERE key = ?1 ORDER BY attempt, kind");
        self.read(|connection| list(connection, &query, &[key]))
    }

    /// Every operation that has not ended, oldest first: what a restarted agent has to take up.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn operations_unfinished(&self) -> Result<Vec<OperationRow>, Error> {
        let query =
            format!("SELECT {COLUMNS} FROM operations WHERE finished = 0 ORDER BY begun_unix_ms, key");
        self.read(|connection| list(connection, &query, &[]))
    }
}

fn insert(connection: &Connection, new: &NewOperation) -> Result<(), Error> {
    let id = &new.id;
    connection.execute(
        "INSERT INTO operations VALUES (?1, ?2, ?3, ?4, ?5, x'', 1, 0, ?6)",
        (&id.key, id.attempt, &id.kind, &new.request, &new.state, signed(now_unix_ms())),
    )?;
    Ok(())
}

fn list(connection: &Connection, query: &str, values: &[&str]) -> Result<Vec<OperationRow>, Error> {
    let mut query = connection.prepare(query)?;
    let rows = query.query_map(rusqlite::params_from_iter(values), row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn find(connection: &Connection, id: &OperationId) -> Result<Option<OperationRow>, Error> {
    let query = format!("SELECT {COLUMNS} FROM operations WHERE key = ?1 AND attempt = ?2 AND kind = ?3");
    Ok(connection.query_row(&query, (&id.key, id.attempt, &id.kind), row).optional()?)
}

fn existing(connection: &Connection, id: &OperationId) -> Result<OperationRow, Error> {
    let missing = || Error::NoOperation(format!("{} ({}, attempt {})", id.key, id.kind, id.attempt));
    find(connection, id)?.ok_or_else(missing)
}

fn row(row: &Row<'_>) -> rusqlite::Result<OperationRow> {
    Ok(OperationRow {
        id: OperationId { key: row.get(0)?, attempt: row.get(1)?, kind: row.get(2)? },
        request: row.get(3)?,
        state: row.get(4)?,
        result: row.get(5)?,
        version: unsigned(row.get(6)?),
        finished: row.get(7)?,
        begun_unix_ms: unsigned(row.get(8)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation begins once, its version rises with every change, and what has not ended is found after a reopen.
    #[test]
    fn operations_begin_once_and_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let id = |key: &str| OperationId { key: key.to_owned(), attempt: 1, kind: "move-vm".to_owned() };
        let new = |key: &str| NewOperation { id: id(key), request: vec![1, 2], state: "running".to_owned() };
        let facts = Facts::open(&path).unwrap();
        assert!(matches!(facts.operations_begin(&new("a")).unwrap(), Begun::New(_)));
        assert!(matches!(facts.operations_begin(&new("a")).unwrap(), Begun::Before(_)));
        facts.operations_begin(&new("b")).unwrap();
        assert_eq!(facts.operations_update(&id("a"), "copying", None).unwrap(), 2);
        assert_eq!(facts.operations_update(&id("a"), "done", Some(&[9])).unwrap(), 3);
        assert!(matches!(facts.operations_update(&id("c"), "x", None).unwrap_err(), Error::NoOperation(_)));
        drop(facts);
        let facts = Facts::open(&path).unwrap();
        let ended = facts.operations_get(&id("a")).unwrap().unwrap();
        assert_eq!((ended.state.as_str(), &ended.result[..], ended.finished), ("done", &[9][..], true));
        let open: Vec<_> = facts.operations_unfinished().unwrap().into_iter().map(|row| row.id.key).collect();
        assert_eq!(open, ["b"]);
        assert!(
            !facts.operations_rewrite(&id("a"), &[7]).unwrap()
                && facts.operations_rewrite(&id("b"), &[7]).unwrap()
        );
        let requests = ["a", "b"].map(|key| facts.operations_get(&id(key)).unwrap().unwrap().request);
        assert_eq!(requests, [vec![1, 2], vec![7]]);
        facts.operations_reopen(&id("a"), "running").unwrap();
        assert_eq!(facts.operations_unfinished().unwrap().len(), 2);
        assert_eq!(facts.operations_of_key("a").unwrap().len(), 1);
    }
}
