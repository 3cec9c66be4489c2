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
            | Event::Interrupted(_)
            | Event::CancelRequested(_)
            | Event::HandleGiven(_)
            | Event::Undone(_)
            | Event::Probed(_)
            | Event::TimerFired(_)
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
