//! What happened in a run, as expectations ask for it: when each step began and ended.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::action::ActionName;
use longhaul_saga::intent::{Answered, Refuse};
use longhaul_saga::{Answer, Entry, Event, Intent, Record, Work};

/// A step instance's own effect in the run's records.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    /// The record that first announced it.
    pub(super) began: u64,
    /// The record of its last outcome; none if it has none.
    pub(super) ended: Option<u64>,
}

/// The steps of a run by path.
pub(super) struct Story {
    steps: BTreeMap<String, Step>,
    /// The most of each action at once, and the record at which it was so.
    pub(super) most: BTreeMap<ActionName, (u32, u64)>,
    under_way: BTreeMap<String, ActionName>,
    /// Steps that let time pass.
    waits: BTreeSet<String>,
}

impl Story {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut story = Self {
            steps: BTreeMap::new(),
            most: BTreeMap::new(),
            under_way: BTreeMap::new(),
            waits: BTreeSet::new(),
        };
        records.iter().for_each(|record| story.take(record));
        story
    }

    fn take(&mut self, record: &Record) {
        match &record.entry {
            Entry::Intent(Intent::Start(start)) => {
                if start.work == Work::Forward {
                    self.begin(start.step.as_str(), record.seq);
                }
                self.count(start.step.as_str(), &start.uses, record.seq);
            }
            Entry::Intent(Intent::Expand(expand)) => self.begin(expand.step.as_str(), record.seq),
            Entry::Intent(Intent::Pause(pause)) => {
                self.waits.insert(pause.step.as_str().to_owned());
                self.begin(pause.step.as_str(), record.seq);
            }
            Entry::Event(Event::TimerFired(fired)) if self.waits.contains(fired.step.as_str()) => {
                self.end(fired.step.as_str(), Work::Forward, record.seq);
            }
            Entry::Intent(Intent::Ask(ask)) => self.begin(ask.step.as_str(), record.seq),
            Entry::Intent(Intent::Answered(Answered { step, .. })) => {
                self.end(step.as_str(), Work::Forward, record.seq);
            }
            Entry::Intent(Intent::Refuse(Refuse { step, work, .. })) => {
                self.end(step.as_str(), *work, record.seq);
            }
            Entry::Intent(Intent::Enter(enter)) => self.begin(enter.step.as_str(), record.seq),
            Entry::Event(Event::Done(done)) => self.end(done.step.as_str(), done.work, record.seq),
            Entry::Event(Event::Failed(failed)) => self.end(failed.step.as_str(), failed.work, record.seq),
            Entry::Event(Event::Probed(probed))
                if matches!(probed.answer, Answer::Done(_) | Answer::Absent) =>
            {
                self.end(probed.step.as_str(), probed.work, record.seq);
            }
            Entry::Intent(_) | Entry::Event(_) => {}
        }
    }

    fn begin(&mut self, path: &str, seq: u64) {
        let step = self.steps.entry(path.to_owned()).or_insert(Step { began: seq, ended: None });
        step.ended = None;
    }

    fn count(&mut self, path: &str, uses: &ActionName, seq: u64) {
        self.under_way.insert(path.to_owned(), uses.clone());
        let now = self.under_way.values().filter(|other| *other == uses).count();
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        let most = self.most.entry(uses.clone()).or_default();
        if now > most.0 {
            *most = (now, seq);
        }
    }

    fn end(&mut self, path: &str, work: Work, seq: u64) {
        self.under_way.remove(path);
        if work == Work::Forward
            && let Some(step) = self.steps.get_mut(path)
        {
            step.ended = Some(seq);
        }
    }

    /// A step instance. One with steps inside it has ended when they have.
    pub(super) fn step(&self, path: &str) -> Option<Step> {
        let own = self.steps.get(path)?.clone();
        let prefix = format!("{path}/");
        let mut within = self.below(&prefix).peekable();
        if within.peek().is_none() {
            return Some(own);
        }
        let ended = within.map(|(_, step)| step.ended).collect::<Option<Vec<_>>>();
        Some(Step { ended: ended.and_then(|all| all.into_iter().max()), ..own })
    }

    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Step)> {
        let from = self.steps.range(prefix.to_owned()..);
        from.take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// The paths of every step instance that began.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str)
    }
}
