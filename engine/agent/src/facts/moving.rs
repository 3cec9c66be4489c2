//! Which run moves a VM, so that a second one is told whom it collides with.
//!
//! A run holds a VM until it lets go of it, over every restart. What one call does by itself holds it for as long as the call
//! lasts: in a table of the connection, which ends with the agent.

use longhaul_model::ids::{RunId, VmId};
use rusqlite::{Connection, OptionalExtension};

use super::error::Error;
use super::store::{Facts, now_unix_ms, signed, unsigned};

/// A run's hold on a VM at this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    /// The run.
    pub run: RunId,
    /// Its controller: host and pid.
    pub controller: String,
    /// Since when, milliseconds since 1970.
    pub since_unix_ms: u64,
}

impl Facts {
    /// Takes the VM for a run; whether it was free. A second call of the same run changes nothing.
    ///
    /// # Errors
    /// [`Error::Moving`] if another run holds it; fatal ones.
    pub fn moving_take(&self, vm: &VmId, run: &RunId, controller: &str) -> Result<bool, Error> {
        self.write(|transaction| match holder(transaction, vm)? {
            Some(held) if held.run != *run => {
                Err(Error::Moving { vm: vm.clone(), run: held.run, controller: held.controller })
            }
            Some(_) | None => {
                let row = (vm.as_str(), run.as_str(), controller, signed(now_unix_ms()));
                let taken =
                    transaction.execute("INSERT OR IGNORE INTO moving VALUES (?1, ?2, ?3, ?4)", row)?;
                Ok(taken == 1)
            }
        })
    }

    /// Takes the VM for a run until what is returned is dropped, or the agent ends.
    ///
    /// # Errors
    /// [`Error::Moving`] if another run holds it; fatal ones.
    pub fn moving_pass(&self, vm: &VmId, run: &RunId, controller: &str) -> Result<Passing, Error> {
        let (row, is_runs) = self.write(|transaction| {
            refuse_other(transaction, vm, run)?;
            let held = "SELECT EXISTS (SELECT 1 FROM moving WHERE vm = ?1)";
            let is_runs = transaction.query_row(held, [vm.as_str()], |row| row.get(0))?;
            let row = (vm.as_str(), run.as_str(), controller, signed(now_unix_ms()));
            transaction.execute("INSERT INTO passing VALUES (?1, ?2, ?3, ?4)", row)?;
            Ok((transaction.last_insert_rowid(), is_runs))
        })?;
        Ok(Passing { facts: self.clone(), row, is_runs })
    }

    /// Lets the VM go if this run holds it.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn moving_release(&self, vm: &VmId, run: &RunId) -> Result<(), Error> {
        self.write(|transaction| release(transaction, vm, run))
    }

    /// Who moves the VM, if anybody.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn moving(&self, vm: &VmId) -> Result<Option<Moving>, Error> {
        self.read(|connection| holder(connection, vm))
    }
}

/// A call's hold on a VM at this site, which ends with this value.
#[derive(Debug)]
pub struct Passing {
    facts: Facts,
    row: i64,
    /// Whether the run holds the VM besides, and goes on doing so.
    pub is_runs: bool,
}

impl Drop for Passing {
    fn drop(&mut self) {
        let ended = self.facts.write(|transaction| {
            transaction.execute("DELETE FROM passing WHERE rowid = ?1", [self.row])?;
            Ok(())
        });
        if let Err(error) = ended {
            // Facts that were closed hold nothing, and let nobody do anything.
            tracing::warn!(%error, "a hold on a vm was not let go");
        }
    }
}

pub(super) fn release(connection: &Connection, vm: &VmId, run: &RunId) -> Result<(), Error> {
    connection.execute("DELETE FROM moving WHERE vm = ?1 AND run = ?2", (vm.as_str(), run.as_str()))?;
    Ok(())
}

/// Refuses if another run holds the VM.
pub(super) fn refuse_other(connection: &Connection, vm: &VmId, run: &RunId) -> Result<(), Error> {
    match holder(connection, vm)? {
        Some(held) if held.run != *run => {
            Err(Error::Moving { vm: vm.clone(), run: held.run, controller: held.controller })
        }
        Some(_) | None => Ok(()),
    }
}

fn holder(connection: &Connection, vm: &VmId) -> Result<Option<Moving>, Error> {
    let query = "SELECT run, controller, since_unix_ms FROM moving WHERE vm = ?1
        UNION ALL SELECT run, controller, since_unix_ms FROM passing WHERE vm = ?1 LIMIT 1";
    let row = connection.query_row(query, [vm.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    let Some((run, controller, since)) = row.optional()? else { return Ok(None) };
    let run = run.parse().map_err(|_| Error::Corrupt { what: "a run's id", found: run })?;
    Ok(Some(Moving { run, controller, since_unix_ms: unsigned(since) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call holds a VM against other runs for as long as it lasts, and takes nothing away from its own run; the end of the agent
    /// ends it.
    #[test]
    fn a_call_holds_a_vm_no_longer_than_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let facts = Facts::open(&path).unwrap();
        let (vm, [first, second]) =
            (&"vm-a".parse().unwrap(), ["run-1", "run-2"].map(|run| run.parse().unwrap()));
        let call = facts.moving_pass(vm, &first, "site b").unwrap();
        assert!(!call.is_runs);
        let refused = facts.moving_take(vm, &second, "west").unwrap_err();
        assert!(refused.to_string().contains("run-1 of site b"), "{refused}");
        assert!(matches!(facts.moving_pass(vm, &second, "site c").unwrap_err(), Error::Moving { .. }));
        assert!(facts.moving_take(vm, &first, "east").unwrap(), "its own run takes it besides");
        let again = facts.moving_pass(vm, &first, "site b").unwrap();
        assert!(again.is_runs);
        drop((call, again));
        assert_eq!(facts.moving(vm).unwrap().unwrap().controller, "east");
        facts.moving_release(vm, &first).unwrap();
        assert_eq!(facts.moving(vm).unwrap(), None);
        std::mem::forget(facts.moving_pass(vm, &first, "site b").unwrap());
        let anew = Facts::open(&path).unwrap();
        assert!(anew.moving_take(vm, &second, "west").unwrap(), "an agent that died holds nothing");
    }
}
