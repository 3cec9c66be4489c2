//! The results: medians, spread, ratio, growth, aims. Pure.

use super::graph::{Graph, Shape};
use super::peers::Peer;
use crate::bench::comparison::{median, ratio, spread};
use crate::bench::process::Taken;
use crate::bench::row::{Row, Spread};

/// Checking and planning together for the largest graph in rows, on a machine of two cores; in milliseconds.
const TOGETHER_MS_MAX: f64 = 1_000.0;
/// A graph of ten times the size may take so many times as long: linear, and a third for what sorting adds.
const GROWTH_MAX: f64 = 13.0;

/// What was measured of one graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) graph: Graph,
    pub(super) file_bytes: usize,
    pub(super) validate: Vec<Taken>,
    pub(super) plan: Vec<Taken>,
    pub(super) peers: Vec<(Peer, Vec<Taken>)>,
    /// Who does not get through with this graph, and what they said.
    pub(super) failed: Vec<(Peer, String)>,
}

/// What is read of a process.
#[derive(Clone, Copy)]
struct Metric {
    name: &'static str,
    unit: &'static str,
    of: fn(&Taken) -> u64,
    /// How many of the smallest unit make one that is shown.
    scale: f64,
}

const WALL: Metric = Metric { name: "wall_ms", unit: "ms", of: |taken| taken.wall_us, scale: 1e3 };
const PEAK: Metric =
    Metric { name: "peak_mib", unit: "MiB", of: |taken| taken.peak_bytes, scale: 1_048_576.0 };

impl Metric {
    fn median(self, taken: &[Taken]) -> f64 {
        median(&taken.iter().map(self.of).collect::<Vec<_>>()) / self.scale
    }

    fn spread(self, taken: &[Taken]) -> [f64; 2] {
        spread(&taken.iter().map(self.of).collect::<Vec<_>>()).map(|end| end as f64 / self.scale)
    }
}

/// Every row. `judged` says whether aims count: only in an optimised build.
pub(super) fn rows(all: &[Measured], judged: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = all.iter().flat_map(of_graph).collect();
    rows.extend(
        all.iter()
            .filter(|one| one.graph.shape == Shape::Rows)
            .max_by_key(|one| one.graph.steps)
            .map(together),
    );
    let of_rows: Vec<&Measured> = all.iter().filter(|one| one.graph.shape == Shape::Rows).collect();
    rows.extend(of_rows.windows(2).flat_map(|pair| growth(pair[0], pair[1])));
    if !judged {
        rows.iter_mut().for_each(|row| (row.aim, row.met) = (None, None));
    }
    rows
}

fn of_graph(one: &Measured) -> Vec<Row> {
    let mut rows = Vec::new();
    for metric in [WALL, PEAK] {
        for (peer, theirs) in &one.peers {
            rows.push(against(one, metric, *peer, theirs));
        }
        if one.peers.is_empty() {
            rows.push(alone(format!("validate, {}", one.graph.text()), one, metric, &one.validate));
        }
        rows.push(alone(format!("plan, {}", one.graph.text()), one, metric, &one.plan));
    }
    rows
}

fn against(one: &Measured, metric: Metric, peer: Peer, theirs: &[Taken]) -> Row {
    let row = alone(format!("validate, {}", one.graph.text()), one, metric, &one.validate);
    let median = metric.median(theirs);
    let ratio = ratio(row.ours, median);
    Row {
        peer: Some(peer.name()),
        theirs: Some(median),
        ratio: Some((ratio * 1e3).round() / 1e3),
        spread: Spread { theirs: Some(metric.spread(theirs)), ..row.spread },
        aim: Some(1.0),
        met: Some(ratio > 1.0),
        ..row
    }
}

fn alone(work: String, one: &Measured, metric: Metric, ours: &[Taken]) -> Row {
    let median = metric.median(ours);
    Row {
        work,
        peer: None,
        metric: metric.name,
        unit: metric.unit,
        ours: median,
        theirs: None,
        ratio: None,
        runs: ours.len(),
        spread: Spread { ours: metric.spread(ours), theirs: None },
        limit: limit(metric, one, median),
        aim: None,
        met: None,
    }
}

