//! Figures, aims, and what limits us where one is missed. Pure.

use super::peers::Peer;
use super::play::{Figures, Measured};
use super::sample::{Sample, median, spread};
use super::work::{Shape, Work};
use crate::bench::comparison::ratio;
use crate::bench::row::{Row, Spread};

/// What a step of a chain may cost above two flushes, in microseconds.
const ABOVE_FLUSHES_US: f64 = 50.0;
/// A step of a wide fan-out, as a share of one of a chain.
const FAN_OUT_SHARE_MAX: f64 = 1.0 / 3.0;
/// A step of a long chain, as a multiple of one of a short chain.
const GROWTH_MAX: f64 = 1.2;
const RESUME_MS_MAX: f64 = 300.0;
const REPLAY_PER_S_MIN: f64 = 500_000.0;
/// Of a chain that long the aims are.
const CHAIN: usize = 100;

/// What is read of a sample.
#[derive(Clone, Copy)]
struct Metric {
    name: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> f64,
}

const STEP: Metric = Metric { name: "step_us", unit: "us", of: |sample| sample.step_us };
const GAP: Metric = Metric { name: "gap_p50_us", unit: "us", of: |sample| sample.gap_p50_us };
const METRICS: [Metric; 5] = [
    Metric { name: "first_us", unit: "us", of: |sample| sample.first_us },
    STEP,
    GAP,
    Metric { name: "gap_p99_us", unit: "us", of: |sample| sample.gap_p99_us },
    Metric { name: "peak_mib", unit: "MiB", of: |sample| sample.peak_bytes as f64 / 1_048_576.0 },
];

impl Metric {
    fn median(self, samples: &[Sample]) -> f64 {
        median(samples.iter().map(self.of).collect()).unwrap_or(0.0)
    }

    fn spread(self, samples: &[Sample]) -> [f64; 2] {
        spread(&samples.iter().map(self.of).collect::<Vec<_>>())
    }
}

/// Every row. `judged` says whether aims count: only in an optimised build.
pub(super) fn rows(figures: &Figures, judged: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = figures.works.iter().flat_map(|one| of_work(one, figures)).collect();
    rows.extend(flushes_and_a_bit(figures));
    rows.extend(fan_out(figures));
    rows.extend(growth(figures));
    rows.extend(recovery(figures));
    if !judged {
        rows.iter_mut().for_each(|row| (row.aim, row.met) = (None, None));
    }
    rows
}

fn of_work(one: &Measured, figures: &Figures) -> Vec<Row> {
    let metrics = METRICS
        .into_iter()
        .filter(|metric| one.work.shape == Shape::Chain || !metric.name.starts_with("gap"));
    let mut rows = Vec::new();
    for metric in metrics {
        rows.push(alone(one, metric));
        rows.extend(one.peers.iter().map(|(peer, theirs)| against(one, metric, *peer, theirs, figures)));
    }
    rows
}

fn alone(one: &Measured, metric: Metric) -> Row {
    Row {
        work: one.work.text(),
        peer: None,
        metric: metric.name,
        unit: metric.unit,
        ours: metric.median(&one.ours),
        theirs: None,
        ratio: None,
        runs: one.ours.len(),
        spread: Spread { ours: metric.spread(&one.ours), theirs: None },
        limit: format!("a flush took {:.0} us", flush_us(one)),
        aim: None,
        met: None,
    }
}

fn against(one: &Measured, metric: Metric, peer: Peer, theirs: &[Sample], figures: &Figures) -> Row {
    let row = alone(one, metric);
    let median = metric.median(theirs);
    let ratio = ratio(row.ours, median);
    let aim =
        (metric.name == GAP.name && one.work == Work::one(Shape::Chain, CHAIN)).then(|| aim(peer)).flatten();
    let limit = if aim.is_some() { peer_limit(one, row.ours, peer, figures) } else { row.limit };
    Row {
        peer: Some(peer.name()),
        theirs: Some(median),
        ratio: Some((ratio * 1e3).round() / 1e3),
        spread: Spread { theirs: Some(metric.spread(theirs)), ..row.spread },
        limit,
        aim,
        met: aim.map(|aim| ratio >= aim),
        ..row
    }
}

