//! What was promised and decided in hand-overs.

use longhaul_model::ids::{RunId, VmId};
use longhaul_wire::failure::Class;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::copies;
use super::epoch::Epoch;
use super::error::Error;
use super::refusal::Refusal;
use super::store::{Facts, now_unix_ms, signed, unsigned};
use super::vms::{Role, VmFacts, look, put};

/// On which side of a hand-over this site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The VM leaves.
    Source,
    /// The VM comes.
    Target,
}

/// What a state stream was: the target runs only what is equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateDigest {
    /// BLAKE3 of QEMU's stream, hex.
    pub hash: String,
    /// Its length.
    pub bytes: u64,
}

/// A source's promise never to run the VM again under this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relinquishment {
    /// What was sent.
    pub state: StateDigest,
    /// When QEMU stopped the guest, microseconds since 1970 on the source's clock.
    pub stopped_at_unix_us: u64,
    /// The pause that was expected before it did, milliseconds.
    pub predicted_pause_ms: u64,
    /// How much of the disk the target was told to forget, bytes.
    pub marked_absent_bytes: u64,
}

/// What a target decided about an epoch, once and for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// The target runs the VM.
    Run {
        /// Since when, microseconds since 1970 on the target's clock.
        runs_at_unix_us: u64,
    },
    /// The target never will; the source may resume under a new epoch.
    Nack(Refusal),
}

impl Decision {
    const fn fact(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Nack { .. } => "nack",
        }
    }
}

/// The latest hand-over of a VM at this site, as far as it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its epoch.
    pub epoch: Epoch,
    /// The run it is part of.
    pub run: RunId,
    /// Where this site stands.
    pub side: Side,
    /// The other site: where the VM goes to, or comes from. None if a target only heard of the epoch to refuse it.
    pub peer: Option<String>,
    /// Source only: given up before anything was promised.
    pub abandoned: bool,
    /// Source only: the promise.
    pub relinquished: Option<Relinquishment>,
    /// The target's decision: made here, or heard of by the source.
    pub decision: Option<Decision>,
}

impl Facts {
    /// Source: mints the epoch of an attempt to move the VM to another site. It is used up, whatever becomes of the
    /// attempt.
    ///
    /// # Errors
    /// [`Error::Role`] if this site does not own the VM; fatal ones.
    pub fn begin_attempt(&self, vm: &VmId, run: &RunId, target: &str) -> Result<Epoch, Error> {
        self.write(|transaction| {
            let row = look(transaction, vm)?;
            let (role, highest) =
                row.map_or((Role::Absent(Epoch(0)), Epoch(0)), |row| (row.role, row.highest));
            let epoch = highest.next();
            let Role::Owner(_) = role else {
                return Err(Error::Role { step: "move", vm: vm.clone(), epoch, role });
            };
            put(transaction, vm, role, epoch)?;
            insert(transaction, vm, epoch, &Entry::new("attempt", Side::Source, run, &target))?;
            Ok(epoch)
        })
    }

    /// Source: gives an attempt up before anything was promised. A second call changes nothing.
    ///
    /// # Errors
    /// [`Error::Role`] if RELINQUISH was made; fatal ones.
    pub fn abandon(&self, vm: &VmId, epoch: Epoch, reason: &str) -> Result<(), Error> {
        self.write(|transaction| {
            let (attempt, row) = attempt_at(transaction, vm, epoch, "abandon the move of")?;
            if attempt.relinquished.is_some() {
                return Err(Error::Role {
                    step: "abandon the move of",
                    vm: vm.clone(),
                    epoch,
                    role: row.role,
                });
            }
            if !attempt.abandoned {
                insert(
                    transaction,
                    vm,
                    epoch,
                    &Entry::new("abandoned", Side::Source, &attempt.run, &reason),
                )?;
            }
            Ok(())
        })
    }