/// What a figure comes to for each step, start of the process included.
fn limit(metric: Metric, one: &Measured, median: f64) -> String {
    let each = median * metric.scale / one.graph.steps as f64;
    let file = one.file_bytes as f64 / 1e3;
    if metric.name == WALL.name {
        format!("{each:.1} us a step, the process's start included; the file has {file:.0} kB")
    } else {
        format!("{:.1} KiB a step, the program itself included; the file has {file:.0} kB", each / 1_024.0)
    }
}

/// Checking and planning one after the other.
fn together(one: &Measured) -> Row {
    let both: Vec<Taken> = one
        .validate
        .iter()
        .zip(&one.plan)
        .map(|(validate, plan)| Taken {
            wall_us: validate.wall_us + plan.wall_us,
            peak_bytes: validate.peak_bytes.max(plan.peak_bytes),
        })
        .collect();
    let row = alone(format!("validate and plan, {}", one.graph.text()), one, WALL, &both);
    Row { aim: Some(TOGETHER_MS_MAX), met: Some(row.ours <= TOGETHER_MS_MAX), ..row }
}

/// How many times as long the larger one takes.
fn growth(small: &Measured, large: &Measured) -> Vec<Row> {
    let times =
        |small: &[Taken], large: &[Taken]| WALL.median(large) / WALL.median(small).max(f64::MIN_POSITIVE);
    let row = |what: &str, ours: f64| Row {
        work: format!("growth of {what} from {} to {} steps", small.graph.steps, large.graph.steps),
        peer: None,
        metric: "growth",
        unit: "times",
        ours,
        theirs: None,
        ratio: None,
        runs: small.validate.len(),
        spread: Spread { ours: [ours, ours], theirs: None },
        limit: format!("the graph is {} times as large", large.graph.steps / small.graph.steps),
        aim: Some(GROWTH_MAX),
        met: Some(ours <= GROWTH_MAX),
    };
    let validate = times(&small.validate, &large.validate);
    let mut rows = vec![row("validate", validate), row("plan", times(&small.plan, &large.plan))];
    for (peer, small) in &small.peers {
        let Some((_, large)) = large.peers.iter().find(|(other, _)| other == peer) else { continue };
        let theirs = times(small, large);
        rows.push(Row {
            peer: Some(peer.name()),
            theirs: Some(theirs),
            ratio: Some((ratio(validate, theirs) * 1e3).round() / 1e3),
            aim: None,
            met: None,
            ..row("validate", validate)
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(steps: usize, ours_ms: u64, theirs_ms: u64) -> Measured {
        let taken = |ms: u64| vec![Taken { wall_us: ms * 1_000, peak_bytes: ms << 20 }; 3];
        let (validate, plan) = (taken(ours_ms), taken(2 * ours_ms));
        let peers = vec![(Peer::Actionlint, taken(theirs_ms))];
        Measured {
            graph: Graph { shape: Shape::Rows, steps },
            file_bytes: 100 * steps,
            validate,
            plan,
            peers,
            failed: Vec::new(),
        }
    }

    /// The largest graph is judged by both commands together, each size by its peer, and growth by the sizes.
    #[test]
    fn rows_have_their_aims() {
        let all = [measured(1_000, 30, 90), measured(10_000, 300, 100)];
        let rows = rows(&all, true);
        let met = |work: &str, metric: &str| {
            rows.iter().find(|row| row.work == work && row.metric == metric && row.aim.is_some()).unwrap().met
        };
        assert_eq!(met("validate, 1,000 steps in rows of ten", "wall_ms"), Some(true));
        assert_eq!(met("validate, 10,000 steps in rows of ten", "wall_ms"), Some(false));
        assert_eq!(met("validate and plan, 10,000 steps in rows of ten", "wall_ms"), Some(true));
        assert_eq!(met("growth of plan from 1000 to 10000 steps", "growth"), Some(true));
        let ratios: Vec<_> = rows.iter().filter_map(|row| row.ratio).collect();
        assert_eq!(ratios, [3.0, 3.0, 0.333, 0.333, 0.111]);
        assert!(super::rows(&all, false).iter().all(|row| row.aim.is_none() && row.met.is_none()));
    }
}
