//! Copies of disks that outlive the run that made them.
//!
//! ```text
//!             a prefetch that keeps               a prefetch of another run
//!   (none) ---------------------------> kept <---------------------------------> taken over
//!      ^                                 |       its undoing, or one that keeps      |
//!      '----- thrown away, worthless ----'                                           |
//!      '-------------------------- RUN: it is the VM's disk -------------------------'
//! ```
//!
//! A copy is taken over by one run, the one that holds the VM ([`Facts::moving_take`]), after it has seen that the source
//! counts writes for it. Nobody starts a VM from a copy, and no guest is taken in onto one that its run has not taken over: the
//! facts refuse both. A site that owns a VM keeps no copy of its disk, for the same transaction that makes it the owner makes the
//! copy its disk.
//!
//! The source's part is one row: for which site it goes on counting writes although no run holds the VM.

use longhaul_model::ids::{RunId, VmId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::Error;
use super::moving;
use super::store::{Facts, now_unix_ms, signed, unsigned};

/// What is here of another site's disk, as it was when a run let go of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDisk {
    /// The site that has the disk.
    pub source: String,
    /// The dirty map under which it was fetched: it is worth something only while that one runs.
    pub origin: u64,
    /// Virtual size.
    pub disk_bytes: u64,
    /// Bytes that were not holes at the source.
    pub allocated_bytes: u64,
    /// Of those, here.
    pub present_bytes: u64,
}

/// A copy at this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The VM.
    pub vm: VmId,
    /// What is here.
    pub disk: KeptDisk,
    /// The key of the effect that made it: its undoing takes the copy away, that of any other leaves it.
    pub made_by: String,
    /// The run that has taken it over.
    pub taken_by: Option<RunId>,
    /// When a run let go of it last, milliseconds since 1970.
    pub kept_unix_ms: u64,
}

impl Copy {
    /// The run that made it.
    #[must_use]
    pub fn maker(&self) -> &str {
        self.made_by.split('/').next().unwrap_or_default()
    }
}

/// The copy elsewhere for which this site counts the writes to its own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTo {
    /// The site that keeps it.
    pub target: String,
}

const COLUMNS: &str =
    "vm, source, origin, disk_bytes, allocated_bytes, present_bytes, made_by, taken_by, kept_unix_ms";

impl Facts {
    /// Target: the copy that is kept of the VM's disk.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copy(&self, vm: &VmId) -> Result<Option<Copy>, Error> {
        self.read(|connection| find(connection, vm))
    }

    /// Target: every copy that is kept, by VM.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copies(&self) -> Result<Vec<Copy>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare(&format!("SELECT {COLUMNS} FROM copies ORDER BY vm"))?;
            let rows = query.query_map([], columns)?.collect::<Result<Vec<_>, _>>()?;
            rows.into_iter().map(Columns::copy).collect()
        })
    }

    /// Target: a run lets go of the VM, and what is here of its disk is kept. A copy that was kept before stays that of who
    /// made it. A second call changes nothing more.
    ///
    /// # Errors
    /// [`Error::Moving`] if another run holds the VM; fatal ones.
    pub fn copy_keep(&self, vm: &VmId, (run, made_by): (&RunId, &str), disk: &KeptDisk) -> Result<(), Error> {
        self.write(|transaction| {
            moving::refuse_other(transaction, vm, run)?;
            let KeptDisk { source, origin, disk_bytes, allocated_bytes, present_bytes } = disk;
            let bytes = [disk_bytes, allocated_bytes, present_bytes].map(|bytes| signed(*bytes));
            transaction.execute(
                "INSERT INTO copies (vm, source, origin, made_by, taken_by, kept_unix_ms, disk_bytes, allocated_bytes,
                     present_bytes) VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7, ?8)
                 ON CONFLICT (vm) DO UPDATE SET source = excluded.source, origin = excluded.origin, taken_by = NULL,
                     kept_unix_ms = excluded.kept_unix_ms, disk_bytes = excluded.disk_bytes,
                     allocated_bytes = excluded.allocated_bytes, present_bytes = excluded.present_bytes",
                (
                    vm.as_str(),
                    source,
                    signed(*origin),
                    made_by,
                    signed(now_unix_ms()),
                    bytes[0],
                    bytes[1],
                    bytes[2],
                ),
            )?;
            moving::release(transaction, vm, run)
        })
    }

    /// Target: the run that holds the VM has seen that the copy is worth something, and takes it over.
    ///
    /// # Errors
    /// [`Error::Moving`] if another run holds the VM; fatal ones.
    pub fn copy_take(&self, vm: &VmId, run: &RunId) -> Result<(), Error> {
        self.write(|transaction| {
            moving::refuse_other(transaction, vm, run)?;
            transaction
                .execute("UPDATE copies SET taken_by = ?2 WHERE vm = ?1", (vm.as_str(), run.as_str()))?;
            Ok(())
        })
    }

    /// Target: a run lets go of the VM, and of the copy if it had taken it over, as it is.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copy_leave(&self, vm: &VmId, run: &RunId) -> Result<(), Error> {
        self.write(|transaction| {
            let query = "UPDATE copies SET taken_by = NULL WHERE vm = ?1 AND taken_by = ?2";
            transaction.execute(query, (vm.as_str(), run.as_str()))?;
            moving::release(transaction, vm, run)
        })
    }

    /// Target: the copy is gone.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copy_forget(&self, vm: &VmId) -> Result<(), Error> {
        self.write(|transaction| forget(transaction, vm))
    }

    /// Source: the copy for which it counts writes.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copied_to(&self, vm: &VmId) -> Result<Option<CopiedTo>, Error> {
        self.read(|connection| {
            let query = "SELECT target FROM copied_to WHERE vm = ?1";
            let row = connection.query_row(query, [vm.as_str()], |row| Ok(CopiedTo { target: row.get(0)? }));
            Ok(row.optional()?)
        })
    }

    /// Source: a run lets go of the VM, and writes are counted on for the copy at `target`.
    ///
    /// # Errors
    /// [`Error::Moving`] if another run holds the VM; fatal ones.
    pub fn copied_to_keep(&self, vm: &VmId, run: &RunId, target: &str) -> Result<(), Error> {
        self.write(|transaction| {
            moving::refuse_other(transaction, vm, run)?;
            transaction.execute("INSERT OR REPLACE INTO copied_to VALUES (?1, ?2)", (vm.as_str(), target))?;
            moving::release(transaction, vm, run)
        })
    }

    /// Source: writes will be counted for the copy at `target`. Said before the counting begins.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copied_to_open(&self, vm: &VmId, target: &str) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute("INSERT OR REPLACE INTO copied_to VALUES (?1, ?2)", (vm.as_str(), target))?;
            Ok(())
        })
    }

    /// Source: writes are counted for nobody's copy any more. Said after the counting has ended, or is another one: of two copies
    /// that count on one dirty map neither would hear of all writes.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn copied_to_forget(&self, vm: &VmId) -> Result<(), Error> {
        self.write(|transaction| forget_copied_to(transaction, vm))
    }
}

