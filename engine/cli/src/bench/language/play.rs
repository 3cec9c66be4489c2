//! The comparison from beginning to end.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::graph::{Graph, Shape};
use super::peers::{Installed, OUT_OF_REACH, Peer};
use super::row::{Measured, rows};
use crate::bench::calibration::fdatasync_p50_us;
use crate::bench::meter::CpuTime;
use crate::bench::process::{self, Ran, Taken};
use crate::bench::row::Row;
use crate::commands::noticing_interrupts;
use crate::errors::{Explain as _, Failure, Result};
use crate::exit_code;
use crate::output::{self, Table};
use crate::settings::Settings;

/// Runs of each: the least of which a median and a spread mean something.
const RUNS: usize = 5;
const QUICK_RUNS: usize = 3;
const SIZES: [usize; 3] = [100, 1_000, 10_000];
const QUICK_SIZES: usize = 2;

/// Whether figures of this build count.
const OPTIMISED: bool = !cfg!(debug_assertions);

/// Measures checking and planning of generated graphs beside other checkers, and shows what came of it.
pub(crate) fn language(settings: &Settings, quick: bool, json: Option<&Path>) -> Result<u8> {
    let folder = settings.state().join("bench/language");
    fs::create_dir_all(&folder).doing(exit_code::FAILED, || format!("make {}", folder.display()))?;
    let (peers, missing) = install(&folder)?;
    let before = CpuTime::now();
    let all = noticing_interrupts(|interrupted| {
        let mut all = Vec::new();
        for graph in graphs(quick) {
            let runs = if quick { QUICK_RUNS } else { RUNS };
            all.push(measure(graph, &folder, &peers, runs, interrupted)?);
        }
        Ok(all)
    })?;
    let rows = rows(&all, OPTIMISED);
    let calibration = Calibration::of(&folder, CpuTime::now().idle_percent_since(before))?;
    output::raw(&text(&all, &rows, (&peers, &missing), &calibration));
    if let Some(file) = json {
        let text =
            serde_json::to_string_pretty(&rows).map_err(|error| Failure::new(exit_code::FAILED, error))?;
        fs::write(file, text + "\n").doing(exit_code::FAILED, || format!("write {}", file.display()))?;
    }
    let missed = rows.iter().any(|row| row.met == Some(false));
    Ok(if missed { exit_code::CHECK_FAILED } else { exit_code::OK })
}

/// From small to large; the odd shapes at their largest alone.
fn graphs(quick: bool) -> Vec<Graph> {
    let sizes = if quick { &SIZES[..QUICK_SIZES] } else { &SIZES };
    let largest = sizes[sizes.len() - 1];
    let rows = sizes.iter().map(|steps| Graph { shape: Shape::Rows, steps: *steps });
    let odd = [Shape::Chain, Shape::FanIn, Shape::Items].map(|shape| Graph { shape, steps: largest });
    rows.chain(odd.into_iter().filter(|_| !quick)).collect()
}

/// The peers that are there, and why others are not.
fn install(folder: &Path) -> Result<(Vec<Installed>, Vec<String>)> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for peer in Peer::ALL {
        match peer.install(&folder.join("peers"))? {
            Ok(installed) => peers.push(installed),
            Err(why) => missing.push(format!("{}: not installed: {why}", peer.name())),
        }
    }
    missing.extend(OUT_OF_REACH.map(|(name, why)| format!("{name}: not compared: {why}")));
    Ok((peers, missing))
}

/// The files of one graph.
struct Files {
    ours: PathBuf,
    theirs: Option<PathBuf>,
}

fn write(graph: Graph, folder: &Path) -> Result<(Files, usize)> {
    let ours = folder.join(format!("{}.yaml", graph.name()));
    let theirs = folder.join(format!("{}.github.yaml", graph.name()));
    let writing = || format!("write to {}", folder.display());
    let text = graph.ours();
    fs::write(&ours, &text).doing(exit_code::FAILED, writing)?;
    let theirs = match graph.theirs() {
        Some(text) => {
            fs::write(&theirs, text).doing(exit_code::FAILED, writing)?;
            Some(theirs)
        }
        None => None,
    };
    Ok((Files { ours, theirs }, text.len()))
}

