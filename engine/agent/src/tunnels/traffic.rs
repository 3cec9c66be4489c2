//! What a tunnel carried for a run: its counters less what they were when the run began to use it.

use std::collections::VecDeque;

use longhaul_dataplane::tunnel::{LaneStats, Stats};
use longhaul_wire::v1;

/// So many runs are remembered; of an older one everything counts that was carried since the tunnel was made.
const RUNS: usize = 64;

/// What a tunnel has carried, by kind and by lane.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Of both directions.
    pub(crate) kinds: Vec<v1::RecordKind>,
    /// As the kernel counts, TLS included.
    pub(crate) lanes: Vec<v1::Lane>,
}

impl Traffic {
    pub(super) fn of(stats: &Stats) -> Self {
        let kinds = stats.both().into_iter().map(|record| v1::RecordKind {
            kind: record.kind.as_str().to_owned(),
            class: record.class.as_str().to_owned(),
            records: record.records,
            raw_bytes: record.raw_bytes,
            wire_bytes: record.wire_bytes,
        });
        let lane = |lane: &LaneStats| v1::Lane {
            id: u32::from(lane.id),
            congestion_control: lane.congestion_control.clone(),
            bytes_sent: lane.bytes_sent,
            bytes_received: lane.bytes_received,
            retransmits: lane.retransmits,
        };
        Self { kinds: kinds.collect(), lanes: stats.lanes.iter().map(lane).collect() }
    }

    /// What came after `earlier`. A lane that was connected anew since counts from its connection.
    fn since(mut self, earlier: &Self) -> Self {
        for now in &mut self.kinds {
            let same = |then: &&v1::RecordKind| then.kind == now.kind && then.class == now.class;
            if let Some(then) = earlier.kinds.iter().find(same) {
                now.records = now.records.saturating_sub(then.records);
                now.raw_bytes = now.raw_bytes.saturating_sub(then.raw_bytes);
                now.wire_bytes = now.wire_bytes.saturating_sub(then.wire_bytes);
            }
        }
        self.kinds.retain(|kind| kind.records > 0);
        for now in &mut self.lanes {
            let same = |then: &&v1::Lane| then.id == now.id && then.bytes_sent <= now.bytes_sent;
            if let Some(then) = earlier.lanes.iter().find(same) {
                now.bytes_sent -= then.bytes_sent;
                now.bytes_received = now.bytes_received.saturating_sub(then.bytes_received);
                now.retransmits = now.retransmits.saturating_sub(then.retransmits);
            }
        }
        self
    }
}

/// What a tunnel had carried when each of the last runs began to use it.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    runs: VecDeque<(String, Traffic)>,
}

impl Beginnings {
    /// The first call for a run stands.
    pub(super) fn begin(&mut self, run: &str, now: Traffic) {
        if self.runs.iter().any(|(known, _)| known == run) {
            return;
        }
        if self.runs.len() == RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back((run.to_owned(), now));
    }

    pub(super) fn since(&self, run: &str, now: Traffic) -> Traffic {
        match self.runs.iter().find(|(known, _)| known == run) {
            Some((_, earlier)) => now.since(earlier),
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(records: u64, sent: u64) -> Traffic {
        let kind = v1::RecordKind {
            kind: "zstd".into(),
            class: "dirty".into(),
            records,
            raw_bytes: records * 100,
            wire_bytes: records * 10,
        };
        let lane = |id, bytes_sent| v1::Lane { id, bytes_sent, ..v1::Lane::default() };
        Traffic { kinds: vec![kind], lanes: vec![lane(0, sent), lane(1, sent)] }
    }

    /// A run is told what was carried since its first step, whatever ran before it and beside it.
    #[test]
    fn runs_count_from_their_beginning() {
        let mut beginnings = Beginnings::default();
        beginnings.begin("first", Traffic::default());
        beginnings.begin("second", carried(7, 1000));
        beginnings.begin("second", carried(8, 1100));
        assert_eq!(beginnings.since("first", carried(9, 1500)), carried(9, 1500));
        assert_eq!(beginnings.since("second", carried(9, 1500)), carried(2, 500));
        assert_eq!(beginnings.since("second", carried(7, 1000)).kinds, []);
    }

    /// A lane that came back after a cut counts from there, and a run that is forgotten counts everything.
    #[test]
    fn what_is_not_known_is_not_taken_away() {
        let mut beginnings = Beginnings::default();
        beginnings.begin("run", carried(1, 1000));
        assert_eq!(beginnings.since("run", carried(1, 300)).lanes, carried(1, 300).lanes);
        for run in 0..RUNS {
            beginnings.begin(&run.to_string(), Traffic::default());
        }
        assert_eq!(beginnings.since("run", carried(2, 2000)), carried(2, 2000));
    }
}
