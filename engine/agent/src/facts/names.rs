//! What VMs' names are answered with at this site.

use std::net::Ipv4Addr;

use rusqlite::{Connection, OptionalExtension};

use super::error::Error;
use super::store::Facts;

/// A name's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow {
    /// The VM, whose id is the name's first label.
    pub vm: String,
    /// Where clients are sent.
    pub address: Ipv4Addr,
    /// How long they may keep it, in seconds.
    pub ttl_seconds: u32,
    /// The zone's serial that this change makes.
    pub serial: u32,
}

/// What a name was answered with before an effect changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerName {
    /// Where clients were sent.
    pub address: Ipv4Addr,
    /// How long they could keep it, in seconds.
    pub ttl_seconds: u32,
}

impl Facts {
    /// Writes a name's answer in place of an earlier one for the effect of this key, together with what the effect found.
    /// Returns that: of an effect that is brought about in several tries it is what the first one found.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn name_change(&self, key: &str, found: FormerName, row: &NameRow) -> Result<FormerName, Error> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO names_former VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING",
                (key, found.address.to_string(), found.ttl_seconds),
            )?;
            put(transaction, row)?;
            Ok(former(transaction, key)?.unwrap_or(found))
        })
    }

    /// Writes a name's answer in place of that of an effect, which is forgotten with what it found.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn name_restore(&self, key: &str, row: &NameRow) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM names_former WHERE key = ?1", [key])?;
            put(transaction, row)
        })
    }

    /// What the effect of this key found; none without an effect.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn name_former(&self, key: &str) -> Result<Option<FormerName>, Error> {
        self.read(|connection| former(connection, key))
    }

    /// Every name, in the order of their serials.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn names(&self) -> Result<Vec<NameRow>, Error> {
        self.read(|connection| {
            let mut query =
                connection.prepare("SELECT vm, address, ttl_seconds, serial FROM names ORDER BY serial")?;
            let rows = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.map(|row| {
                let (vm, address, ttl_seconds, serial) = row?;
                Ok(NameRow { vm, address: parsed(address)?, ttl_seconds, serial })
            })
            .collect()
        })
    }
}

fn put(connection: &Connection, row: &NameRow) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO names VALUES (?1, ?2, ?3, ?4) ON CONFLICT (vm) DO UPDATE
         SET address = excluded.address, ttl_seconds = excluded.ttl_seconds, serial = excluded.serial",
        (&row.vm, row.address.to_string(), row.ttl_seconds, row.serial),
    )?;
    Ok(())
}

fn former(connection: &Connection, key: &str) -> Result<Option<FormerName>, Error> {
    let query = "SELECT address, ttl_seconds FROM names_former WHERE key = ?1";
    let row = connection.query_row(query, [key], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
    let former = |(address, ttl_seconds)| Ok(FormerName { address: parsed(address)?, ttl_seconds });
    row.optional()?.map(former).transpose()
}

fn parsed(address: String) -> Result<Ipv4Addr, Error> {
    address.parse().map_err(|_| Error::Corrupt { what: "a name's address", found: address })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The latest answer of a name is found after a reopen; and what an effect found in the first place also when the effect
    /// was brought about once more, as after the agent's death, until it is taken away.
    #[test]
    fn the_latest_answer_stays_and_the_first_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let row = |address: [u8; 4], serial| NameRow {
            vm: "vm-a".to_owned(),
            address: address.into(),
            ttl_seconds: 5,
            serial,
        };
        let found = |address: [u8; 4]| FormerName { address: address.into(), ttl_seconds: 30 };
        let (home, away) = ([10, 10, 0, 50], [10, 20, 0, 50]);
        let facts = Facts::open(&path).unwrap();
        assert_eq!(facts.name_change("redirect", found(home), &row(away, 2)).unwrap(), found(home));
        drop(facts);
        let facts = Facts::open(&path).unwrap();
        assert_eq!(facts.name_change("redirect", found(away), &row(away, 3)).unwrap(), found(home));
        assert_eq!(facts.names().unwrap(), [row(away, 3)]);
        assert_eq!(facts.name_former("redirect").unwrap(), Some(found(home)));
        assert_eq!(facts.name_former("prepare").unwrap(), None);
        facts.name_restore("redirect", &row(home, 4)).unwrap();
        assert_eq!(facts.name_former("redirect").unwrap(), None);
        assert_eq!(facts.names().unwrap(), [row(home, 4)]);
    }
}