/// How many times as fast as a peer we want to be.
fn aim(peer: Peer) -> Option<f64> {
    match peer {
        Peer::Restate => Some(4.0),
        Peer::Temporal => Some(100.0),
        Peer::Steno | Peer::Dbos | Peer::Prefect => None,
    }
}

fn peer_limit(one: &Measured, gap_us: f64, peer: Peer, figures: &Figures) -> String {
    let theirs = per_step(figures, Some(peer), Shape::Chain)
        .map_or_else(|| "unknown times".to_owned(), |times| format!("{times:.2} times"));
    format!("{}; {} flushes {theirs} a step", share_of_flushes(one, gap_us, figures), peer.name())
}

/// How much of a gap is the disk's.
fn share_of_flushes(one: &Measured, gap_us: f64, figures: &Figures) -> String {
    let flush = flush_us(one);
    match per_step(figures, None, Shape::Chain) {
        Some(times) => format!(
            "{times:.2} flushes a step, {flush:.0} us each beside it, come to {:.0} of {gap_us:.0} us",
            times * flush
        ),
        None => format!("a flush takes {flush:.0} us; how many there are to a step was not counted"),
    }
}

fn per_step(figures: &Figures, peer: Option<Peer>, shape: Shape) -> Option<f64> {
    let one = figures.flushes.iter().find(|one| one.peer == peer && one.shape == shape)?;
    Some(one.per_step)
}

pub(super) fn flush_us(one: &Measured) -> f64 {
    median(one.flush_us.clone()).unwrap_or(0.0)
}

fn of(figures: &Figures, shape: Shape, steps: usize) -> Option<&Measured> {
    figures.works.iter().find(|one| one.work == Work::one(shape, steps))
}

/// A step costs two flushes of the disk, and little more.
fn flushes_and_a_bit(figures: &Figures) -> Option<Row> {
    let one = of(figures, Shape::Chain, CHAIN)?;
    let most = 2.0 * flush_us(one) + ABOVE_FLUSHES_US;
    let row = alone(one, GAP);
    let limit = share_of_flushes(one, row.ours, figures);
    Some(Row {
        work: format!("{}, beside two flushes and {ABOVE_FLUSHES_US} us", one.work.text()),
        limit,
        aim: Some(most),
        met: Some(row.ours <= most),
        ..row
    })
}

/// Steps side by side share their flushes.
fn fan_out(figures: &Figures) -> Option<Row> {
    let (wide, chain) = (of(figures, Shape::FanOut, 1_000)?, of(figures, Shape::Chain, 1_000)?);
    let limit = match per_step(figures, None, Shape::FanOut) {
        Some(times) => format!("{times:.3} flushes a step side by side"),
        None => "flushes were not counted".to_owned(),
    };
    Some(quotient(
        "a step of 1000 side by side, by one of a chain of 1000",
        wide,
        chain,
        FAN_OUT_SHARE_MAX,
        limit,
    ))
}

/// A long run costs for each step what a short one does.
fn growth(figures: &Figures) -> Option<Row> {
    let (long, short) = (of(figures, Shape::Chain, 10_000)?, of(figures, Shape::Chain, CHAIN)?);
    let limit = format!(
        "a flush took {:.0} us beside the long one and {:.0} beside the short",
        flush_us(long),
        flush_us(short)
    );
    Some(quotient("a step of a chain of 10000, by one of a chain of 100", long, short, GROWTH_MAX, limit))
}

fn quotient(work: &str, above: &Measured, below: &Measured, most: f64, limit: String) -> Row {
    let values: Vec<f64> =
        above.ours.iter().zip(&below.ours).map(|(above, below)| above.step_us / below.step_us).collect();
    let ours = STEP.median(&above.ours) / STEP.median(&below.ours).max(f64::MIN_POSITIVE);
    Row {
        work: work.to_owned(),
        metric: "quotient",
        unit: "times",
        ours,
        spread: Spread { ours: spread(&values), theirs: None },
        limit,
        aim: Some(most),
        met: Some(ours <= most),
        ..alone(above, STEP)
    }
}

