//! The comparison from beginning to end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_lab::guest::file_digest;

use super::calibration::Calibration;
use super::cell::Cell;
use super::comparison::{Comparison, compare};
use super::progress::{Measured, Progress, Turn, Wanted};
use super::sample::Sample;
use super::{ours, table, theirs};
use crate::commands::noticing_interrupts;
use crate::errors::{Explain as _, Failure, Result};
use crate::rehearsal::Setting;
use crate::settings::Settings;
use crate::{exit_code, output};

/// How measuring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Complete,
    OutOfTime,
    Interrupted,
}

/// Compares a move of ours with plain QEMU's and shows what came of it, also of a part.
pub(crate) fn first_move(
    settings: &Settings,
    wanted: &Wanted,
    minutes: u32,
    json: Option<&Path>,
) -> Result<u8> {
    let binary = std::env::current_exe().doing(exit_code::FAILED, || "find this binary".to_owned())?;
    let digest = file_digest(&binary).doing(exit_code::FAILED, || format!("read {}", binary.display()))?;
    let path = wanted.file(&settings.state().join("bench"));
    ours::prepare(settings)?;
    let mut progress = Progress::open(&path, &digest, wanted);
    if progress.moves() > 0 {
        output::talk(format_args!("{} of {} moves are measured already", progress.moves(), wanted.moves()));
    }
    let until = Instant::now() + Duration::from_secs(60 * u64::from(minutes));
    let ended = noticing_interrupts(|interrupted| {
        measure(settings, wanted, &mut progress, &Stop { until, interrupted })
    })?;
    let rows = show(&progress, json)?;
    if ended == Ended::Complete {
        progress.finish().doing(exit_code::FAILED, || format!("remove {}", path.display()))?;
        return Ok(judged(&rows));
    }
    output::talk(left(ended, minutes, progress.moves(), wanted.moves()));
    Ok(if ended == Ended::Interrupted { exit_code::INTERRUPTED } else { exit_code::OK })
}

/// Why not everything was measured, and how to get the rest.
fn left(ended: Ended, minutes: u32, moves: usize, wanted: usize) -> String {
    let why = match ended {
        Ended::Complete => "complete".to_owned(),
        Ended::OutOfTime => format!("out of time (--minutes {minutes})"),
        Ended::Interrupted => "interrupted".to_owned(),
    };
    format!(
        "{why}: {moves} of {wanted} moves measured, no aim judged; the same command, with a higher --minutes if need be, \
         goes on with the rest"
    )
}

/// The exit code of a complete comparison: a missed aim is a check that says no. What the machine bounds has no aim.
fn judged(rows: &[Comparison]) -> u8 {
    let missed: Vec<&Comparison> = rows.iter().filter(|row| row.met == Some(false)).collect();
    for row in &missed {
        let Comparison { metric, work, ratio, .. } = row;
        output::talk(format_args!("aim not met: {metric} of {work}: ratio {ratio:.3}"));
    }
    if missed.is_empty() { exit_code::OK } else { exit_code::CHECK_FAILED }
}

/// When no further move is begun.
struct Stop<'a> {
    until: Instant,
    interrupted: &'a AtomicBool,
}

impl Stop<'_> {
    fn now(&self) -> Option<Ended> {
        if self.interrupted.load(Ordering::Relaxed) {
            Some(Ended::Interrupted)
        } else {
            (Instant::now() >= self.until).then_some(Ended::OutOfTime)
        }
    }
}

fn measure(settings: &Settings, wanted: &Wanted, progress: &mut Progress, stop: &Stop<'_>) -> Result<Ended> {
    for cell in &wanted.cells {
        let ended = match measure_cell(settings, wanted.runs, *cell, progress, stop) {
            // What an interruption broke is no failure of what is measured.
            Err(_) if stop.interrupted.load(Ordering::Relaxed) => Some(Ended::Interrupted),
            other => other?,
        };
        if let Some(ended) = ended {
            return Ok(ended);
        }
    }
    Ok(if progress.complete() { Ended::Complete } else { Ended::OutOfTime })
}

/// Why it ended before the cell was complete; none if it is complete.
fn measure_cell(
    settings: &Settings,
    runs: usize,
    cell: Cell,
    progress: &mut Progress,
    stop: &Stop<'_>,
) -> Result<Option<Ended>> {
    let setting = Setting { link: cell.link(), ..Setting::named("bench") };
    let mut measured = match progress.cell(cell) {
        Some(measured) => measured.clone(),
        None if stop.now().is_some() => return Ok(stop.now()),
        None => Measured::new(cell, Calibration::of(settings.state(), &setting)?),
    };
    while let Some(turn) = measured.turn(runs) {
        if let Some(ended) = stop.now() {
            return Ok(Some(ended));
        }
        match turn {
            Turn::Ours => {
                let sample = ours::measure(settings, &setting)?;
                tell("ours", cell, &sample);
                measured.ours.push(sample);
            }
            Turn::Theirs => {
                let sample = theirs::measure(settings, &setting, cell)?;
                tell("theirs", cell, &sample);
                measured.theirs.push(sample);
            }
        }
        let keeping = || "keep what was measured".to_owned();
        progress.keep(measured.clone()).doing(exit_code::FAILED, keeping)?;
    }
    Ok(None)
}

fn tell(who: &str, cell: Cell, sample: &Sample) {
    let run = sample.run.as_ref().map_or_else(String::new, |run| format!(", run {}", run.id));
    output::talk(format_args!(
        "{who}, {}: runs at b after {} ms, independent after {} ms, {:.1} MB, gap {} ms, {:.0} % idle{run}",
        cell.text(),
        sample.total_ms,
        sample.independent_ms,
        sample.wire_bytes as f64 / 1e6,
        sample.longest_gap_ms,
        sample.idle_percent
    ));
}

fn show(progress: &Progress, json: Option<&Path>) -> Result<Vec<Comparison>> {
    let rows: Vec<Comparison> = progress.cells().iter().flat_map(compare).collect();
    if rows.is_empty() {
        output::talk("nothing was measured of both sides yet");
    } else {
        output::raw(&table::text(&rows, progress.cells()));
    }
    if let Some(file) = json {
        let text =
            serde_json::to_string_pretty(&rows).map_err(|error| Failure::new(exit_code::FAILED, error))?;
        std::fs::write(file, text + "\n").doing(exit_code::FAILED, || format!("write {}", file.display()))?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::tests::measured;

    /// What is left is told with its reason and with what goes on with it.
    #[test]
    fn what_is_left_is_told() {
        let said = left(Ended::OutOfTime, 5, 3, 12);
        assert!(
            said.starts_with("out of time (--minutes 5): 3 of 12 moves measured, no aim judged; "),
            "{said}"
        );
        assert!(left(Ended::Interrupted, 5, 3, 12).starts_with("interrupted: 3 of 12 "));
    }

    /// One aim that is missed fails the command; what the machine bounds has no aim and cannot.
    #[test]
    fn a_missed_aim_fails() {
        let rows = compare(&measured());
        assert!(rows.iter().any(|row| row.met == Some(false)));
        assert_eq!(judged(&rows), exit_code::CHECK_FAILED);
        let met: Vec<Comparison> = rows.into_iter().filter(|row| row.met == Some(true)).collect();
        assert!(!met.is_empty());
        assert_eq!(judged(&met), exit_code::OK);
        let unbound = met.into_iter().map(|row| Comparison { aim: None, met: None, ..row });
        assert_eq!(judged(&unbound.collect::<Vec<_>>()), exit_code::OK);
    }
}
