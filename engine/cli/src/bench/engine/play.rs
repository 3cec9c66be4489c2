//! The comparison from beginning to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::aims::rows;
use super::peers::{Installed, OUT_OF_REACH, Peer};
use super::report::{Machine, text};
use super::sample::{Sample, Told};
use super::told::{Heard, Worker};
use super::work::{Shape, Work};
use super::worker::Part;
use crate::bench::calibration::fdatasync_p50_us;
use crate::bench::meter::CpuTime;
use crate::commands::noticing_interrupts;
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// Measurements of each: the least of which a median and a spread mean something.
const RUNS: usize = 5;
const QUICK_RUNS: usize = 3;
/// A peer that would take longer for one measurement, by what a smaller one took, is left out of it.
const EXPECTED_MAX_S: f64 = 30.0;
/// The run that is gone on with, and decided again.
const LARGE: usize = 10_000;

/// What was measured of one work.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) work: Work,
    /// Median times of a small flush, each between two measurements, in microseconds.
    pub(super) flush_us: Vec<f64>,
    pub(super) ours: Vec<Sample>,
    pub(super) peers: Vec<(Peer, Vec<Sample>)>,
    /// Who has no figure, and why.
    pub(super) left_out: Vec<(Peer, String)>,
}

/// A large run after its controller was killed, and its records.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// From opening the journal until the next step started, in milliseconds.
    pub(super) resume_ms: Vec<f64>,
    /// Events that were decided again in a second.
    pub(super) decided_per_s: Vec<f64>,
    /// The same, with reading and checking what is on the disk.
    pub(super) read_per_s: Vec<f64>,
    pub(super) events: usize,
}

/// How often somebody flushes for a step; ours without a peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flushes {
    pub(super) peer: Option<Peer>,
    pub(super) shape: Shape,
    pub(super) per_step: f64,
}

/// All figures.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) works: Vec<Measured>,
    pub(super) recovery: Option<Recovery>,
    pub(super) flushes: Vec<Flushes>,
    /// What could not be counted or installed, and why.
    pub(super) missing: Vec<String>,
}

/// Where everything happens.
struct Stage<'a> {
    folder: PathBuf,
    peers: Vec<Installed>,
    runs: usize,
    interrupted: &'a AtomicBool,
}

/// Measures the engine beside others, and shows what came of it.
pub(crate) fn engine(settings: &Settings, quick: bool, json: Option<&Path>) -> Result<u8> {
    let folder = settings.state().join("bench/engine");
    fs::create_dir_all(&folder).doing(exit_code::FAILED, || format!("make {}", folder.display()))?;
    let (peers, missing) = install(&folder)?;
    let before = CpuTime::now();
    let runs = if quick { QUICK_RUNS } else { RUNS };
    let mut figures = noticing_interrupts(|interrupted| {
        let stage = Stage { folder: folder.clone(), peers, runs, interrupted };
        measure_all(&stage, quick)
    })?;
    figures.missing.extend(missing);
    let rows = rows(&figures, !cfg!(debug_assertions));
    let machine = Machine::now(CpuTime::now().idle_percent_since(before));
    output::raw(&text(&figures, &rows, &machine));
    if let Some(file) = json {
        let text =
            serde_json::to_string_pretty(&rows).map_err(|error| Failure::new(exit_code::FAILED, error))?;
        fs::write(file, text + "\n").doing(exit_code::FAILED, || format!("write {}", file.display()))?;
    }
    let missed = rows.iter().any(|row| row.met == Some(false));
    Ok(if missed { exit_code::CHECK_FAILED } else { exit_code::OK })
}

/// The peers that are there, and why others are not.
fn install(folder: &Path) -> Result<(Vec<Installed>, Vec<String>)> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for peer in Peer::ALL {
        output::talk(format_args!("installing {}", peer.name()));
        match peer.install(&folder.join("peers"))? {
            Ok(installed) => peers.push(installed),
            Err(why) => missing.push(format!("{} could not be installed: {why}", peer.name())),
        }
    }
    missing.extend(OUT_OF_REACH.map(|(name, why)| format!("{name}: not measured: {why}")));
    Ok((peers, missing))
}

fn measure_all(stage: &Stage<'_>, quick: bool) -> Result<Figures> {
    let mut figures = Figures::default();
    for work in Work::all(quick) {
        let measured = stage.measure(work, &figures.works)?;
        figures.works.push(measured);
    }
    if !quick {
        figures.recovery = Some(stage.recover()?);
    }
    stage.count_flushes(&mut figures)?;
    Ok(figures)
}

