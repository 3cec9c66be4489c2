//! One case: a move, held at a point, struck by a fault, let go, and judged.

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use longhaul_agent::faults::FaultPoint;
use longhaul_lab::observer::{Observer, ObserverView, Options};
use longhaul_lab::place::Side;
use serde_json::Value;

use super::fault::{Beside, Fault, beside};
use super::table::{Outcome, Table};
use crate::moves::small::disk_server;
use crate::moves::small::ground::{Ground, Word};
use crate::moves::small::guest::{self, Marks};
use crate::moves::small::processes::{AGENT, DISK_SERVER, QEMU, SOON, wait};

/// The observer asks less often than in a demo: both cores are wanted, and two copies would run for longer than this.
const OBSERVED_EVERY: Duration = Duration::from_millis(10);

/// A lab whose VM goes from site to site.
pub(super) struct Sweep {
    ground: Ground,
    table: Table,
    /// Where the VM is.
    here: Side,
    marks: Marks,
    cases: usize,
}

/// What came of one case.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) reached: BTreeSet<FaultPoint>,
    pub(super) mismatches: Vec<String>,
    /// No other case can follow here.
    pub(super) is_unusable: bool,
}

/// A case under way.
struct Case {
    run: String,
    point: FaultPoint,
    fault: Fault,
    source: Side,
    controller: Child,
    observer: Observer,
}

impl Sweep {
    pub(super) fn new(lab: &str) -> Self {
        let ground = Ground::new(lab);
        let marks = ground.boot(Side::A).unwrap();
        Self { ground, table: Table::read(), here: Side::A, marks, cases: 0 }
    }

    /// One case, printed as one line.
    pub(super) fn visit(&mut self, point: FaultPoint, fault: Fault) -> Seen {
        let began = Instant::now();
        // Before the move takes it elsewhere: after the last case its disk server may just have come back.
        let alive = self.counts_on();
        let mut case = self.begin(point, fault);
        let mut seen = Seen::default();
        let struck = alive.and_then(|()| self.strike(&mut case));
        self.ground.gate.release_all();
        self.ground.slow(false);
        seen.is_unusable = struck.is_err();
        seen.mismatches.extend(struck.err());
        let ended = self.end(&mut case);
        seen.reached = self.ground.gate.reached();
        self.judge(case, &ended, &mut seen);
        self.go_on(&mut seen);
        let took = began.elapsed().as_millis();
        let told = if seen.mismatches.is_empty() { "as it has to be" } else { "MISMATCH" };
        eprintln!("{:24} {:20} {took:6} ms  {told}", point.name(), fault.column());
        seen
    }

    fn begin(&mut self, point: FaultPoint, fault: Fault) -> Case {
        self.cases += 1;
        let run = format!("run-{}", self.cases);
        let beside = match beside(point) {
            Beside::Nothing => None,
            Beside::At(other) | Beside::NotPast(other) => Some(other),
        };
        let refusal = point.on_refusal_only().then_some(FaultPoint::TargetLoaded);
        self.ground.gate.hold([Some(point), beside, refusal].into_iter().flatten());
        let lab = &self.ground.lab;
        let observer = Observer::start(Options { interval: OBSERVED_EVERY, ..Options::of_lab(lab) });
        // Else the fill would be over before it is looked at.
        self.ground.slow(point == FaultPoint::PrefetchFilling);
        let controller = if is_of_a_copy(point) {
            self.ground.start_move_of_a_copy(&run, self.here)
        } else {
            self.ground.start_move(&run, self.here)
        };
        Case { run, point, fault, source: self.here, controller, observer }
    }

    /// Brings the move to its point and strikes.
    fn strike(&mut self, case: &mut Case) -> Result<(), String> {
        if case.point.on_refusal_only() {
            self.arrive(case, FaultPoint::TargetLoaded)?;
            self.provoke_refusal(case)?;
            self.ground.gate.release(FaultPoint::TargetLoaded);
        }
        self.arrive(case, case.point)?;
        if let Beside::At(other) = beside(case.point) {
            self.arrive(case, other)?;
        }
        self.lacks_blocks(case)?;
        let (met, there) = (self.inject(case)?, self.table.is_there(case.point, case.fault));
        if met == usize::from(there) {
            return Ok(());
        }
        Err(format!("{met} processes were met, and the page says {}", if there { "one" } else { "none" }))
    }

    /// The guest runs, and finds on its disk what it wrote.
    pub(super) fn counts_on(&self) -> Result<(), String> {
        let before = self.marks;
        if wait(SOON, || self.ground.marks(self.here).count > before.count) {
            return Ok(());
        }
        Err(format!("the guest has not counted on since the last case: {before:?}"))
    }

