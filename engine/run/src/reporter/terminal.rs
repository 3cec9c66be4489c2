//! Lines for people, with a bar per step under way where there is a terminal.

use std::collections::BTreeMap;
use std::io::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use longhaul_model::ids::StepPath;
use longhaul_saga::{Entry, Event, Record};
use longhaul_step::Progress;

use super::{Lines, Reporter};

/// What a bar shows.
const BAR: &str = "{prefix:.bold} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";

/// Writes lines, and draws bars if it was given a terminal.
pub struct Terminal<W> {
    out: W,
    lines: Lines,
    bars: Option<MultiProgress>,
    steps: BTreeMap<StepPath, ProgressBar>,
}

impl<W: Write + Send> Terminal<W> {
    /// Lines alone, for files and pipes.
    pub fn plain(out: W) -> Self {
        Self { out, lines: Lines::default(), bars: None, steps: BTreeMap::new() }
    }

    /// Lines and bars; `bars` is where the bars are drawn, such as `ProgressDrawTarget::stderr()`.
    pub fn with_bars(out: W, bars: ProgressDrawTarget) -> Self {
        Self { bars: Some(MultiProgress::with_draw_target(bars)), ..Self::plain(out) }
    }

    fn write(&mut self, lines: &[String]) {
        let out = &mut self.out;
        let mut write = || {
            let lines = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
            // A reader that has gone away must not stop the run.
            let _ = lines.and_then(|()| out.flush());
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn end_bar(&mut self, event: &Event) {
        let step = match event {
            Event::Done(event) => &event.step,
            Event::Failed(event) => &event.step,
            Event::Unknown(event) => &event.step,
            Event::RunCreated(_)
            | Event::RunResumed(_)
            | Event::Replanned(_)
            | Event::Interrupted(_)
            | Event::CancelRequested(_)
            | Event::RunPaused(_)
            | Event::RunUnpaused(_)
            | Event::HandleGiven(_)
            | Event::Undone(_)
            | Event::Probed(_)
            | Event::Observed(_)
            | Event::TimerFired(_)
            | Event::Voted(_)
            | Event::Signalled(_)
            | Event::Decided(_)
            | Event::Observation(_) => return,
        };
        if let Some(bar) = self.steps.remove(step) {
            bar.finish_and_clear();
        }
    }
}

impl<W: Write + Send> Reporter for Terminal<W> {
    fn past(&mut self, record: &Record) {
        let _ = self.lines.of(record);
    }

    fn record(&mut self, record: &Record) {
        if let Entry::Event(event) = &record.entry {
            self.end_bar(event);
        }
        let lines = self.lines.of(record);
        if !lines.is_empty() {
            self.write(&lines);
        }
    }

    fn progress(&mut self, step: &StepPath, progress: &Progress) {
        let Some(bars) = &self.bars else { return };
        let bar = self.steps.entry(step.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template(BAR).expect("the template is constant and well-formed");
            bars.add(ProgressBar::new(0).with_style(style).with_prefix(step.to_string()))
        });
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
        bar.set_message(progress.phase.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{InMemoryTerm, TermLike as _};
    use longhaul_saga::Header;
    use serde_json::{Value, json};

    use super::*;

    /// Lines go to the same screen as the bars, as on a person's terminal.
    struct Screen(InMemoryTerm);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).expect("a reporter writes text");
            self.0.write_str(&text.replace('\n', "\r\n"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    fn record(seq: u64, kind: &str, payload: Value) -> Record {
        let (run, kind) = ("run-a".parse().unwrap(), kind.to_owned());
        let at_unix_ms = seq * 1_000;
        let previous = String::new();
        Record::read(Header { run, seq, version: 1, saga: 1, at_unix_ms, kind, payload, previous }).unwrap()
    }

    fn start(seq: u64, step: &str) -> Record {
        let uses = "storage.prefetch@1";
        let payload = json!({ "step": step, "work": "forward", "uses": uses, "incarnation": 0, "attempt": 1, "params": {} });
        record(seq, "start", payload)
    }

    fn done(seq: u64, step: &str) -> Record {
        record(seq, "done", json!({ "step": step, "work": "forward", "outputs": {} }))
    }

    fn progress(terminal: &mut Terminal<Screen>, step: &str, bytes_done: u64) {
        let step = StepPath::root(&step.parse().unwrap());
        let phase = "filling".to_owned();
        let progress = Progress { bytes_done, bytes_total: 4 << 20, bytes_per_second: 0, phase };
        terminal.progress(&step, &progress);
    }

    /// Below whole lines each step under way has a bar with its name, its bytes and their total; a bar goes away when its
    /// step ends, and at the end the screen holds the lines alone.
    #[test]
    fn bars_come_and_go_below_whole_lines() {
        let screen = InMemoryTerm::new(12, 120);
        let bars = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let mut terminal = Terminal::with_bars(Screen(screen.clone()), bars);
        terminal.record(&start(1, "fill"));
        terminal.record(&start(2, "copy"));
        progress(&mut terminal, "fill", 1 << 20);
        progress(&mut terminal, "copy", 3 << 20);
        let seen = screen.contents();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(
            lines[..2],
            ["    1.000s  fill: storage.prefetch@1", "    2.000s  copy: storage.prefetch@1"],
            "{seen}"
        );
        assert!(lines[2].starts_with("fill ") && lines[2].contains("1.00 MiB/4.00 MiB"), "{seen}");
        assert!(lines[3].starts_with("copy ") && lines[3].contains("3.00 MiB/4.00 MiB"), "{seen}");
        assert!(lines[3].ends_with("filling"), "{seen}");
        terminal.record(&done(3, "fill"));
        let seen = screen.contents();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[2], "    3.000s  fill: done", "{seen}");
        assert!(lines.len() == 4 && lines[3].starts_with("copy "), "{seen}");
        terminal.record(&done(4, "copy"));
        let lines = [
            "    1.000s  fill: storage.prefetch@1",
            "    2.000s  copy: storage.prefetch@1",
            "    3.000s  fill: done",
            "    4.000s  copy: done",
        ];
        assert_eq!(screen.contents(), lines.join("\n"));
    }
}