impl Stage<'_> {
    fn said(&self) -> PathBuf {
        self.folder.join("said.txt")
    }

    fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::said(exit_code::INTERRUPTED, "interrupted: nothing is shown of a part"));
        }
        Ok(())
    }

    /// A folder that is empty.
    fn empty(&self) -> Result<PathBuf> {
        let folder = self.folder.join("work");
        let clearing = || format!("empty {}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).doing(exit_code::FAILED, clearing)?;
        }
        fs::create_dir_all(&folder).doing(exit_code::FAILED, clearing)?;
        Ok(folder)
    }

    /// Everybody in turns, so that what else the machine does falls on all alike.
    fn measure(&self, work: Work, before: &[Measured]) -> Result<Measured> {
        let mut measured = Measured {
            work,
            flush_us: Vec::new(),
            ours: Vec::new(),
            peers: Vec::new(),
            left_out: Vec::new(),
        };
        for installed in &self.peers {
            match too_long(installed.peer, work, before) {
                Some(why) => measured.left_out.push((installed.peer, why)),
                None => measured.peers.push((installed.peer, Vec::new())),
            }
        }
        for _ in 0..self.runs {
            self.go_on()?;
            let flush = fdatasync_p50_us(&self.folder);
            let flush =
                flush.doing(exit_code::FAILED, || format!("write to {}", self.folder.display()))? as f64;
            measured.flush_us.push(flush);
            measured.ours.push(self.ours(work)?);
            for installed in &self.peers {
                let Some(at) = measured.peers.iter().position(|(peer, _)| *peer == installed.peer) else {
                    continue;
                };
                match self.sample(work, installed.work(work, &self.empty()?))? {
                    Ok(sample) => measured.peers[at].1.push(sample),
                    // One measurement that fails is no figure, and neither are the others.
                    Err(why) => {
                        measured.peers.remove(at);
                        measured.left_out.push((installed.peer, why));
                    }
                }
            }
        }
        output::talk(super::report::line(&measured));
        Ok(measured)
    }

    /// Measures ourselves, which must not fail.
    fn ours(&self, work: Work) -> Result<Sample> {
        let command = worker(Part::Run, work, &self.empty()?)?;
        self.sample(work, command)?.map_err(|why| Failure::said(exit_code::CHECK_FAILED, why))
    }

    fn sample(&self, work: Work, command: Command) -> Result<std::result::Result<Sample, String>> {
        let said = self.said();
        Ok(match Worker::start(command, &said)?.hear::<Told>(&said) {
            Heard::Failed(why) => Err(why),
            Heard::Through(told, peak_bytes) => Sample::of(&told, work.all_steps(), peak_bytes)
                .ok_or_else(|| format!("{} steps of {} started", told.starts_ns.len(), work.all_steps())),
        })
    }

    /// Kills a large run that is nearly over, goes on with it, and decides another one again.
    fn recover(&self) -> Result<Recovery> {
        let work = Work::one(Shape::Chain, LARGE);
        let mut recovery = Recovery::default();
        for _ in 0..self.runs {
            self.go_on()?;
            let folder = self.empty()?;
            self.hear::<Stood>(worker(Part::Stand, work, &folder)?, true)?;
            let told: Told = self.hear(worker(Part::Resume, work, &folder)?, false)?;
            let next = told.starts_ns.first().copied();
            let next = next.ok_or_else(|| {
                Failure::said(exit_code::CHECK_FAILED, "a run that was gone on with did no step")
            })?;
            recovery.resume_ms.push(next as f64 / 1e6);
            let folder = self.empty()?;
            self.hear::<Told>(worker(Part::Run, work, &folder)?, false)?;
            let replayed: Replayed = self.hear(worker(Part::Replay, work, &folder)?, false)?;
            let per_s = |ns: u64| replayed.events as f64 * 1e9 / ns.max(1) as f64;
            recovery.events = replayed.events;
            recovery.decided_per_s.push(per_s(replayed.decided_ns));
            recovery.read_per_s.push(per_s(replayed.decided_ns + replayed.read_ns));
        }
        Ok(recovery)
    }

    fn hear<T: serde::de::DeserializeOwned>(&self, command: Command, kill: bool) -> Result<T> {
        let said = self.said();
        let worker = Worker::start(command, &said)?;
        let heard = if kill { worker.hear_and_kill(&said) } else { worker.hear(&said) };
        match heard {
            Heard::Through(told, _) => Ok(told),
            Heard::Failed(why) => Err(Failure::said(exit_code::CHECK_FAILED, why)),
        }
    }

    /// Counts how often everybody flushes, in runs of their own: being traced takes time.
    fn count_flushes(&self, figures: &mut Figures) -> Result<()> {
        for [small, large] in Work::traced() {
            let everybody = std::iter::once(None).chain(self.peers.iter().map(Some));
            for installed in everybody {
                self.go_on()?;
                let counts = (self.flushes(small, installed)?, self.flushes(large, installed)?);
                let peer = installed.map(|installed| installed.peer);
                match counts {
                    (Ok(few), Ok(many)) => {
                        let per_step =
                            many.saturating_sub(few) as f64 / (large.all_steps() - small.all_steps()) as f64;
                        figures.flushes.push(Flushes { peer, shape: large.shape, per_step });
                    }
                    (Err(why), _) | (_, Err(why)) => {
                        let who = peer.map_or("Longhaul", Peer::name);
                        figures.missing.push(format!("the flushes of {who} are not counted: {why}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn flushes(
        &self,
        work: Work,
        installed: Option<&Installed>,
    ) -> Result<std::result::Result<usize, String>> {
        let folder = self.empty()?;
        let command = match installed {
            Some(installed) => installed.work(work, &folder),
            None => worker(Part::Run, work, &folder)?,
        };
        let trace = self.folder.join("trace.txt");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o"]).arg(&trace);
        strace.arg(command.get_program()).args(command.get_args());
        if Command::new("strace").arg("-V").output().is_err() {
            return Ok(Err("strace is not installed".to_owned()));
        }
        Ok(match self.sample(work, strace)? {
            Err(why) => Err(why),
            Ok(_) => {
                let text = fs::read_to_string(&trace)
                    .doing(exit_code::FAILED, || format!("read {}", trace.display()))?;
                // A call that is interrupted by another thread's has a second line, without a bracket behind the name.
                Ok(text.lines().filter(|line| line.contains("fsync(") || line.contains("fdatasync(")).count())
            }
        })
    }
}

/// Said by a worker that stands still.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stood {
    #[serde(rename = "done")]
    _done: usize,
}

/// Said by a worker that decided a run again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replayed {
    events: usize,
    read_ns: u64,
    decided_ns: u64,
}

/// This binary, as a worker.
fn worker(part: Part, work: Work, folder: &Path) -> Result<Command> {
    let binary = std::env::current_exe().doing(exit_code::FAILED, || "find this binary".to_owned())?;
    let mut command = Command::new(binary);
    let part = clap::ValueEnum::to_possible_value(&part).expect("no part is skipped");
    command.arg("bench-worker").args(work.words()).arg(folder).args(["--part", part.get_name()]);
    Ok(command)
}

/// Why a peer would take too long for a work, by the largest of its kind that it did or did not do.
fn too_long(peer: Peer, work: Work, before: &[Measured]) -> Option<String> {
    let last = before.iter().rev().find(|one| one.work.shape == work.shape)?;
    if let Some((_, why)) = last.left_out.iter().find(|(other, _)| *other == peer) {
        return Some(why.clone());
    }
    let samples = &last.peers.iter().find(|(other, _)| *other == peer)?.1;
    let step_us = super::sample::median(samples.iter().map(|sample| sample.step_us).collect())?;
    let expected_s = step_us * work.all_steps() as f64 / 1e6;
    (expected_s > EXPECTED_MAX_S).then(|| {
        let each = step_us / 1e3;
        format!("at {each:.1} ms a step ({}) it would take {expected_s:.0} s", last.work.text())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(steps: usize, step_us: f64) -> Measured {
        let sample = Sample { first_us: 1.0, step_us, gap_p50_us: 1.0, gap_p99_us: 1.0, peak_bytes: 1 };
        Measured {
            work: Work::one(Shape::Chain, steps),
            flush_us: vec![100.0],
            ours: vec![sample],
            peers: vec![(Peer::Temporal, vec![sample])],
            left_out: Vec::new(),
        }
    }

    /// A peer is left out where it would take too long, and of everything that is larger still.
    #[test]
    fn a_slow_peer_is_left_out() {
        let before = [measured(100, 50_000.0)];
        assert_eq!(too_long(Peer::Temporal, Work::one(Shape::Chain, 400), &before), None);
        let why = too_long(Peer::Temporal, Work::one(Shape::Chain, 1_000), &before).unwrap();
        assert_eq!(why, "at 50.0 ms a step (chain of 100) it would take 50 s");
        assert_eq!(too_long(Peer::Temporal, Work::one(Shape::FanOut, 1_000), &before), None);
        assert_eq!(too_long(Peer::Dbos, Work::one(Shape::Chain, 1_000), &before), None);
        let out = Measured {
            peers: Vec::new(),
            left_out: vec![(Peer::Temporal, why.clone())],
            ..measured(1_000, 1.0)
        };
        assert_eq!(too_long(Peer::Temporal, Work::one(Shape::Chain, 10_000), &[out]), Some(why));
    }
}