/// A row as it is in the table.
struct Columns {
    vm: String,
    disk: KeptDisk,
    made_by: String,
    taken_by: Option<String>,
    kept_unix_ms: u64,
}

impl Columns {
    fn copy(self) -> Result<Copy, Error> {
        let Self { vm, disk, made_by, taken_by, kept_unix_ms } = self;
        let vm = vm.parse().map_err(|_| Error::Corrupt { what: "a VM's name", found: vm })?;
        let run = |text: String| text.parse().map_err(|_| Error::Corrupt { what: "a run's id", found: text });
        Ok(Copy { vm, disk, made_by, taken_by: taken_by.map(run).transpose()?, kept_unix_ms })
    }
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let disk = KeptDisk {
        source: row.get(1)?,
        origin: unsigned(row.get(2)?),
        disk_bytes: unsigned(row.get(3)?),
        allocated_bytes: unsigned(row.get(4)?),
        present_bytes: unsigned(row.get(5)?),
    };
    Ok(Columns {
        vm: row.get(0)?,
        disk,
        made_by: row.get(6)?,
        taken_by: row.get(7)?,
        kept_unix_ms: unsigned(row.get(8)?),
    })
}

fn find(connection: &Connection, vm: &VmId) -> Result<Option<Copy>, Error> {
    let query = format!("SELECT {COLUMNS} FROM copies WHERE vm = ?1");
    connection.query_row(&query, [vm.as_str()], columns).optional()?.map(Columns::copy).transpose()
}

