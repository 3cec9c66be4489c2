//! One JSON object a line, for scripts.

use std::io::Write;

use longhaul_saga::{Entry, Event, Record};
use serde_json::json;

use super::Reporter;

/// Writes `{"seq", "at_ms", "kind", "payload"}` per record; `at_ms` counts from the run's start.
pub struct JsonLines<W> {
    out: W,
    began_unix_ms: u64,
}

impl<W: Write + Send> JsonLines<W> {
    /// A reporter that writes here.
    pub fn new(out: W) -> Self {
        Self { out, began_unix_ms: 0 }
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn past(&mut self, record: &Record) {
        if let Entry::Event(Event::RunCreated(_)) = record.entry {
            self.began_unix_ms = record.at_unix_ms;
        }
    }

    fn record(&mut self, record: &Record) {
        self.past(record);
        let at_ms = record.at_unix_ms.saturating_sub(self.began_unix_ms);
        let (kind, payload) = record.entry.split();
        let line = json!({ "seq": record.seq, "at_ms": at_ms, "kind": kind, "payload": payload });
        // A reader that has gone away must not stop the run.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}