    /// Source: RELINQUISH. From here on this site runs the VM only after a NACK for this epoch.
    ///
    /// # Errors
    /// [`Error::Role`] unless this site owns the VM and the attempt is open; fatal ones.
    pub fn relinquish(&self, vm: &VmId, epoch: Epoch, promise: &Relinquishment) -> Result<(), Error> {
        self.write(|transaction| {
            let step = "relinquish";
            let (attempt, row) = attempt_at(transaction, vm, epoch, step)?;
            let open = !attempt.abandoned && attempt.relinquished.is_none() && attempt.side == Side::Source;
            if !open || !row.is_owner() || row.highest != epoch {
                return Err(Error::Role { step, vm: vm.clone(), epoch, role: row.role });
            }
            insert(transaction, vm, epoch, &Entry::new("relinquish", Side::Source, &attempt.run, promise))?;
            put(transaction, vm, Role::Relinquished(epoch), epoch)
        })
    }

    /// Source: writes down the target's decision and what follows from it: after RUN the VM is gone from here, and whoever
    /// keeps a copy of this site's disk keeps it in vain; after NACK this site owns it again under a fresh epoch, which is
    /// returned. A second call returns the same.
    ///
    /// # Errors
    /// [`Error::Role`] without a RELINQUISH for this epoch; fatal ones.
    pub fn learn(&self, vm: &VmId, epoch: Epoch, decision: &Decision) -> Result<Role, Error> {
        self.write(|transaction| {
            let step = "settle the move of";
            let (attempt, row) = attempt_at(transaction, vm, epoch, step)?;
            if attempt.decision.is_some() {
                return Ok(row.role);
            }
            if row.role != Role::Relinquished(epoch) {
                return Err(Error::Role { step, vm: vm.clone(), epoch, role: row.role });
            }
            let (role, highest) = match decision {
                Decision::Run { .. } => (Role::Absent(epoch), epoch),
                Decision::Nack { .. } => (Role::Owner(row.highest.next()), row.highest.next()),
            };
            insert(
                transaction,
                vm,
                epoch,
                &Entry::new(decision.fact(), Side::Source, &attempt.run, decision),
            )?;
            if matches!(decision, Decision::Run { .. }) {
                copies::forget_copied_to(transaction, vm)?;
            }
            put(transaction, vm, role, highest)?;
            Ok(role)
        })
    }

    /// Target: whether [`Facts::begin_incoming`] would take the VM. Changes nothing.
    ///
    /// # Errors
    /// The same.
    pub fn expects(&self, vm: &VmId, run: &RunId, epoch: Epoch) -> Result<(), Error> {
        self.read(|connection| expected(connection, vm, run, epoch).map(drop))
    }

    /// Target: notes that the VM comes from `source` under this epoch. A second call for the same run and epoch changes nothing while
    /// nothing is decided.
    ///
    /// # Errors
    /// [`Error::Stale`] for an epoch used before; [`Error::Role`] if this site has the VM; [`Error::Kept`] if it keeps a copy that
    /// this run has not taken over; fatal ones.
    pub fn begin_incoming(&self, vm: &VmId, run: &RunId, epoch: Epoch, source: &str) -> Result<(), Error> {
        self.write(|transaction| {
            let role = match expected(transaction, vm, run, epoch)? {
                Expected::Already => return Ok(()),
                Expected::From(role) => role,
            };
            if let Role::Incoming(earlier) = role {
                close_earlier(transaction, vm, earlier)?;
            }
            put(transaction, vm, Role::Incoming(epoch), epoch)?;
            insert(transaction, vm, epoch, &Entry::new("attempt", Side::Target, run, &source))
        })
    }

    /// Target: decides about an epoch. The first decision stands; it is returned, whoever asks again for what.
    /// A NACK for an epoch never heard of uses it up, so that a delayed request finds it stale. With a RUN what was a copy is
    /// the VM's disk.
    ///
    /// # Errors
    /// [`Error::Role`] for a RUN without the VM being incoming under this epoch, and for a NACK asked of a source;
    /// fatal ones.
    pub fn decide(&self, vm: &VmId, run: &RunId, epoch: Epoch, wish: &Decision) -> Result<Decision, Error> {
        self.write(|transaction| {
            let before = attempt(transaction, vm, epoch)?;
            if let Some(Attempt { decision: Some(decision), side: Side::Target, .. }) = before {
                return Ok(decision);
            }
            let row = look(transaction, vm)?;
            let (role, highest) =
                row.map_or((Role::Absent(Epoch(0)), Epoch(0)), |row| (row.role, row.highest));
            let becomes = match wish {
                Decision::Run { .. } if role == Role::Incoming(epoch) => Role::Owner(epoch),
                Decision::Nack { .. } if role == Role::Incoming(epoch) => Role::Absent(epoch),
                Decision::Nack { .. } if before.is_none() => role,
                Decision::Run { .. } | Decision::Nack { .. } => {
                    return Err(Error::Role { step: "decide about", vm: vm.clone(), epoch, role });
                }
            };
            insert(transaction, vm, epoch, &Entry::new(wish.fact(), Side::Target, run, wish))?;
            if matches!(wish, Decision::Run { .. }) {
                copies::forget(transaction, vm)?;
            }
            put(transaction, vm, becomes, highest.max(epoch))?;
            Ok(wish.clone())
        })
    }

