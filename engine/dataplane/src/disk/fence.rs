//! Who may write, and the roles of a disk: durable changes of the header.
//!
//! It must never let two processes write under one epoch, nor a lower epoch after a higher one was granted.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Error;
use super::allocation;
use super::bitmap::Bitmap;
use super::control::{Frozen, OriginOpened, ROUND_EXTENTS_MAX, Round};
use super::geometry::{BLOCK, merged};
use super::header::{Process, Settled};
use super::rounds::Rounds;
use super::store::Store;
use crate::nbd::Span;

impl Process {
    /// The process of that number, as it lives now.
    pub(crate) fn living(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, field 2, may hold anything but ends with the last parenthesis; the start time is field 22.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
        let alive = fields.next()? != "Z";
        let start = fields.nth(18)?.parse().ok()?;
        alive.then_some(Self { pid, start })
    }

    fn is_alive(self) -> bool {
        Self::living(self.pid) == Some(self)
    }
}

impl Store {
    /// See [`super::Request::Grant`].
    pub(crate) fn grant(&self, epoch: u64) -> Result<(), Error> {
        self.change_header(|header| {
            if header.frozen {
                return Err(Error::State("the disk is frozen".into()));
            }
            if epoch < header.epoch || epoch == 0 {
                return Err(Error::Epoch { asked: epoch, seen: header.epoch });
            }
            if epoch > header.epoch {
                header.epoch = epoch;
                header.holder = None;
            }
            Ok(())
        })
    }

    /// Whether a writer of that epoch may be let in at all. The text is for the client.
    pub(crate) fn admits(&self, epoch: u64) -> Result<(), String> {
        let granted = self.header().epoch;
        if epoch == granted && epoch > 0 {
            Ok(())
        } else {
            Err(format!("epoch {epoch} is not {granted}, the granted one"))
        }
    }

    /// Lets a process write: the one that already does, or the first one after its death.
    pub(crate) fn take_epoch(&self, epoch: u64, process: Process) -> Result<(), String> {
        self.admits(epoch)?;
        self.change_header(|header| {
            if header.epoch != epoch {
                return Err(Error::Epoch { asked: epoch, seen: header.epoch });
            }
            match header.holder {
                Some(holder) if holder == process => Ok(()),
                Some(holder) if holder.is_alive() => {
                    Err(Error::State(format!("process {} writes under epoch {epoch}", holder.pid)))
                }
                Some(_) | None => {
                    header.holder = Some(process);
                    Ok(())
                }
            }
        })
        .map_err(|error| error.to_string())
    }

    /// See [`super::Request::OpenOrigin`].
    pub(crate) fn open_origin(&self) -> Result<OriginOpened, Error> {
        let (origin, epoch) = self.change_header(|header| {
            if !header.complete {
                return Err(Error::State("the disk is not complete here".into()));
            }
            if header.frozen && header.origin.is_none() {
                return Err(Error::State("the disk is frozen".into()));
            }
            if header.origin.is_none() {
                self.begin_rounds()?;
                header.origin = Some(new_origin());
            }
            Ok((header.origin.expect("set above"), header.epoch))
        })?;
        let disk = Span::new(0, self.geometry.disk_bytes);
        let allocated_bytes = allocation::data(&self.image, disk)?.iter().map(|run| run.length).sum();
        Ok(OriginOpened { origin, epoch, disk_bytes: self.geometry.disk_bytes, allocated_bytes })
    }

    /// No write is in work here: the caller holds the header for writing.
    fn begin_rounds(&self) -> Result<(), Error> {
        self.map.clear_touched()?;
        let blocks = self.geometry.blocks();
        self.state().rounds = Some(Rounds::new(blocks, Bitmap::new(blocks)));
        Ok(())
    }

    /// See [`super::Request::DirtyRound`].
    pub(crate) fn dirty_round(&self, applied: u64) -> Result<Round, Error> {
        let mut state = self.state();
        let geometry = self.geometry;
        let rounds = state.rounds.as_mut().ok_or_else(no_rounds)?;
        let (round, runs) = rounds.next(applied, ROUND_EXTENTS_MAX);
        let extents = runs.iter().map(|run| geometry.span(run)).collect();
        Ok(Round { round, extents, rest_bytes: rounds.dirty() * BLOCK })
    }

