//! What VMs' names are answered with at this site.

use std::net::Ipv4Addr;

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

impl Facts {
    /// Writes a name's answer in place of an earlier one.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn name_put(&self, row: &NameRow) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO names VALUES (?1, ?2, ?3, ?4) ON CONFLICT (vm) DO UPDATE
                 SET address = excluded.address, ttl_seconds = excluded.ttl_seconds, serial = excluded.serial",
                (&row.vm, row.address.to_string(), row.ttl_seconds, row.serial),
            )?;
            Ok(())
        })
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
                let address = address
                    .parse()
                    .map_err(|_| Error::Corrupt { what: "a name's address", found: address })?;
                Ok(NameRow { vm, address, ttl_seconds, serial })
            })
            .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The latest answer of a name is found after a reopen.
    #[test]
    fn the_latest_answer_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let row = |address: [u8; 4], serial| NameRow {
            vm: "vm-a".to_owned(),
            address: address.into(),
            ttl_seconds: 5,
            serial,
        };
        let facts = Facts::open(&path).unwrap();
        facts.name_put(&row([10, 10, 0, 50], 2)).unwrap();
        facts.name_put(&row([10, 20, 0, 50], 3)).unwrap();
        drop(facts);
        assert_eq!(Facts::open(&path).unwrap().names().unwrap(), [row([10, 20, 0, 50], 3)]);
    }
}
