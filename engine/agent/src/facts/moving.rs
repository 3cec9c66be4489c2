//! Which run moves a VM, so that a second one is told whom it collides with.

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
            Some(held) if held.run == *run => Ok(false),
            Some(held) => Err(Error::Moving { vm: vm.clone(), run: held.run, controller: held.controller }),
            None => {
                let row = (vm.as_str(), run.as_str(), controller, signed(now_unix_ms()));
                transaction.execute("INSERT INTO moving VALUES (?1, ?2, ?3, ?4)", row)?;
                Ok(true)
            }
        })
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
    let query = "SELECT run, controller, since_unix_ms FROM moving WHERE vm = ?1";
    let row = connection.query_row(query, [vm.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    let Some((run, controller, since)) = row.optional()? else { return Ok(None) };
    let run = run.parse().map_err(|_| Error::Corrupt { what: "a run's id", found: run })?;
    Ok(Some(Moving { run, controller, since_unix_ms: unsigned(since) }))
}