fn recovery(figures: &Figures) -> Vec<Row> {
    let Some(recovery) = &figures.recovery else { return Vec::new() };
    let row = |work: &str, metric, unit, values: &[f64], limit: &str| Row {
        work: work.to_owned(),
        peer: None,
        metric,
        unit,
        ours: median(values.to_vec()).unwrap_or(0.0),
        theirs: None,
        ratio: None,
        runs: values.len(),
        spread: Spread { ours: spread(values), theirs: None },
        limit: limit.to_owned(),
        aim: None,
        met: None,
    };
    let resume = row(
        "from opening the journal of a killed chain of 10000 to its next step",
        "resume_ms",
        "ms",
        &recovery.resume_ms,
        "reading and checking the records behind the last kept state",
    );
    let events = format!("{} events of a chain of 10000", recovery.events);
    let replay = row(
        "deciding a run again",
        "replay_events",
        "events/s",
        &recovery.decided_per_s,
        &format!("{events}, in memory, on one core"),
    );
    let read = row(
        "reading it and deciding it again",
        "replay_read_events",
        "events/s",
        &recovery.read_per_s,
        &format!("{events}, with SQLite, JSON and the hash chain"),
    );
    let (resumed, replayed) = (resume.ours <= RESUME_MS_MAX, replay.ours >= REPLAY_PER_S_MIN);
    vec![
        Row { aim: Some(RESUME_MS_MAX), met: Some(resumed), ..resume },
        Row { aim: Some(REPLAY_PER_S_MIN), met: Some(replayed), ..replay },
        read,
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::engine::play::{Flushes, Recovery};

    fn samples(step_us: f64) -> Vec<Sample> {
        vec![
            Sample { first_us: 900.0, step_us, gap_p50_us: step_us, gap_p99_us: step_us, peak_bytes: 1 << 20 };
            3
        ]
    }

    fn measured(shape: Shape, steps: usize, ours_us: f64) -> Measured {
        Measured {
            work: Work::one(shape, steps),
            flush_us: vec![100.0; 3],
            ours: samples(ours_us),
            peers: vec![(Peer::Restate, samples(1_000.0)), (Peer::Temporal, samples(50_000.0))],
            left_out: vec![(Peer::Prefect, "it would take 90 s".to_owned())],
        }
    }

    pub(crate) fn figures() -> Figures {
        Figures {
            works: vec![
                measured(Shape::Chain, 100, 240.0),
                measured(Shape::Chain, 1_000, 260.0),
                measured(Shape::Chain, 10_000, 300.0),
                measured(Shape::FanOut, 1_000, 60.0),
            ],
            recovery: Some(Recovery {
                resume_ms: vec![310.0],
                decided_per_s: vec![600_000.0],
                read_per_s: vec![200_000.0],
                events: 30_002,
            }),
            flushes: vec![Flushes { peer: None, shape: Shape::Chain, per_step: 2.0 }],
            missing: vec!["Inngest (npm): not measured".to_owned()],
        }
    }

    /// Each aim is met or missed by its own figure, with what limits it.
    #[test]
    fn aims_are_judged() {
        let rows = rows(&figures(), true);
        let judged: Vec<_> = rows.iter().filter(|row| row.aim.is_some()).collect();
        let shown: Vec<_> = judged.iter().map(|row| (row.metric, row.peer, row.met)).collect();
        let (restate, temporal) = (Some(Peer::Restate.name()), Some(Peer::Temporal.name()));
        let wanted = [
            ("gap_p50_us", restate, Some(true)),
            ("gap_p50_us", temporal, Some(true)),
            ("gap_p50_us", None, Some(true)),
            ("quotient", None, Some(true)),
            ("quotient", None, Some(false)),
            ("resume_ms", None, Some(false)),
            ("replay_events", None, Some(true)),
        ];
        assert_eq!(shown, wanted);
        let limit = "2.00 flushes a step, 100 us each beside it, come to 200 of 240 us";
        assert_eq!(judged[2].limit, limit);
    }

    /// A build that is not optimised is not judged.
    #[test]
    fn only_an_optimised_build_is_judged() {
        assert!(rows(&figures(), false).iter().all(|row| row.aim.is_none() && row.met.is_none()));
    }

    /// Gaps of steps side by side mean nothing.
    #[test]
    fn a_fan_out_has_no_gaps() {
        let rows = rows(&figures(), true);
        assert!(!rows.iter().any(|row| row.work == "fan-out of 1000" && row.metric.starts_with("gap")));
    }
}
