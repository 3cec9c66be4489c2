//! What bounds our figure of a metric, by the facts of the run it comes from. Pure.

use super::cell::Cell;
use super::metric::Metric;
use super::sample::{RunFacts, Sample, StepTime};

/// From this share on, in per cent, the link's rate is what bounds a time.
const LINK_BOUND_PERCENT: u64 = 85;

/// How many steps are named when the link does not bound a time.
const STEPS_NAMED: usize = 4;

/// What bounds `sample` in this metric.
pub(super) fn limit(metric: Metric, cell: Cell, sample: &Sample) -> String {
    let facts = sample.run.clone().unwrap_or_default();
    match metric {
        Metric::Total => time(cell, sample.total_ms, sample.sent_until_runs, &facts),
        Metric::Independent => time(cell, sample.independent_ms, sample.sent_until_independent, &facts),
        Metric::WireBytes => bytes(sample, &facts),
        Metric::LongestGap => gap(cell, sample),
    }
}

/// What bounds a move of the peer: it sends the disk and then the memory, one after the other and as they are.
pub(super) fn limit_of_theirs(cell: Cell, sample: &Sample) -> String {
    let sent = sample.sent_until_runs;
    let link_ms = cell.link_ms(sent);
    let percent = (link_ms * 100).checked_div(sample.total_ms).unwrap_or(0);
    let bound = if percent >= LINK_BOUND_PERCENT { "the link" } else { "not the link alone" };
    format!(
        "{bound}: mirror and memory are sent one after the other and uncompressed; their {} to B take {link_ms} of {} ms \
         at the link's rate ({percent} %)",
        mb(sent),
        sample.total_ms
    )
}

fn time(cell: Cell, took_ms: u64, sent: u64, facts: &RunFacts) -> String {
    let link_ms = cell.link_ms(sent);
    let percent = (link_ms * 100).checked_div(took_ms).unwrap_or(0);
    let share = format!("{} to B take {link_ms} of {took_ms} ms at the link's rate ({percent} %)", mb(sent));
    if percent >= LINK_BOUND_PERCENT {
        return format!("the link: {share}");
    }
    let mut steps: Vec<&StepTime> = facts.steps.iter().filter(|step| step.from_ms < took_ms).collect();
    steps.sort_by_key(|step| std::cmp::Reverse(step.took_ms()));
    let named = steps.iter().take(STEPS_NAMED).map(|step| {
        let busy = (cell.link_ms(step.sent) * 100).checked_div(step.took_ms()).unwrap_or(0);
        format!("{} {} ms with {} ({busy} % of the link)", step.step, step.took_ms(), mb(step.sent))
    });
    format!("not the link alone: {share}; longest steps: {}", named.collect::<Vec<_>>().join(", "))
}

fn bytes(sample: &Sample, facts: &RunFacts) -> String {
    let around = sample.wire_bytes.saturating_sub(facts.tunnel_bytes);
    let measuring = facts.steps.iter().find(|step| step.step == "preflight").map_or(0, |step| step.sent);
    format!(
        "{} of disk, memory and measurement became {} in the tunnel; TLS, TCP and client packets add {}; {} were sent \
         during preflight; {} packets to B were lost",
        mb(facts.raw_bytes),
        mb(facts.tunnel_bytes),
        mb(around),
        mb(measuring),
        sample.lost_packets
    )
}

fn gap(cell: Cell, sample: &Sample) -> String {
    format!(
        "the guest stood still for {} ms, of which the state needs at least {} ms to cross the WAN; the client waited \
         {} ms more",
        sample.pause_ms,
        cell.rtt_ms() / 2,
        sample.longest_gap_ms.saturating_sub(sample.pause_ms)
    )
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn step(name: &str, from_ms: u64, to_ms: u64, sent: u64) -> StepTime {
        StepTime { step: name.into(), from_ms, to_ms, sent }
    }

    pub(crate) fn ours() -> Sample {
        Sample {
            total_ms: 10_000,
            independent_ms: 12_000,
            wire_bytes: 110_000_000,
            longest_gap_ms: 400,
            pause_ms: 360,
            sent_until_runs: 100_000_000,
            sent_until_independent: 105_000_000,
            lost_packets: 80,
            idle_percent: 40.0,
            run: Some(RunFacts {
                id: "bench-1".into(),
                steps: vec![
                    step("preflight", 0, 3_000, 12_000_000),
                    step("prefetch", 3_000, 6_000, 37_000_000),
                    step("move_vm", 6_000, 10_100, 51_000_000),
                    step("settle", 10_200, 12_000, 5_000_000),
                ],
                raw_bytes: 200_000_000,
                tunnel_bytes: 104_000_000,
            }),
            commands: Vec::new(),
        }
    }

    /// A time below the link's share names the steps that it went into, later ones left out; a time at it names the link.
    #[test]
    fn a_time_is_the_links_or_the_steps() {
        insta::assert_snapshot!(limit(Metric::Total, Cell::Lossy, &ours()), @"not the link alone: 100.0 MB to B take 8000 of 10000 ms at the link's rate (80 %); longest steps: move_vm 4100 ms with 51.0 MB (99 % of the link), preflight 3000 ms with 12.0 MB (32 % of the link), prefetch 3000 ms with 37.0 MB (98 % of the link)");
        let bound = Sample { total_ms: 9_000, ..ours() };
        insta::assert_snapshot!(limit(Metric::Total, Cell::Lossy, &bound), @"the link: 100.0 MB to B take 8000 of 9000 ms at the link's rate (88 %)");
    }

    /// Bytes and gap are taken apart by the run's own facts.
    #[test]
    fn bytes_and_gap_are_taken_apart() {
        insta::assert_snapshot!(limit(Metric::WireBytes, Cell::Lossy, &ours()), @"200.0 MB of disk, memory and measurement became 104.0 MB in the tunnel; TLS, TCP and client packets add 6.0 MB; 12.0 MB were sent during preflight; 80 packets to B were lost");
        insta::assert_snapshot!(limit(Metric::LongestGap, Cell::Long, &ours()), @"the guest stood still for 360 ms, of which the state needs at least 75 ms to cross the WAN; the client waited 40 ms more");
    }
}
