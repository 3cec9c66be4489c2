//! The results: medians, spread, ratio, aim. Pure.

use serde::Serialize;

use super::limit::{limit, limit_of_theirs};
use super::metric::Metric;
use super::progress::Measured;
use super::sample::Sample;

/// What a move of ours is compared with; without QEMU's own compression, which the name has to say.
pub(super) const PEER: &str = "qemu blockdev-mirror + migrate, uncompressed";

/// At least as good as the peer.
const AIM: f64 = 1.0;

/// One metric over one link, in the form that is written down and compared over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// What was done, and over which link.
    pub(super) work: String,
    pub(super) peer: &'static str,
    pub(super) metric: &'static str,
    pub(super) unit: &'static str,
    /// Our median.
    pub(super) ours: f64,
    /// The peer's median.
    pub(super) theirs: f64,
    /// Above 1 we are better.
    pub(super) ratio: f64,
    /// Moves of each.
    pub(super) runs: usize,
    pub(super) spread: Spread,
    /// What bounds us.
    pub(super) limit: String,
    /// The ratio that is aimed at; none where the machine bounds both.
    pub(super) aim: Option<f64>,
    pub(super) met: Option<bool>,
}

/// Least and most of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    pub(super) ours: [u64; 2],
    pub(super) theirs: [u64; 2],
}

/// Every metric of a cell; nothing as long as one of the two has not moved.
pub(super) fn compare(measured: &Measured) -> Vec<Comparison> {
    if measured.ours.is_empty() || measured.theirs.is_empty() {
        return Vec::new();
    }
    Metric::ALL.into_iter().map(|metric| compare_metric(metric, measured)).collect()
}

/// What bounds the peer over the cell's link, by its move next to the median; none as long as it has not moved.
pub(super) fn their_limit(measured: &Measured) -> Option<String> {
    if measured.theirs.is_empty() {
        return None;
    }
    let totals: Vec<u64> = measured.theirs.iter().map(|sample| Metric::Total.of(sample)).collect();
    Some(limit_of_theirs(measured.cell, nearest(Metric::Total, &measured.theirs, median(&totals))))
}

fn compare_metric(metric: Metric, measured: &Measured) -> Comparison {
    let values = |samples: &[Sample]| samples.iter().map(|sample| metric.of(sample)).collect::<Vec<_>>();
    let (ours, theirs) = (values(&measured.ours), values(&measured.theirs));
    let (our_median, their_median) = (median(&ours), median(&theirs));
    let ratio = ratio(our_median, their_median);
    let typical = nearest(metric, &measured.ours, our_median);
    let bound = limit(metric, measured.cell, typical);
    let cpu_bound = cpu_bound(measured);
    Comparison {
        work: format!("first move, {}", measured.cell.text()),
        peer: PEER,
        metric: metric.name(),
        unit: metric.unit(),
        ours: our_median,
        theirs: their_median,
        ratio: (ratio * 1000.0).round() / 1000.0,
        runs: ours.len().min(theirs.len()),
        spread: Spread { ours: spread(&ours), theirs: spread(&theirs) },
        limit: cpu_bound.as_ref().map_or_else(|| bound.clone(), |why| format!("CPU-bound ({why}); {bound}")),
        aim: cpu_bound.is_none().then_some(AIM),
        met: cpu_bound.is_none().then(|| metric.met(ratio)),
    }
}

fn cpu_bound(measured: &Measured) -> Option<String> {
    let idle = |samples: &[Sample]| {
        let mut idle: Vec<f64> = samples.iter().map(|sample| sample.idle_percent).collect();
        idle.sort_by(f64::total_cmp);
        idle.get(idle.len() / 2).copied().unwrap_or(0.0)
    };
    measured.calibration.cpu_bound(measured.cell, idle(&measured.ours).min(idle(&measured.theirs)))
}

/// The middle value; of an even number the mean of the two in the middle.
///
/// # Panics
/// Without a value.
pub(super) fn median(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    (low as f64 + high as f64) / 2.0
}

/// Of all metrics less is better. Nothing against nothing is equal.
pub(super) fn ratio(ours: f64, theirs: f64) -> f64 {
    if ours > 0.0 {
        theirs / ours
    } else if theirs > 0.0 {
        f64::MAX
    } else {
        1.0
    }
}

pub(super) fn spread(values: &[u64]) -> [u64; 2] {
    [values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0)]
}