    fn arrive(&self, case: &mut Case, point: FaultPoint) -> Result<(), String> {
        let controller = &mut case.controller;
        let ended = || !matches!(controller.try_wait(), Ok(None));
        if self.ground.gate.wait(point, Instant::now() + SOON, ended) {
            return Ok(());
        }
        let run = &case.run;
        Err(format!("{} was not reached by {run}:\n{}", point.name(), self.ground.said(run)))
    }

    /// Where the point says that blocks are absent at the target, they are, also now that the fault is struck.
    fn lacks_blocks(&self, case: &Case) -> Result<(), String> {
        let target = case.source.other();
        let status =
            || disk_server::status(&self.ground.lab, target).ok_or("the target's disk server is silent");
        let number = |status: &Value, key: &str| status["fill"][key].as_u64().unwrap_or_default();
        let lacks = match case.point {
            FaultPoint::PrefetchFilling => {
                let status = status()?;
                number(&status, "present_bytes") < number(&status, "allocated_bytes") / 2
            }
            FaultPoint::NameRedirected | FaultPoint::SettleFilling => number(&status()?, "absent_bytes") > 0,
            _ => true,
        };
        if lacks { Ok(()) } else { Err("no block is absent that should be".to_owned()) }
    }

    /// The target, which has everything, loses its QEMU; or its agent, where the QEMU is what the case is about.
    fn provoke_refusal(&self, case: &Case) -> Result<(), String> {
        let target = case.source.other();
        if case.fault == Fault::TargetQemu {
            only(self.ground.kill(target, AGENT)?)?;
            return self.ground.start_agent(target);
        }
        only(self.ground.kill(target, QEMU)?)
    }

    /// How many processes it met; a cut link is one.
    fn inject(&self, case: &mut Case) -> Result<usize, String> {
        let (ground, source) = (&self.ground, case.source);
        match case.fault {
            Fault::SourceAgent => self.restart_agent(source),
            Fault::TargetAgent => self.restart_agent(source.other()),
            Fault::Controller => self.restart_controller(case),
            Fault::SourceQemu => ground.kill(source, QEMU),
            Fault::TargetQemu => ground.kill(source.other(), QEMU),
            Fault::SourceDiskServer => ground.kill(source, DISK_SERVER),
            Fault::TargetDiskServer => ground.kill(source.other(), DISK_SERVER),
            Fault::LinkCut => ground.cut(|| ground.gate.release_all()).map(|()| 1),
        }
    }

    fn restart_agent(&self, side: Side) -> Result<usize, String> {
        let met = self.ground.kill(side, AGENT)?;
        self.ground.gate.release_all();
        self.ground.start_agent(side).map(|()| met)
    }

    /// The move is still held when the next controller takes it up, so that it sees the move's own end.
    fn restart_controller(&self, case: &mut Case) -> Result<usize, String> {
        case.controller.kill().map_err(|error| error.to_string())?;
        case.controller.wait().map_err(|error| error.to_string())?;
        case.controller = self.ground.resume(&case.run);
        let taken_up = || {
            let records = self.ground.records(&case.run);
            let resumed = records.iter().rposition(|record| record["kind"] == "run_resumed");
            resumed.is_some_and(|at| records[at..].iter().any(|record| record["kind"] == "handle_given"))
        };
        if wait(SOON, taken_up) { Ok(1) } else { Err("the run was not taken up".to_owned()) }
    }

    /// Waits for the run's end; its exit code.
    fn end(&self, case: &mut Case) -> Option<i32> {
        let mut code = None;
        let ended = wait(SOON, || {
            code = case.controller.try_wait().ok().flatten();
            code.is_some()
        });
        if !ended {
            let _ = case.controller.kill();
            let _ = case.controller.wait();
        }
        code.and_then(|code| code.code())
    }

    fn judge(&mut self, case: Case, code: &Option<i32>, seen: &mut Seen) {
        let Case { run, point, fault, source, observer, .. } = case;
        let words = self.ground.words();
        let outcome = self.outcome(&words, *code, source);
        let (word, expected) = self.table.expected(point, fault);
        if outcome != *expected {
            let said = self.ground.said(&run);
            seen.mismatches.push(format!(
                "{}: {run} should be `{word}` ({expected}), is: {outcome}\n{said}",
                fault.column()
            ));
        }
        let lost = outcome.owner == "target" && outcome.memory == "lost";
        if self.reported_lost(&run) != lost {
            seen.mismatches.push(format!("{run} does not say truly whether the guest's memory was lost"));
        }
        self.here = if outcome.owner == "target" { source.other() } else { source };
        let left = self.left_behind(&words);
        seen.is_unusable |= !left.is_empty() || outcome.owner.starts_with("unclear");
        seen.mismatches.extend(left);
        let view = observer.stop();
        seen.mismatches.extend(two_at_once(&view));
        seen.mismatches.extend(self.disk());
        if outcome.owner == "target" && outcome.run == "succeeds" {
            seen.mismatches.extend(self.not_let_go(&run, source));
        }
    }

