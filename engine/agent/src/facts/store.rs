//! The open database.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Error;
use super::schema;

/// The facts of one site. Cheap to clone; all clones share one connection.
#[derive(Debug, Clone)]
pub struct Facts {
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Facts {
    /// Opens the facts at `path`, making them if there are none. The caller holds the lock of the state folder.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Newer`], [`Error::Commit`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(open)?;
        schema::prepare(&mut connection)?;
        Ok(Self { connection: Arc::new(Mutex::new(Some(connection))) })
    }

    /// Runs `work` where it may block. A caller that is dropped does not stop it: the fact is then on disk, as it would
    /// be if the agent had died right after it.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let facts = self.clone();
        tokio::task::spawn_blocking(move || work(&facts)).await.unwrap_or(Err(Error::Closed))
    }

    /// One transaction. If `work` fails nothing is written; if the commit fails the database is closed for good.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut slot = self.connection.lock().map_err(|_| Error::Closed)?;
        let connection = slot.as_mut().ok_or(Error::Closed)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        match transaction.commit() {
            Ok(()) => Ok(result),
            Err(error) => {
                *slot = None;
                Err(Error::Commit(error))
            }
        }
    }

    /// A look without a write.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let slot = self.connection.lock().map_err(|_| Error::Closed)?;
        work(slot.as_ref().ok_or(Error::Closed)?)
    }
}

/// The clock of the host, milliseconds since 1970.
pub(super) fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// SQLite's whole numbers are signed; ours never reach the sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back of [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a commit that failed every further use is refused, so that nobody builds on a fact of unknown fate.
    #[test]
    fn a_failed_commit_closes_the_facts() {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::open(&folder.path().join("agent.db")).unwrap();
        facts
            .write(|t| {
                Ok(t.execute_batch(
                    "CREATE TABLE parent (id INTEGER PRIMARY KEY);
            CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
                )?)
            })
            .unwrap();
        facts.read(|c| Ok(c.pragma_update(None, "foreign_keys", true)?)).unwrap();
        // A deferred constraint fails in the commit itself, as a full disk or a failed sync does.
        let failed = facts.write(|t| Ok(t.execute("INSERT INTO child VALUES (1)", [])?)).unwrap_err();
        assert!(matches!(failed, Error::Commit(_)) && failed.is_fatal(), "{failed}");
        assert!(matches!(facts.write(|_| Ok(())).unwrap_err(), Error::Closed));
        assert!(matches!(facts.read(|_| Ok(())).unwrap_err(), Error::Closed));
    }
}
