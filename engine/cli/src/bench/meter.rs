//! Looks at the WAN and at the machine's CPUs while something moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use longhaul_lab::Lab;
use longhaul_lab::wan::{Control, Stats};

use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// Between two looks at the WAN: a hundredth of a second's worth of a move, and nothing beside one for the machine.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What a meter saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Trace {
    /// Milliseconds since the epoch and bytes from A to B until then, in order.
    points: Vec<(u64, u64)>,
    pub(super) lost_packets: u64,
    pub(super) idle_percent: f64,
}

impl Trace {
    /// Bytes from A to B until then, counted from the meter's start.
    pub(super) fn sent_at(&self, unix_ms: u64) -> u64 {
        let first = self.points.first().map_or(0, |point| point.1);
        let after = self.points.partition_point(|point| point.0 <= unix_ms);
        let last = after.checked_sub(1).map_or(first, |at| self.points[at].1);
        last - first
    }
}

/// A running meter; dropping it ends it too.
#[derive(Debug)]
pub(super) struct Meter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(u64, u64)>>>,
    wan: Control,
    lost: u64,
    cpu: CpuTime,
}

impl Meter {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let wan = lab.wan();
        let stats = wan.stats().doing(exit_code::FAILED, || "read the WAN's figures".to_owned())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, looked_at) = (Arc::clone(&stop), wan.clone());
        let thread = std::thread::spawn(move || look(&looked_at, &told));
        Ok(Self { stop, thread: Some(thread), wan, lost: lost(&stats), cpu: CpuTime::now() })
    }

    pub(super) fn stop(mut self) -> Result<Trace> {
        let points = self.end();
        let stats = self.wan.stats().doing(exit_code::FAILED, || "read the WAN's figures".to_owned())?;
        let idle_percent = CpuTime::now().idle_percent_since(self.cpu);
        Ok(Trace { points, lost_packets: lost(&stats).saturating_sub(self.lost), idle_percent })
    }

    fn end(&mut self) -> Vec<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        // A thread that panicked has said so already.
        ended.and_then(std::result::Result::ok).unwrap_or_default()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let _seen = self.end();
    }
}

fn look(wan: &Control, stop: &AtomicBool) -> Vec<(u64, u64)> {
    let mut points = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(stats) = wan.stats() {
            points.push((unix_ms(), stats.a_to_b.bytes));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    points
}

fn lost(stats: &Stats) -> u64 {
    stats.a_to_b.queue_drops + stats.a_to_b.loss_drops
}

/// Milliseconds since the epoch, now.
pub(super) fn unix_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// CPU time of the machine since it was started, in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    idle: u64,
    all: u64,
}

impl CpuTime {
    /// Without `/proc/stat` nothing is known, which counts as no idle time.
    pub(super) fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); guest time is in user already.
    fn parse(text: &str) -> Self {
        let words = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        Self { idle: ticks.iter().skip(3).take(2).sum(), all: ticks.iter().sum() }
    }

    pub(super) fn idle_percent_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        if all == 0 { 0.0 } else { self.idle.saturating_sub(before.idle) as f64 * 100.0 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes are counted from the first look, and a moment between two looks has the bytes of the earlier one.
    #[test]
    fn a_trace_tells_what_was_sent_until_then() {
        let trace = Trace { points: vec![(100, 7), (125, 17), (150, 57)], ..Trace::default() };
        assert_eq!([90, 100, 130, 150, 900].map(|at| trace.sent_at(at)), [0, 0, 10, 50, 50]);
        assert_eq!(Trace::default().sent_at(5), 0);
    }

    /// Waiting for a disk is idle time, stolen time is not, and nothing known is not idle.
    #[test]
    fn idle_time_is_read_from_the_kernels_line() {
        let before = CpuTime::parse("cpu  100 0 100 800 0 0 0 0 50 0\ncpu0 1 2 3\n");
        let after = CpuTime::parse("cpu  130 0 110 840 10 0 0 10 90 0\n");
        assert!((after.idle_percent_since(before) - 50.0).abs() < 1e-9);
        assert!(CpuTime::parse("").idle_percent_since(CpuTime::default()).abs() < 1e-9);
    }
}