    fn outcome(&self, words: &[Option<Word>; 2], code: Option<i32>, source: Side) -> Outcome {
        let of = |side: Side| words[usize::from(side == Side::B)].clone();
        let (from, to) = (of(source), of(source.other()));
        let owns = |word: &Option<Word>| word.as_ref().is_some_and(|word| word.owner);
        let (owner, there) = match (owns(&from), owns(&to)) {
            (true, false) => ("source".to_owned(), from),
            (false, true) => ("target".to_owned(), to),
            _ => (format!("unclear ({from:?}, {to:?})"), None),
        };
        let at = if owner == "target" { source.other() } else { source };
        let guest = there.map(|word| word.state).unwrap_or_default();
        let run = match code {
            Some(0) => "succeeds".to_owned(),
            Some(1) => "fails".to_owned(),
            Some(6) => "needs an operator".to_owned(),
            Some(other) => format!("exit code {other}"),
            None => "never ends".to_owned(),
        };
        let kept = guest == "running" && self.ground.marks(at).boots == self.marks.boots;
        let (guest, memory) =
            (if guest == "running" { "runs".to_owned() } else { guest }, if kept { "kept" } else { "lost" });
        Outcome { owner, guest, run, memory: memory.to_owned() }
    }

    /// Whether a run's report, which is made of its records, says that the guest's memory was lost.
    fn reported_lost(&self, run: &str) -> bool {
        self.ground.records(run).iter().any(|record| record["payload"]["outputs"]["memory_lost"] == true)
    }

    /// A run that succeeded needs nothing of the source: its disk was put aside, and the target's is whole.
    fn not_let_go(&self, run: &str, source: Side) -> Vec<String> {
        let mut amiss = Vec::new();
        let kept = self.ground.image(source).with_extension(format!("raw.released-{run}"));
        if !kept.exists() {
            amiss.push(format!("{run} has not put the source's disk aside: {} is not there", kept.display()));
        }
        let status = disk_server::status(&self.ground.lab, source.other()).unwrap_or_default();
        if status["complete"] != true {
            amiss.push(format!("the target's disk needs the source: {status}"));
        }
        amiss
    }

    /// Processes, files, taps and claims that have no business here any more.
    fn left_behind(&self, words: &[Option<Word>; 2]) -> Vec<String> {
        let mut left = Vec::new();
        for (side, word) in Side::BOTH.into_iter().zip(words) {
            let site = side.as_str();
            let (qemus, disks) =
                (self.ground.processes(side, QEMU), self.ground.processes(side, DISK_SERVER));
            let most = usize::from(side == self.here);
            if qemus > most || disks > most {
                left.push(format!("{qemus} QEMUs and {disks} disk servers are at site {site}"));
            }
            if side != self.here {
                let belongings = self.ground.belongings(side);
                left.extend(belongings.into_iter().map(|what| format!("{what} is left at site {site}")));
            }
            match word {
                Some(word) if word.moving.is_empty() => {}
                Some(word) => left.push(format!("site {site} says that {} moves the VM", word.moving)),
                None => left.push(format!("site {site} does not answer")),
            }
        }
        left
    }

    /// The disk at the owner holds what it held and everything that the guest wrote.
    fn disk(&mut self) -> Option<String> {
        let (image, before) = (self.ground.image(self.here), self.marks);
        let now = guest::marks(&image);
        self.marks = now;
        if now.lost != 0 {
            return Some(format!("the guest misses a write: {now:?}"));
        }
        if now.count < before.count {
            return Some(format!("the disk is older than before: {now:?} after {before:?}"));
        }
        match guest::differs(&image) {
            Ok(None) => None,
            Ok(Some(what)) => Some(format!("the disk differs: {what}")),
            Err(error) => Some(format!("the disk cannot be read: {error}")),
        }
    }

    /// A guest that does not run is booted, so that the next case has something to move.
    fn go_on(&mut self, seen: &mut Seen) {
        if !seen.is_unusable && self.ground.processes(self.here, QEMU) == 0 {
            match self.ground.boot(self.here) {
                Ok(marks) => self.marks = marks,
                Err(why) => {
                    seen.mismatches.push(why);
                    seen.is_unusable = true;
                }
            }
        }
    }
}

/// Whether only a move comes there whose copy is kept first, and then taken over.
fn is_of_a_copy(point: FaultPoint) -> bool {
    matches!(point, FaultPoint::CopyLetGo | FaultPoint::CopyKept | FaultPoint::CopyTaken)
}

fn only(met: usize) -> Result<(), String> {
    if met == 1 { Ok(()) } else { Err(format!("{met} processes were there to make the target refuse")) }
}

fn two_at_once(view: &ObserverView) -> Option<String> {
    (!view.exactly_one()).then(|| format!("two copies at once, or nobody looked: {view:?}"))
}
