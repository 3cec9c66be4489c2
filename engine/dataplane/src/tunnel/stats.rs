//! What a tunnel has carried.

use super::class::Class;
use super::record::Kind;

/// Counters since the tunnel was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Per lane that was ever connected.
    pub lanes: Vec<LaneStats>,
    /// Records sent, those that were sent again included; only what occurred.
    pub sent: Vec<RecordStats>,
    /// Records received, repeated ones included; only what occurred.
    pub received: Vec<RecordStats>,
}

/// One lane, over all its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Its number; 0 is the one kept free of bulk.
    pub id: u16,
    /// Whether it is connected now.
    pub up: bool,
    /// As the kernel reports it after connect.
    pub congestion_control: String,
    /// TCP payload, TLS and TCP's repetitions included.
    pub bytes_sent: u64,
    /// TCP payload, TLS included.
    pub bytes_received: u64,
    /// Segments TCP sent again.
    pub retransmits: u64,
    /// Smoothed round trip of the present or last connection, microseconds.
    pub rtt_us: u64,
    /// Connections made.
    pub connections: u64,
}

/// Records of one class and kind in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordStats {
    /// Their class.
    pub class: Class,
    /// Their kind.
    pub kind: Kind,
    /// How many.
    pub records: u64,
    /// Bytes as the streams' users see them, each counted once.
    pub raw_bytes: u64,
    /// Bytes before TLS, headers included.
    pub wire_bytes: u64,
}

impl Stats {
    /// Both directions added, by class and kind.
    #[must_use]
    pub fn both(&self) -> Vec<RecordStats> {
        let mut table = Table::default();
        for record in self.sent.iter().chain(&self.received) {
            table.add(record);
        }
        table.rows()
    }
}

/// Counters of one direction.
#[derive(Debug, Default)]
pub(super) struct Table {
    counts: [[Count; Kind::ALL.len()]; Class::ALL.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    records: u64,
    raw_bytes: u64,
    wire_bytes: u64,
}

impl Table {
    pub(super) fn add(&mut self, record: &RecordStats) {
        let count = &mut self.counts[record.class as usize][record.kind as usize];
        count.records += record.records;
        count.raw_bytes += record.raw_bytes;
        count.wire_bytes += record.wire_bytes;
    }

    pub(super) fn rows(&self) -> Vec<RecordStats> {
        let cells = Class::ALL.into_iter().flat_map(|class| Kind::ALL.map(|kind| (class, kind)));
        let rows = cells.map(|(class, kind)| {
            let Count { records, raw_bytes, wire_bytes } = self.counts[class as usize][kind as usize];
            RecordStats { class, kind, records, raw_bytes, wire_bytes }
        });
        rows.filter(|row| row.records > 0).collect()
    }
}