    /// The target's decision about an epoch, if there is one here.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn decision(&self, vm: &VmId, epoch: Epoch) -> Result<Option<Decision>, Error> {
        self.read(|connection| Ok(attempt(connection, vm, epoch)?.and_then(|attempt| attempt.decision)))
    }

    /// The latest hand-over of the VM at this site.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn latest_attempt(&self, vm: &VmId) -> Result<Option<Attempt>, Error> {
        self.read(|connection| {
            let query = "SELECT epoch FROM handovers WHERE vm = ?1 ORDER BY epoch DESC LIMIT 1";
            let epoch: Option<i64> =
                connection.query_row(query, [vm.as_str()], |row| row.get(0)).optional()?;
            epoch.map_or(Ok(None), |epoch| attempt(connection, vm, Epoch(unsigned(epoch))))
        })
    }

    /// The other site of the VM's latest hand-over that this site took part in.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn last_peer(&self, vm: &VmId) -> Result<Option<String>, Error> {
        self.read(|connection| {
            let query =
                "SELECT epoch FROM handovers WHERE vm = ?1 AND fact = 'attempt' ORDER BY epoch DESC LIMIT 1";
            let epoch: Option<i64> =
                connection.query_row(query, [vm.as_str()], |row| row.get(0)).optional()?;
            let Some(epoch) = epoch else { return Ok(None) };
            Ok(attempt(connection, vm, Epoch(unsigned(epoch)))?.and_then(|attempt| attempt.peer))
        })
    }

    /// Whether the VM has ever run here and moved on: clients may still look for it at this site.
    ///
    /// # Errors
    /// Fatal ones only.
    pub fn has_left(&self, vm: &VmId) -> Result<bool, Error> {
        self.read(|connection| {
            let query =
                "SELECT EXISTS (SELECT 1 FROM handovers WHERE vm = ?1 AND side = 'source' AND fact = 'run')";
            Ok(connection.query_row(query, [vm.as_str()], |row| row.get(0))?)
        })
    }
}

/// How a site stands towards a VM that is to come.
enum Expected {
    /// This attempt was noted before.
    Already,
    /// It may come; what the site was to it until now.
    From(Role),
}

fn expected(connection: &Connection, vm: &VmId, run: &RunId, epoch: Epoch) -> Result<Expected, Error> {
    let row = look(connection, vm)?;
    let (role, highest) = row.map_or((Role::Absent(Epoch(0)), Epoch(0)), |row| (row.role, row.highest));
    if role == Role::Incoming(epoch) && attempt(connection, vm, epoch)?.is_some_and(|it| it.run == *run) {
        return Ok(Expected::Already);
    }
    if epoch <= highest {
        return Err(Error::Stale { vm: vm.clone(), epoch, highest });
    }
    if matches!(role, Role::Owner(_) | Role::Relinquished(_)) {
        return Err(Error::Role { step: "receive", vm: vm.clone(), epoch, role });
    }
    copies::refuse_kept(connection, vm, "receive", Some(run))?;
    Ok(Expected::From(role))
}

/// An incoming attempt that a later one replaces can never run; it is decided so that nobody has to wonder.
fn close_earlier(transaction: &Transaction<'_>, vm: &VmId, epoch: Epoch) -> Result<(), Error> {
    let Some(earlier) = attempt(transaction, vm, epoch)? else { return Ok(()) };
    let nack = Decision::Nack(Refusal::new(Class::Conflict, "a later attempt took its place"));
    insert(transaction, vm, epoch, &Entry::new("nack", Side::Target, &earlier.run, &nack))
}