/// The move whose figure is next to the median: its facts say what bounds it.
fn nearest(metric: Metric, samples: &[Sample], median: f64) -> &Sample {
    let away = |sample: &&Sample| (metric.of(sample) as f64 - median).abs();
    let nearest = samples.iter().min_by(|one, other| away(one).total_cmp(&away(other)));
    nearest.expect("there is a sample where there is a median")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::calibration::Calibration;
    use crate::bench::cell::Cell;
    use crate::bench::limit::tests::ours;

    pub(crate) fn measured() -> Measured {
        let calibration =
            Calibration { stream_bits_per_second: 95_000_000, idle_percent: 70.0, ..Calibration::default() };
        let with = |longest_gap_ms| Sample { longest_gap_ms, ..ours() };
        let plain = |longest_gap_ms| Sample {
            total_ms: 20_000,
            wire_bytes: 220_000_000,
            longest_gap_ms,
            sent_until_runs: 210_000_000,
            idle_percent: 50.0,
            ..Sample::default()
        };
        Measured {
            cell: Cell::Lossy,
            calibration,
            ours: vec![with(500), with(400), with(440)],
            theirs: vec![plain(330), plain(410), plain(350)],
        }
    }

    /// A median is the middle of any order, and of an even number lies between the two in the middle.
    #[test]
    fn medians_and_spread() {
        assert!((median(&[9, 1, 5]) - 5.0).abs() < 1e-9);
        assert!((median(&[4, 1, 9, 5]) - 4.5).abs() < 1e-9);
        assert!((median(&[7]) - 7.0).abs() < 1e-9);
        assert_eq!(spread(&[9, 1, 5]), [1, 9]);
    }

    /// Above 1 means that we are better, which of every metric is less.
    #[test]
    fn a_ratio_above_one_is_better() {
        let rows = compare(&measured());
        let row = |name| rows.iter().find(|row| row.metric == name).unwrap();
        assert_eq!((row("total_ms").ratio, row("total_ms").met), (2.0, Some(true)));
        assert_eq!((row("longest_gap_ms").ratio, row("longest_gap_ms").met), (0.795, Some(false)));
        assert!(!Metric::WireBytes.met(1.0) && Metric::LongestGap.met(1.0));
        assert!((ratio(0.0, 0.0) - 1.0).abs() < 1e-9);
    }

    /// The form that is compared over time.
    #[test]
    fn comparisons_have_their_form() {
        let rows = compare(&measured());
        insta::assert_json_snapshot!(rows[3], @r#"
        {
          "work": "first move, 100 Mbit/s, 50 ms, 0.1 % loss",
          "peer": "qemu blockdev-mirror + migrate, uncompressed",
          "metric": "longest_gap_ms",
          "unit": "ms",
          "ours": 440.0,
          "theirs": 350.0,
          "ratio": 0.795,
          "runs": 3,
          "spread": {
            "ours": [
              400,
              500
            ],
            "theirs": [
              330,
              410
            ]
          },
          "limit": "the guest stood still for 360 ms, of which the state needs at least 25 ms to cross the WAN; the client waited 80 ms more",
          "aim": 1.0,
          "met": false
        }
        "#);
    }

    /// What the machine bounds has no aim, and says so.
    #[test]
    fn what_the_machine_bounds_has_no_aim() {
        let mut busy = measured();
        busy.theirs.iter_mut().for_each(|sample| sample.idle_percent = 4.0);
        for row in compare(&busy) {
            assert_eq!((row.aim, row.met), (None, None));
            assert!(row.limit.starts_with("CPU-bound (4 % of the CPU time was idle); "), "{}", row.limit);
        }
    }

    /// What limits the peer is told by its move next to the median, and by none if it has not moved.
    #[test]
    fn the_peers_limit_is_told() {
        let limit = "not the link alone: mirror and memory are sent one after the other and uncompressed; their 210.0 MB to B \
            take 16800 of 20000 ms at the link's rate (84 %)";
        assert_eq!(their_limit(&measured()).as_deref(), Some(limit));
        assert_eq!(their_limit(&Measured { theirs: Vec::new(), ..measured() }), None);
    }

    /// One side alone is no comparison.
    #[test]
    fn one_side_alone_is_not_compared() {
        assert!(compare(&Measured { theirs: Vec::new(), ..measured() }).is_empty());
    }
}
