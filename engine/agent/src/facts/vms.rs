//! What a VM is at this site.

use std::fmt;

use longhaul_model::ids::VmId;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::copies::refuse_kept;
use super::epoch::Epoch;
use super::error::Error;
use super::store::{Facts, signed, unsigned};

/// What a VM is at this site. Only an owner may run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// This site may run it, under this epoch.
    Owner(Epoch),
    /// This site gave it away under this epoch and does not yet know whether the other side took it.
    Relinquished(Epoch),
    /// This site receives it under this epoch and has not decided.
    Incoming(Epoch),
    /// This site may not run it; the epoch is the last one in which it had to do with it.
    Absent(Epoch),
}

impl Role {
    const fn parts(self) -> (&'static str, Epoch) {
        match self {
            Self::Owner(epoch) => ("owner", epoch),
            Self::Relinquished(epoch) => ("relinquished", epoch),
            Self::Incoming(epoch) => ("incoming", epoch),
            Self::Absent(epoch) => ("absent", epoch),
        }
    }

    fn from_parts(name: &str, epoch: Epoch) -> Result<Self, Error> {
        match name {
            "owner" => Ok(Self::Owner(epoch)),
            "relinquished" => Ok(Self::Relinquished(epoch)),
            "incoming" => Ok(Self::Incoming(epoch)),
            "absent" => Ok(Self::Absent(epoch)),
            _ => Err(Error::Corrupt { what: "a VM's role", found: name.to_owned() }),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, epoch) = self.parts();
        write!(f, "{name} (epoch {epoch})")
    }
}

/// A VM's durable row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmFacts {
    /// The VM.
    pub vm: VmId,
    /// What it is here.
    pub role: Role,
    /// Highest epoch ever used or heard of here. Never goes down.
    pub highest: Epoch,
}

impl VmFacts {
    /// Whether this site may run it.
    #[must_use]
    pub const fn is_owner(&self) -> bool {
        matches!(self.role, Role::Owner(_))
    }
}

impl Facts {
    /// The VM's row; `None` if this site never had to do with it.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn vm(&self, vm: &VmId) -> Result<Option<VmFacts>, Error> {
        self.read(|connection| look(connection, vm))
    }

    /// Every VM this site ever had to do with, by name.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn vms(&self) -> Result<Vec<VmFacts>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare("SELECT vm FROM vms ORDER BY vm")?;
            let names = query.query_map([], |row| row.get::<_, String>(0))?;
            names.map(|name| known(connection, &name?)).collect()
        })
    }

    /// Mints the epoch of a cold start: [`Epoch::FIRST`] for a VM new to this site, else one never used. A second start of
    /// an owned VM gets an epoch of its own too, so that a disk server tells the new QEMU from the old one.
    ///
    /// # Errors
    /// [`Error::Role`] if this site does not own a VM it knows; [`Error::Kept`] if it keeps a copy of one; fatal ones.
    pub fn begin_start(&self, vm: &VmId) -> Result<Epoch, Error> {
        self.write(|transaction| {
            refuse_kept(transaction, vm, "start", None)?;
            let epoch = match look(transaction, vm)? {
                None => Epoch::FIRST,
                Some(VmFacts { role: Role::Owner(_), highest, .. }) => highest.next(),
                Some(VmFacts { role, highest, .. }) => {
                    return Err(Error::Role { step: "start", vm: vm.clone(), epoch: highest.next(), role });
                }
            };
            put(transaction, vm, Role::Owner(epoch), epoch)?;
            Ok(epoch)
        })
    }
}

fn known(connection: &Connection, name: &str) -> Result<VmFacts, Error> {
    let corrupt = || Error::Corrupt { what: "a VM's name", found: name.to_owned() };
    let vm = name.parse().map_err(|_| corrupt())?;
    look(connection, &vm)?.ok_or_else(corrupt)
}

pub(super) fn look(connection: &Connection, vm: &VmId) -> Result<Option<VmFacts>, Error> {
    let query = "SELECT role, role_epoch, highest_epoch FROM vms WHERE vm = ?1";
    let row = connection.query_row(query, [vm.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, Epoch(unsigned(row.get(1)?)), Epoch(unsigned(row.get(2)?))))
    });
    let Some((name, epoch, highest)) = row.optional()? else { return Ok(None) };
    Ok(Some(VmFacts { vm: vm.clone(), role: Role::from_parts(&name, epoch)?, highest }))
}

/// Writes the row; the highest epoch never goes down.
pub(super) fn put(transaction: &Transaction<'_>, vm: &VmId, role: Role, highest: Epoch) -> Result<(), Error> {
    let (name, epoch) = role.parts();
    transaction.execute(
        "INSERT INTO vms (vm, role, role_epoch, highest_epoch) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (vm) DO UPDATE SET role = excluded.role, role_epoch = excluded.role_epoch,
             highest_epoch = max(highest_epoch, excluded.highest_epoch)",
        (vm.as_str(), name, signed(epoch.0), signed(highest.0)),
    )?;
    Ok(())
}