/// A row to write.
struct Entry<'a> {
    fact: &'static str,
    side: Side,
    run: &'a RunId,
    detail: String,
}

impl<'a> Entry<'a> {
    fn new(fact: &'static str, side: Side, run: &'a RunId, detail: &impl Serialize) -> Self {
        let detail = serde_json::to_string(detail).expect("details are texts and numbers");
        Self { fact, side, run, detail }
    }
}

fn insert(transaction: &Transaction<'_>, vm: &VmId, epoch: Epoch, entry: &Entry<'_>) -> Result<(), Error> {
    let side = match entry.side {
        Side::Source => "source",
        Side::Target => "target",
    };
    let (epoch, now) = (signed(epoch.0), signed(now_unix_ms()));
    transaction.execute(
        "INSERT INTO handovers (vm, epoch, fact, side, run, detail, at_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (vm.as_str(), epoch, entry.fact, side, entry.run.as_str(), &entry.detail, now),
    )?;
    Ok(())
}

fn attempt_at(
    connection: &Connection,
    vm: &VmId,
    epoch: Epoch,
    step: &'static str,
) -> Result<(Attempt, VmFacts), Error> {
    let absent = || Error::Role { step, vm: vm.clone(), epoch, role: Role::Absent(Epoch(0)) };
    let row = look(connection, vm)?.ok_or_else(absent)?;
    Ok((attempt(connection, vm, epoch)?.ok_or_else(absent)?, row))
}

/// Everything known of one epoch, folded.
fn attempt(connection: &Connection, vm: &VmId, epoch: Epoch) -> Result<Option<Attempt>, Error> {
    let mut query =
        connection.prepare("SELECT fact, side, run, detail FROM handovers WHERE vm = ?1 AND epoch = ?2")?;
    let mut rows = query.query((vm.as_str(), signed(epoch.0)))?;
    let mut folded: Option<Attempt> = None;
    while let Some(row) = rows.next()? {
        let (fact, side): (String, String) = (row.get(0)?, row.get(1)?);
        let (run, detail): (String, String) = (row.get(2)?, row.get(3)?);
        let run = run.parse().map_err(|_| Error::Corrupt { what: "a run's id", found: run })?;
        let side = if side == "source" { Side::Source } else { Side::Target };
        let fresh =
            Attempt { epoch, run, side, peer: None, abandoned: false, relinquished: None, decision: None };
        fold(folded.get_or_insert(fresh), &fact, &detail)?;
    }
    Ok(folded)
}

