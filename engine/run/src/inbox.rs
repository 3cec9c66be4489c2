//! What people and other programs want a run to know, in a database beside the journal.
//!
//! Whoever may write into the controller's directory may put a message here, whether or not a controller lives. The controller reads
//! it, and what counts becomes an event whose record bears the message's number: so each one is taken once, whenever the
//! controller dies.

use std::path::Path;
use std::time::Duration;

use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_saga::event::{How, Signed, Vote};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::Error;
use crate::journal::database;

/// How long to wait for another one who writes.
const BUSY: Duration = Duration::from_secs(10);
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, at_unix_ms INTEGER NOT NULL, payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_run ON messages (run, number);
";

/// What somebody wants a run to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// A person's yes or no to what a step asks.
    Vote {
        /// The step.
        step: StepPath,
        /// What is said.
        vote: Vote,
        /// The proof.
        signed: Signed,
    },
    /// An operator gives the run up.
    Cancel {
        /// What becomes of what was done.
        how: How,
        /// Who asks and why.
        reason: String,
    },
    /// An operator holds the run.
    Pause {
        /// Who asks and why.
        reason: String,
    },
    /// An operator lets the run go on.
    Unpause {
        /// Who asks and why.
        reason: String,
    },
    /// Something has happened.
    Signal {
        /// The signal.
        name: StepId,
        /// What comes with it.
        #[serde(default)]
        payload: Value,
        /// Who says so, as they name themselves.
        by: String,
    },
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Higher than that of every message before.
    pub number: u64,
    /// When it was put there, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// What it says; none if this binary cannot read it.
    pub message: Option<Message>,
}

/// A connection to the messages of a controller's directory.
#[derive(Debug)]
pub struct Inbox {
    db: Connection,
}

impl Inbox {
    /// Opens the messages, and makes the database if there is none.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let failed = || database("open the inbox");
        let db = Connection::open(directory.join("inbox.db")).map_err(failed())?;
        db.busy_timeout(BUSY).map_err(failed())?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(failed())?;
        db.pragma_update(None, "synchronous", "FULL").map_err(failed())?;
        db.execute_batch(TABLES).map_err(failed())?;
        Ok(Self { db })
    }

    /// Puts a message there; its number once it is durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, run: &RunId, at_unix_ms: u64, message: &Message) -> Result<u64, Error> {
        let payload = serde_json::to_string(message).expect("messages hold only what JSON has");
        let sql = "INSERT INTO messages (run, at_unix_ms, payload) VALUES (?1, ?2, ?3)";
        self.db
            .execute(sql, (run.as_str(), at_unix_ms, payload))
            .map_err(database("write into the inbox"))?;
        Ok(self.db.last_insert_rowid().cast_unsigned())
    }

    /// The messages for a run with a higher number than this, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn after(&self, run: &RunId, number: u64) -> Result<Vec<Letter>, Error> {
        let failed = || database("read the inbox");
        let sql =
            "SELECT number, at_unix_ms, payload FROM messages WHERE run = ?1 AND number > ?2 ORDER BY number";
        let mut statement = self.db.prepare_cached(sql).map_err(failed())?;
        let row = |row: &rusqlite::Row<'_>| {
            let payload: String = row.get(2)?;
            let message = serde_json::from_str(&payload).ok();
            Ok(Letter { number: row.get(0)?, at_unix_ms: row.get(1)?, message })
        };
        let rows = statement.query_map((run.as_str(), number), row).map_err(failed())?;
        rows.collect::<Result<_, _>>().map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages come in order, each once, only those of the run, also through another connection.
    #[test]
    fn messages_are_kept_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Inbox::open(folder.path()).unwrap(), Inbox::open(folder.path()).unwrap());
        let [run, other]: [RunId; 2] = ["run-1", "run-2"].map(|id| id.parse().unwrap());
        let signal = |name: &str| Message::Signal {
            name: name.parse().unwrap(),
            payload: Value::Null,
            by: "ops".to_owned(),
        };
        let first = ours.put(&run, 5, &signal("one")).unwrap();
        ours.put(&other, 6, &signal("two")).unwrap();
        let third = ours.put(&run, 7, &signal("three")).unwrap();
        let letter = |number, at_unix_ms, name| Letter { number, at_unix_ms, message: Some(signal(name)) };
        assert_eq!(theirs.after(&run, 0).unwrap(), [letter(first, 5, "one"), letter(third, 7, "three")]);
        assert_eq!(theirs.after(&run, first).unwrap(), [letter(third, 7, "three")]);
        assert_eq!(theirs.after(&run, third).unwrap(), []);
    }

    /// A message of a newer Longhaul is shown as one that cannot be read, and hides none behind it.
    #[test]
    fn an_unknown_message_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(folder.path()).unwrap();
        let sql =
            "INSERT INTO messages (run, at_unix_ms, payload) VALUES ('run-1', 1, '{\"kind\":\"dance\"}')";
        inbox.db.execute(sql, ()).unwrap();
        let read = inbox.after(&"run-1".parse().unwrap(), 0).unwrap();
        assert_eq!(read, [Letter { number: 1, at_unix_ms: 1, message: None }]);
    }
}
