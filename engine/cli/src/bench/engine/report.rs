//! What is shown of the figures.

use std::fmt::Write as _;

use super::aims::flush_us;
use super::peers::Peer;
use super::play::{Figures, Measured};
use super::sample::{Sample, median, spread};
use super::work::Shape;
use crate::bench::row::Row;
use crate::output::Table;

/// What the machine gave.
#[derive(Debug)]
pub(super) struct Machine {
    idle_percent: f64,
    load: String,
}

impl Machine {
    pub(super) fn now(idle_percent: f64) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self { idle_percent, load: load.split(' ').next().unwrap_or_default().to_owned() }
    }
}

/// What is said when a work has been measured.
pub(super) fn line(one: &Measured) -> String {
    let mut line = format!("{}: ours {}", one.work.text(), step(&one.ours));
    for (peer, samples) in &one.peers {
        let _ = write!(line, "; {} {}", peer.name(), step(samples));
    }
    for (peer, why) in &one.left_out {
        let _ = write!(line, "; without {}: {why}", peer.name());
    }
    line
}

fn step(samples: &[Sample]) -> String {
    format!("{:.1} us a step", of(samples, |sample| sample.step_us))
}

fn of(samples: &[Sample], what: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(what).collect()).unwrap_or(0.0)
}

/// The tables, and below them with whom we were compared and on what machine.
pub(super) fn text(figures: &Figures, rows: &[Row], machine: &Machine) -> String {
    let mut text = format!("{}\n\n{}\n\n", works(figures), aims(rows));
    text.push_str("a figure is a median, with the least and the most of all runs behind it; ratio above 1: ours is better\n");
    for row in rows.iter().filter(|row| row.aim.is_some() || row.metric.starts_with("replay")) {
        let _ = writeln!(text, "limit of {}, {}: {}", row.metric, row.work, row.limit);
    }
    let mut out: Vec<String> = Vec::new();
    for (peer, why) in figures.works.iter().flat_map(|one| &one.left_out) {
        let line = format!("{} left out: {why}", peer.name());
        if !out.contains(&line) {
            out.push(line);
        }
    }
    let notes = Peer::ALL.iter().map(|peer| format!("{}: {}", peer.name(), peer.note()));
    for line in notes.chain(out).chain(figures.missing.iter().cloned()) {
        let _ = writeln!(text, "peer: {line}");
    }
    let build = if cfg!(debug_assertions) { "development build: no aim counts" } else { "release build" };
    let flushes: Vec<f64> = figures.works.iter().flat_map(|one| one.flush_us.clone()).collect();
    let [least, most] = spread(&flushes);
    let _ = writeln!(
        text,
        "calibration: {build}; fdatasync p50 {:.0} us ({least:.0}..{most:.0}); {:.0} % idle while measuring; load {}",
        median(flushes).unwrap_or(0.0),
        machine.idle_percent,
        machine.load
    );
    text
}

/// Everybody's figures, by work.
fn works(figures: &Figures) -> Table<9> {
    let heading =
        ["work", "engine", "first step", "a step", "gap p50", "gap p99", "flushes", "memory", "disk"];
    let mut table = Table::new(heading);
    for one in &figures.works {
        table.row(cells(figures, one, None, &one.ours));
        for (peer, samples) in &one.peers {
            table.row(cells(figures, one, Some(*peer), samples));
        }
    }
    table
}

fn cells(figures: &Figures, one: &Measured, peer: Option<Peer>, samples: &[Sample]) -> [String; 9] {
    let gap = |what| match one.work.shape {
        Shape::Chain if one.work.runs == 1 => format!("{:.0} us", of(samples, what)),
        Shape::Chain | Shape::FanOut => "-".to_owned(),
    };
    let [least, most] = spread(&samples.iter().map(|sample| sample.step_us).collect::<Vec<_>>());
    let flushes =
        figures.flushes.iter().find(|flushes| flushes.peer == peer && flushes.shape == one.work.shape);
    let flushes = flushes.filter(|_| one.work.runs == 1);
    [
        one.work.text(),
        peer.map_or("Longhaul", Peer::name).to_owned(),
        format!("{:.1} ms", of(samples, |sample| sample.first_us) / 1e3),
        format!("{:.0} us ({least:.0}..{most:.0})", of(samples, |sample| sample.step_us)),
        gap(|sample| sample.gap_p50_us),
        gap(|sample| sample.gap_p99_us),
        flushes.map_or_else(|| "-".to_owned(), |flushes| format!("{:.2}", flushes.per_step)),
        format!("{:.0} MiB", of(samples, |sample| sample.peak_bytes as f64) / 1_048_576.0),
        format!("{:.0} us", flush_us(one)),
    ]
}

fn aims(rows: &[Row]) -> Table<6> {
    let mut table = Table::new(["aim", "ours", "theirs", "ratio", "aim is", "met"]);
    for row in rows.iter().filter(|row| row.aim.is_some()) {
        let [least, most] = row.spread.ours;
        let digits = if row.ours < 10.0 { 3 } else { 0 };
        let against = row.peer.map_or_else(String::new, |peer| format!(", against {peer}"));
        let bound = match (row.peer, row.metric) {
            (Some(_), _) => "a ratio of at least",
            (None, "replay_events") => "at least",
            (None, _) => "at most",
        };
        table.row([
            format!("{}: {}{against}", row.work, row.metric),
            format!("{:.digits$} {} ({least:.digits$}..{most:.digits$})", row.ours, row.unit),
            row.theirs.map_or_else(|| "-".to_owned(), |theirs| format!("{theirs:.0} {}", row.unit)),
            row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            row.aim.map_or_else(String::new, |aim| format!("{bound} {}", (aim * 1e3).round() / 1e3)),
            row.met.map_or("-", |met| if met { "yes" } else { "no" }).to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::aims::rows;
    use crate::bench::engine::aims::tests::figures;

    /// Everybody's figures, the aims with their limits, whom we could not measure and why, and the machine.
    #[test]
    fn a_report() {
        let figures = figures();
        let machine = Machine { idle_percent: 70.0, load: "0.50".to_owned() };
        let text = text(&figures, &rows(&figures, true), &machine);
        insta::assert_snapshot!(text.replace("development build: no aim counts", "release build"));
    }
}