fn fold(attempt: &mut Attempt, fact: &str, detail: &str) -> Result<(), Error> {
    let corrupt = |_| Error::Corrupt { what: "a hand-over fact", found: detail.to_owned() };
    match fact {
        "attempt" => attempt.peer = serde_json::from_str(detail).map_err(corrupt)?,
        "abandoned" => attempt.abandoned = true,
        "relinquish" => attempt.relinquished = Some(serde_json::from_str(detail).map_err(corrupt)?),
        "run" | "nack" => attempt.decision = Some(serde_json::from_str(detail).map_err(corrupt)?),
        _ => return Err(Error::Corrupt { what: "a hand-over fact", found: fact.to_owned() }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Site {
        _folder: tempfile::TempDir,
        facts: Facts,
        vm: VmId,
        run: RunId,
    }

    fn site() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::open(&folder.path().join("agent.db")).unwrap();
        Site { _folder: folder, facts, vm: "vm-a".parse().unwrap(), run: "run-1".parse().unwrap() }
    }

    fn promise() -> Relinquishment {
        let state = StateDigest { hash: "ab".to_owned(), bytes: 1 };
        Relinquishment { state, stopped_at_unix_us: 2, predicted_pause_ms: 3, marked_absent_bytes: 4 }
    }

    const RUN: Decision = Decision::Run { runs_at_unix_us: 5 };

    fn nack() -> Decision {
        Decision::Nack(Refusal::transient("no"))
    }

    /// At the source an attempt has one way out, whichever comes first; no epoch comes twice; a NACK brings the VM back under
    /// a fresh one and a RUN takes it away for good.
    #[test]
    fn a_source_keeps_its_promises() {
        let Site { facts, vm, run, .. } = &site();
        assert!(facts.begin_attempt(vm, run, "b").is_err(), "nobody owns it");
        assert_eq!(facts.begin_start(vm).unwrap(), Epoch(1));
        let first = facts.begin_attempt(vm, run, "b").unwrap();
        facts.abandon(vm, first, "x").unwrap();
        assert!(facts.relinquish(vm, first, &promise()).is_err(), "given up before");
        let second = facts.begin_attempt(vm, run, "b").unwrap();
        assert_eq!((first, second), (Epoch(2), Epoch(3)));
        assert_eq!(facts.latest_attempt(vm).unwrap().unwrap().peer.as_deref(), Some("b"));
        facts.relinquish(vm, second, &promise()).unwrap();
        assert!(facts.abandon(vm, second, "x").is_err(), "promised before");
        assert!(facts.begin_start(vm).is_err(), "a promised VM is not started");
        assert_eq!(facts.learn(vm, second, &nack()).unwrap(), Role::Owner(Epoch(4)));
        assert_eq!(facts.learn(vm, second, &RUN).unwrap(), Role::Owner(Epoch(4)), "the first answer stands");
        assert!(!facts.has_left(vm).unwrap(), "it has been here all the time");
        let third = facts.begin_attempt(vm, run, "b").unwrap();
        facts.relinquish(vm, third, &promise()).unwrap();
        assert_eq!(facts.learn(vm, third, &RUN).unwrap(), Role::Absent(Epoch(5)));
        assert!(facts.begin_start(vm).is_err(), "it runs elsewhere");
        assert!(facts.has_left(vm).unwrap());
    }

    /// At the target the first decision about an epoch stands, a stale epoch is refused, and a NACK for an epoch never heard of
    /// uses it up.
    #[test]
    fn a_target_decides_once() {
        let Site { facts, vm, run, .. } = &site();
        assert!(facts.decide(vm, run, Epoch(2), &RUN).is_err(), "nothing came");
        assert_eq!(facts.decide(vm, run, Epoch(2), &nack()).unwrap(), nack());
        let stale = facts.begin_incoming(vm, run, Epoch(2), "a").unwrap_err();
        assert_eq!(facts.last_peer(vm).unwrap(), None, "nobody came from anywhere yet");
        facts.expects(vm, run, Epoch(4)).unwrap();
        assert!(matches!(stale, Error::Stale { highest: Epoch(2), .. }), "{stale}");
        facts.begin_incoming(vm, run, Epoch(4), "a").unwrap();
        facts.begin_incoming(vm, run, Epoch(4), "a").unwrap();
        facts.begin_incoming(vm, run, Epoch(6), "a").unwrap();
        assert!(matches!(facts.decision(vm, Epoch(4)).unwrap(), Some(Decision::Nack { .. })), "replaced");
        assert_eq!(facts.decide(vm, run, Epoch(6), &RUN).unwrap(), RUN);
        assert_eq!(facts.decide(vm, run, Epoch(6), &nack()).unwrap(), RUN, "the first stands");
        assert_eq!(facts.vm(vm).unwrap().unwrap().role, Role::Owner(Epoch(6)));
        assert!(facts.begin_incoming(vm, run, Epoch(8), "a").is_err(), "it runs here");
        assert!(facts.expects(vm, run, Epoch(8)).is_err() && facts.expects(vm, run, Epoch(3)).is_err());
        assert_eq!(facts.last_peer(vm).unwrap().as_deref(), Some("a"));
        assert!(!facts.has_left(vm).unwrap());
    }

    /// Two runs cannot move one VM: the second is told who holds it.
    #[test]
    fn a_second_run_is_told_who_moves_the_vm() {
        let Site { facts, vm, run, .. } = &site();
        let second = "run-2".parse().unwrap();
        facts.moving_take(vm, run, "east (pid 1)").unwrap();
        facts.moving_take(vm, run, "east (pid 1)").unwrap();
        let refused = facts.moving_take(vm, &second, "west (pid 2)").unwrap_err();
        assert!(refused.to_string().contains("run-1 of east (pid 1)"), "{refused}");
        facts.moving_release(vm, &second).unwrap();
        assert!(facts.moving(vm).unwrap().is_some());
        facts.moving_release(vm, run).unwrap();
        facts.moving_take(vm, &second, "west (pid 2)").unwrap();
    }
}
