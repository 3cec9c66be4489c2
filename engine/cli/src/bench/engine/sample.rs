//! What one measurement came to.

use serde::Deserialize;

/// What a worker says when it is through: moments in nanoseconds since the runs were submitted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// When each step started.
    pub(super) starts_ns: Vec<u64>,
    /// When the last run had ended.
    pub(super) ended_ns: u64,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Until the first step started, in microseconds.
    pub(super) first_us: f64,
    /// The whole by the number of steps, in microseconds.
    pub(super) step_us: f64,
    /// From the start of one step to that of the next, half of them, in microseconds.
    pub(super) gap_p50_us: f64,
    /// The same of 99 in a hundred.
    pub(super) gap_p99_us: f64,
    /// The most memory that the worker and what it started held, in bytes.
    pub(super) peak_bytes: u64,
}

impl Sample {
    /// None if the worker did not start every step exactly once.
    pub(super) fn of(told: &Told, steps: usize, peak_bytes: u64) -> Option<Self> {
        let mut starts = told.starts_ns.clone();
        starts.sort_unstable();
        let first = *starts.first()?;
        if starts.len() != steps {
            return None;
        }
        let mut gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        Some(Self {
            first_us: us(first),
            step_us: us(told.ended_ns) / steps as f64,
            gap_p50_us: us(percentile(&gaps, 50)),
            gap_p99_us: us(percentile(&gaps, 99)),
            peak_bytes,
        })
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// Of sorted values; nothing has none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// The middle of some figures; of an even number the mean of the two in the middle. Nothing has none.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Least and most.
pub(super) fn spread(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().min_by(f64::total_cmp);
    let most = values.iter().copied().max_by(f64::total_cmp);
    [least.unwrap_or(0.0), most.unwrap_or(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps are between starts in time, whoever said them first; a step too few or too many is no figure.
    #[test]
    fn a_sample_has_every_step_once() {
        let told = Told { starts_ns: vec![1_000, 4_000, 2_000, 9_000], ended_ns: 12_000 };
        let sample = Sample::of(&told, 4, 7).unwrap();
        assert_eq!((sample.first_us, sample.step_us), (1.0, 3.0));
        assert_eq!((sample.gap_p50_us, sample.gap_p99_us), (2.0, 5.0));
        assert_eq!((Sample::of(&told, 5, 7), Sample::of(&told, 3, 7)), (None, None));
    }

    /// The median of nothing is nothing.
    #[test]
    fn medians_of_figures() {
        assert_eq!(median(vec![9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(median(Vec::new()), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), [1.0, 3.0]);
    }
}