/// Refuses to use a copy, unless this run has taken it over.
pub(super) fn refuse_kept(
    connection: &Connection,
    vm: &VmId,
    step: &'static str,
    run: Option<&RunId>,
) -> Result<(), Error> {
    match find(connection, vm)? {
        Some(copy) if run.is_none() || copy.taken_by.as_ref() != run => {
            Err(Error::Kept { step, vm: vm.clone(), source_site: copy.disk.source })
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn forget(connection: &Connection, vm: &VmId) -> Result<(), Error> {
    connection.execute("DELETE FROM copies WHERE vm = ?1", [vm.as_str()])?;
    Ok(())
}

pub(super) fn forget_copied_to(connection: &Connection, vm: &VmId) -> Result<(), Error> {
    connection.execute("DELETE FROM copied_to WHERE vm = ?1", [vm.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Decision, Epoch, Relinquishment, Role, StateDigest};
    use super::*;

    const RUN: Decision = Decision::Run { runs_at_unix_us: 5 };

    struct Site {
        _folder: tempfile::TempDir,
        facts: Facts,
        vm: VmId,
        runs: [RunId; 2],
    }

    fn site() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::open(&folder.path().join("agent.db")).unwrap();
        let runs = ["run-1", "run-2"].map(|run| run.parse().unwrap());
        Site { _folder: folder, facts, vm: "vm-a".parse().unwrap(), runs }
    }

    fn disk(present_bytes: u64) -> KeptDisk {
        KeptDisk { source: "a".into(), origin: 7, disk_bytes: 90, allocated_bytes: 80, present_bytes }
    }

    /// A run that keeps its copy lets go of the VM in the same moment; the next one takes it over alone, and when it lets go
    /// the copy is still that of who made it.
    #[test]
    fn a_copy_is_of_one_run_at_a_time() {
        let Site { facts, vm, runs: [first, second], .. } = &site();
        facts.moving_take(vm, first, "east").unwrap();
        facts.copy_keep(vm, (first, "run-1/prefetch/1"), &disk(40)).unwrap();
        assert_eq!(facts.moving(vm).unwrap(), None);
        facts.moving_take(vm, second, "west").unwrap();
        facts.copy_take(vm, second).unwrap();
        assert!(matches!(facts.copy_take(vm, first).unwrap_err(), Error::Moving { .. }));
        let refused = facts.copy_keep(vm, (first, "run-1/prefetch/1"), &disk(40)).unwrap_err();
        assert!(matches!(refused, Error::Moving { .. }), "{refused}");
        assert_eq!(facts.copy(vm).unwrap().unwrap().taken_by.as_ref(), Some(second));
        facts.copy_keep(vm, (second, "run-2/prefetch/1"), &disk(60)).unwrap();
        let [copy] = facts.copies().unwrap().try_into().unwrap();
        assert_eq!((copy.maker(), &copy.taken_by, &copy.disk), ("run-1", &None, &disk(60)));
        assert_eq!(facts.moving(vm).unwrap(), None);
        facts.copy_forget(vm).unwrap();
        assert_eq!(facts.copy(vm).unwrap(), None);
    }

    /// No VM is started from a copy, whoever asks, and no guest is taken in onto one that its run has not taken over.
    #[test]
    fn a_kept_copy_never_runs() {
        let Site { facts, vm, runs: [first, second], .. } = &site();
        facts.copy_keep(vm, (first, "run-1/prefetch/1"), &disk(80)).unwrap();
        assert!(matches!(facts.begin_start(vm).unwrap_err(), Error::Kept { .. }));
        for run in [first, second] {
            let refused = facts.expects(vm, run, Epoch(2)).unwrap_err();
            assert!(refused.to_string().contains("site a") && !refused.is_fatal(), "{refused}");
            assert!(matches!(facts.begin_incoming(vm, run, Epoch(2), "a"), Err(Error::Kept { .. })));
        }
        facts.copy_take(vm, second).unwrap();
        assert!(facts.expects(vm, first, Epoch(2)).is_err() && facts.begin_start(vm).is_err());
        facts.begin_incoming(vm, second, Epoch(2), "a").unwrap();
        facts.decide(vm, second, Epoch(2), &RUN).unwrap();
        assert_eq!(facts.copy(vm).unwrap(), None, "it is the VM's disk now");
    }

    /// A source that hands its VM over counts for nobody any more; one that is refused counts on.
    #[test]
    fn a_source_counts_until_the_vm_has_left() {
        let Site { facts, vm, runs: [first, second], .. } = &site();
        facts.begin_start(vm).unwrap();
        facts.moving_take(vm, first, "east").unwrap();
        assert!(facts.copied_to_keep(vm, second, "c").is_err(), "it is not its to let go");
        facts.copied_to_keep(vm, first, "b").unwrap();
        assert_eq!(facts.moving(vm).unwrap(), None);
        let promise = || {
            let epoch = facts.begin_attempt(vm, second, "c").unwrap();
            let state = StateDigest { hash: "ab".into(), bytes: 1 };
            let promise = Relinquishment {
                state,
                stopped_at_unix_us: 2,
                predicted_pause_ms: 3,
                marked_absent_bytes: 4,
            };
            facts.relinquish(vm, epoch, &promise).unwrap();
            epoch
        };
        let nack = Decision::Nack(super::super::Refusal::transient("no"));
        assert!(matches!(facts.learn(vm, promise(), &nack).unwrap(), Role::Owner(_)));
        assert_eq!(facts.copied_to(vm).unwrap(), Some(CopiedTo { target: "b".into() }));
        assert!(matches!(facts.learn(vm, promise(), &RUN).unwrap(), Role::Absent(_)));
        assert_eq!(facts.copied_to(vm).unwrap(), None);
    }
}