/// Everybody in turns, so that what else the machine does falls on all alike.
fn measure(
    graph: Graph,
    folder: &Path,
    peers: &[Installed],
    runs: usize,
    interrupted: &std::sync::atomic::AtomicBool,
) -> Result<Measured> {
    let (files, file_bytes) = write(graph, folder)?;
    let said = folder.join("said.txt");
    let mut measured = Measured {
        graph,
        file_bytes,
        validate: Vec::new(),
        plan: Vec::new(),
        peers: Vec::new(),
        failed: Vec::new(),
    };
    if files.theirs.is_some() {
        measured.peers = peers.iter().map(|installed| (installed.peer, Vec::new())).collect();
    }
    for _ in 0..runs {
        if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::said(exit_code::INTERRUPTED, "interrupted: nothing is shown of a part"));
        }
        measured.validate.push(ours("validate", &files.ours, &[], &said)?);
        for installed in peers {
            let Some(theirs) = &files.theirs else { continue };
            let Some(at) = measured.peers.iter().position(|(peer, _)| *peer == installed.peer) else {
                continue;
            };
            match process::measure(installed.check(theirs), &said)? {
                Ran::Through(taken) => measured.peers[at].1.push(taken),
                // One run that fails is no figure, and neither are the others.
                Ran::Failed(why) => {
                    measured.peers.remove(at);
                    measured.failed.push((installed.peer, why));
                }
            }
        }
        measured.plan.push(ours("plan", &files.ours, &["--offline"], &said)?);
    }
    tell(&measured);
    Ok(measured)
}

/// Runs this binary, which must not fail.
fn ours(command: &str, file: &Path, more: &[&str], said: &Path) -> Result<Taken> {
    let binary = std::env::current_exe().doing(exit_code::FAILED, || "find this binary".to_owned())?;
    let mut ours = Command::new(binary);
    ours.arg(command).arg(file).args(more);
    match process::measure(ours, said)? {
        Ran::Through(taken) => Ok(taken),
        Ran::Failed(why) => {
            let said = format!("{why}; a check that fails is no figure");
            Err(Failure::said(exit_code::CHECK_FAILED, said).advise("run it by hand to see what it says"))
        }
    }
}

fn tell(measured: &Measured) {
    let ms = |taken: &[Taken]| {
        taken.iter().map(|one| format!("{}", one.wall_us / 1_000)).collect::<Vec<_>>().join(" ")
    };
    let mut line = format!(
        "{}: validate {} ms; plan {} ms",
        measured.graph.text(),
        ms(&measured.validate),
        ms(&measured.plan)
    );
    for (peer, taken) in &measured.peers {
        let _ = write!(line, "; {} {} ms", peer.name(), ms(taken));
    }
    for (peer, why) in &measured.failed {
        let _ = write!(line, "; {} failed: {why}", peer.name());
    }
    output::talk(line);
}

/// What the machine gave.
struct Calibration {
    fdatasync_p50_us: u64,
    idle_percent: f64,
    load: String,
}

impl Calibration {
    fn of(folder: &Path, idle_percent: f64) -> Result<Self> {
        let flushed = fdatasync_p50_us(folder);
        let fdatasync_p50_us =
            flushed.doing(exit_code::FAILED, || format!("write to {}", folder.display()))?;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            fdatasync_p50_us,
            idle_percent,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

/// The table, and below it whom it compares with and on what machine.
fn text(
    all: &[Measured],
    rows: &[Row],
    (peers, missing): (&[Installed], &[String]),
    calibration: &Calibration,
) -> String {
    let mut table = Table::new(["work", "metric", "ours", "theirs", "ratio", "aim", "met", "peer"]);
    for row in rows {
        let figure = |median: f64, [least, most]: [f64; 2]| {
            format!("{median:.1} {} ({least:.1}..{most:.1})", row.unit)
        };
        let theirs = row.theirs.zip(row.spread.theirs).map(|(median, spread)| figure(median, spread));
        let theirs = theirs.or_else(|| row.theirs.map(|theirs| format!("{theirs:.1} {}", row.unit)));
        table.row([
            row.work.clone(),
            row.metric.to_owned(),
            figure(row.ours, row.spread.ours),
            theirs.unwrap_or_else(|| "-".to_owned()),
            row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            row.aim.map_or_else(|| "none".to_owned(), |aim| format!("{aim}")),
            row.met.map_or("-", |met| if met { "yes" } else { "no" }).to_owned(),
            row.peer.unwrap_or("-").to_owned(),
        ]);
    }
    let mut text =
        format!("{table}\n\nratio above 1: ours is better; an aim without a ratio is the most ours may be\n");
    for row in rows.iter().filter(|row| row.metric != "growth" && row.peer.is_none()) {
        let _ = writeln!(text, "limit of {}, {}: {}", row.metric, row.work, row.limit);
    }
    for installed in peers {
        let _ = writeln!(text, "peer: {}: {}", installed.peer.name(), installed.text());
    }
    for why in missing {
        let _ = writeln!(text, "peer: {why}");
    }
    for one in all {
        for (peer, why) in &one.failed {
            let _ = writeln!(text, "peer: {} has no figure for {}: {why}", peer.name(), one.graph.text());
        }
    }
    let build = if OPTIMISED { "release build" } else { "development build: no aim counts" };
    let Calibration { fdatasync_p50_us, idle_percent, load } = calibration;
    let _ = writeln!(
        text,
        "calibration: {build}; fdatasync p50 {fdatasync_p50_us} us; {idle_percent:.0} % idle while measuring; load {load}"
    );
    text
}