    /// See [`super::Request::AbortRounds`].
    pub(crate) fn abort_rounds(&self) -> Result<(), Error> {
        self.state().rounds.as_mut().ok_or_else(no_rounds)?.abort();
        Ok(())
    }

    /// See [`super::Request::CloseOrigin`].
    pub(crate) fn close_origin(&self) -> Result<(), Error> {
        self.change_header(|header| {
            if header.frozen {
                return Err(Error::State("the disk is frozen, the target may need it".into()));
            }
            header.origin = None;
            self.state().rounds = None;
            Ok(())
        })
    }

    /// See [`super::Request::Freeze`].
    pub(crate) fn freeze(&self, epoch: u64) -> Result<Frozen, Error> {
        self.change_header(|header| {
            if !header.complete {
                return Err(Error::State("the disk is not complete here".into()));
            }
            if epoch < header.frozen_epoch || (epoch == header.frozen_epoch && !header.frozen) {
                return Err(Error::Epoch { asked: epoch, seen: header.frozen_epoch });
            }
            header.frozen = true;
            header.frozen_epoch = epoch;
            Ok(())
        })?;
        self.sync()?;
        let dirty = self.state().rounds.as_ref().map_or(0, Rounds::dirty);
        Ok(Frozen { dirty_bytes: dirty * BLOCK })
    }

    /// See [`super::Request::Thaw`].
    pub(crate) fn thaw(&self, epoch: u64) -> Result<(), Error> {
        self.change_header(|header| {
            if epoch < header.frozen_epoch {
                return Err(Error::Epoch { asked: epoch, seen: header.frozen_epoch });
            }
            header.frozen = false;
            header.frozen_epoch = epoch;
            Ok(())
        })
    }

    /// See [`super::Request::StartFill`]; the header part.
    pub(crate) fn attach(&self, origin: u64) -> Result<(), Error> {
        let previous = self.header();
        if previous.complete {
            return Err(Error::State("the disk is complete here".into()));
        }
        if previous.fetched_from != Some(origin) {
            self.mark_absent(&[Span::new(0, self.geometry.disk_bytes)])?;
        }
        self.change_header(|header| {
            header.fetched_from = Some(origin);
            Ok(())
        })
    }

    /// See [`super::Request::MarkAbsent`].
    pub(crate) fn mark_absent(&self, extents: &[Span]) -> Result<(), Error> {
        let header = self.header.read().unwrap_or_else(PoisonError::into_inner);
        if header.complete {
            return Err(Error::State("the disk is complete here".into()));
        }
        if let Some(bad) = extents.iter().find(|span| !span.fits(self.geometry.disk_bytes)) {
            return Err(Error::Mismatch(format!("no extent of this disk: {} + {}", bad.offset, bad.length)));
        }
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.retract(extents)
    }

    /// The caller keeps syncs out, so that none stores an older snapshot of the bits that are cleared here.
    fn retract(&self, extents: &[Span]) -> Result<(), Error> {
        let runs: Vec<_> = extents.iter().map(|span| self.geometry.touched(*span)).collect();
        // Sorted and apart from each other, so that one thread can lock them all.
        let held: Vec<_> = merged(runs.clone(), 0).into_iter().map(|run| self.locks.lock(run)).collect();
        let mut state = self.state();
        if runs.iter().any(|run| state.written.any(run, true)) {
            return Err(Error::State("the guest has written there".into()));
        }
        let poison = |error| Error::Disk(self.poison(error));
        state.retract(&runs).map_err(poison)?;
        drop(state);
        self.map.sync().map_err(poison)?;
        drop(held);
        Ok(())
    }

    /// See [`super::Request::Finish`]; the caller has seen the proof.
    pub(crate) fn finish(&self, settled: Settled) -> Result<(), Error> {
        if self.header().complete {
            return Ok(());
        }
        if self.state().absent() > 0 {
            return Err(Error::State("some blocks are absent".into()));
        }
        self.sync()?;
        self.change_header(|header| {
            header.complete = true;
            header.fetched_from = None;
            header.settled = Some(settled);
            Ok(())
        })
    }
}

fn no_rounds() -> Error {
    Error::State("no dirty map runs; the origin is not open".into())
}

/// Unlike every earlier one: the wall clock's nanoseconds, with random low bits against a clock that was set back.
fn new_origin() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    (now & !0xffff | u64::from(fastrand::u16(..))).max(1)
}

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
