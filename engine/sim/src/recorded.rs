//! The world as a journal has it: what an edited workflow would have met if it had been run instead.
//!
//! Each step goes as it went, attempt by attempt, and takes as long; people and sites answer as they did, after as long. What no
//! record tells of is taken to go well in a second, and is named.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::action::Catalogue;
use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Host, Verdict};
use longhaul_model::site::Sight;
use longhaul_saga::event::Vote;
use longhaul_saga::intent::{Asked as Question, Start};
use longhaul_saga::{Answer, Decide, Entry, Event, Failure, Intent, Record, Work};
use serde_json::{Value, json};

use crate::suite::sample;
use crate::{Asked, Behaviour, Ending, Model, Really, Reply};

/// What is taken where no record says anything, in milliseconds.
const TAKES_MS: u64 = 1_000;

/// Longer than any run: whoever was asked to stop would have gone on.
const FOR_EVER_MS: u64 = 100 * 365 * 86_400_000;

/// An effect of a step, forward or back.
type Of = (String, Work);

/// A world out of a journal.
pub struct Recorded<'a> {
    goes: BTreeMap<Of, Vec<Behaviour>>,
    replies: BTreeMap<String, Vec<Reply>>,
    /// What was seen of a site, with the time.
    sights: BTreeMap<String, Vec<(u64, Sight)>>,
    catalogue: &'a Catalogue,
    host: &'a dyn Host,
    /// The steps of which no record tells.
    untold: RefCell<BTreeSet<String>>,
}

/// What is read of the records, one after the other.
#[derive(Default)]
struct Reading {
    /// When what is under way began.
    began: BTreeMap<Of, u64>,
    /// What nobody knows how it ended, until a probe says so.
    unknown: BTreeMap<Of, (u64, Failure)>,
    /// What was asked to stop: nobody knows how long it would have taken.
    stopped: BTreeSet<Of>,
    asked: BTreeMap<String, (u64, Question)>,
    votes: BTreeMap<String, Vec<String>>,
    signals: BTreeMap<String, (u64, Value)>,
}

impl<'a> Recorded<'a> {
    /// The world of these records of one run. Policies are asked anew: they may be others.
    #[must_use]
    pub fn of(records: &[Record], catalogue: &'a Catalogue, host: &'a dyn Host) -> Self {
        let mut world = Self {
            goes: BTreeMap::new(),
            replies: BTreeMap::new(),
            sights: BTreeMap::new(),
            catalogue,
            host,
            untold: RefCell::default(),
        };
        let mut reading = Reading::default();
        for record in records {
            world.read(&mut reading, record);
        }
        for step in reading.asked.into_keys() {
            world.replies.entry(step).or_default().push(Reply::Never);
        }
        world
    }

    /// The steps that were asked for and of which no record tells, sorted.
    #[must_use]
    pub fn untold(&self) -> Vec<String> {
        self.untold.borrow().iter().cloned().collect()
    }

    fn read(&mut self, reading: &mut Reading, record: &Record) {
        let at = record.at_unix_ms;
        match &record.entry {
            Entry::Intent(Intent::Start(Start { step, work, .. })) => {
                reading.began.insert((step.to_string(), *work), at);
            }
            Entry::Intent(Intent::Compensate(undo)) => {
                reading.began.insert((undo.step.to_string(), Work::Undo), at);
            }
            Entry::Intent(Intent::Cancel(cancel)) => {
                reading.stopped.insert((cancel.step.to_string(), cancel.work));
            }
            Entry::Intent(Intent::Ask(ask)) => {
                reading.asked.insert(ask.step.to_string(), (at, ask.asks.clone()));
            }
            Entry::Intent(Intent::Answered(answered)) => {
                self.answered(reading, answered.step.as_str(), at, &answered.outputs);
            }
            Entry::Intent(_) => {}
            Entry::Event(event) => self.read_event(reading, event, at),
        }
    }

    fn read_event(&mut self, reading: &mut Reading, event: &Event, at: u64) {
        match event {
            Event::Done(done) => {
                self.ended(
                    reading,
                    (done.step.to_string(), done.work),
                    at,
                    Ending::Done(done.outputs.clone()),
                );
            }
            Event::Failed(failed) => {
                let of = (failed.step.to_string(), failed.work);
                let ending = Ending::Failed(failed.failure.clone());
                if reading.stopped.remove(&of) && failed.failure.class == "cancelled" {
                    reading.began.remove(&of);
                    self.goes.entry(of).or_default().push(Behaviour::timed(FOR_EVER_MS, ending));
                } else {
                    self.ended(reading, of, at, ending);
                }
            }
            Event::Undone(undone) => {
                self.ended(reading, (undone.step.to_string(), Work::Undo), at, Ending::Done(Value::Null));
            }
            Event::Unknown(unknown) => {
                let of = (unknown.step.to_string(), unknown.work);
                let began = reading.began.get(&of).copied().unwrap_or(at);
                reading.unknown.insert(of, (at.saturating_sub(began), unknown.failure.clone()));
            }
            Event::Probed(probed) => {
                self.probed(reading, (probed.step.to_string(), probed.work), at, &probed.answer);
            }
            Event::Observed(observed) => {
                let seen = (at, observed.seen.clone());
                self.sights.entry(observed.site.clone()).or_default().push(seen);
            }
            Event::Voted(voted) if voted.vote == Vote::Approve => {
                reading.votes.entry(voted.step.to_string()).or_default().push(voted.by.name.clone());
            }
            Event::Voted(voted) => {
                let step = voted.step.as_str();
                if let Some((asked, _)) = reading.asked.remove(step) {
                    let reason = voted.reason.clone().unwrap_or_default();
                    let by = Some(voted.by.name.clone());
                    let no = Reply::No { after_ms: at.saturating_sub(asked), by, reason };
                    self.replies.entry(step.to_owned()).or_default().push(no);
                }
            }
            Event::Signalled(signalled) => {
                reading.signals.insert(signalled.name.to_string(), (at, signalled.payload.clone()));
            }
            _ => {}
        }
    }

    fn ended(&mut self, reading: &mut Reading, of: Of, at: u64, ending: Ending) {
        let took = reading.began.remove(&of).map_or(0, |began| at.saturating_sub(began));
        self.goes.entry(of).or_default().push(Behaviour::timed(took, ending));
    }

    /// What a probe says of an effect whose outcome nobody knew, or whose controller had died.
    fn probed(&mut self, reading: &mut Reading, of: Of, at: u64, answer: &Answer) {
        let (took, failure) = match reading.unknown.remove(&of) {
            Some((took, failure)) => (took, Some(failure)),
            None => (reading.began.get(&of).map_or(0, |began| at.saturating_sub(*began)), None),
        };
        let ending = match (answer, failure) {
            (Answer::Done(outputs), None) => Ending::Done(outputs.clone()),
            (Answer::Done(outputs), Some(failure)) => {
                Ending::Unknown { failure, really: Really::Done(outputs.clone()) }
            }
            (Answer::Absent, Some(failure)) => Ending::Unknown { failure, really: Really::Absent },
            // It goes on, or the next attempt tells.
            (Answer::Absent | Answer::Partial | Answer::CannotTell(_), _) => return,
        };
        reading.began.remove(&of);
        self.goes.entry(of).or_default().push(Behaviour::timed(took, ending));
    }

    fn answered(&mut self, reading: &mut Reading, step: &str, at: u64, outputs: &Value) {
        let Some((asked, question)) = reading.asked.remove(step) else { return };
        let (came, outputs) = match &question {
            Question::Approval { .. } => {
                (at, json!({ "approved_by": reading.votes.remove(step).unwrap_or_default() }))
            }
            Question::Signal { name } => {
                let (came, payload) =
                    reading.signals.get(name.as_str()).cloned().unwrap_or((at, outputs["payload"].clone()));
                (came, json!({ "payload": payload }))
            }
        };
        let yes = Reply::Yes { after_ms: came.saturating_sub(asked), outputs };
        self.replies.entry(step.to_owned()).or_default().push(yes);
    }

    fn not_told(&self, step: &str) {
        self.untold.borrow_mut().insert(step.to_owned());
    }
}

/// How it went this time; the last one stays.
fn this_time<T>(list: &[T], time: u32) -> Option<&T> {
    list.get((time as usize).min(list.len()).checked_sub(1)?)
}

impl Model for Recorded<'_> {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        let goes = self.goes.get(&(asked.step.to_string(), asked.work));
        if let Some(behaviour) = goes.and_then(|list| this_time(list, asked.time)) {
            return behaviour.clone();
        }
        self.not_told(asked.step.as_str());
        let outputs =
            self.catalogue.get(asked.uses).map(|action| sample(&action.outputs)).unwrap_or_default();
        Behaviour::timed(TAKES_MS, Ending::Done(outputs))
    }

    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        decide.verdicts(self.host)
    }

    fn sight(&self, site: &str, at_unix_ms: u64) -> Sight {
        let seen = self.sights.get(site).into_iter().flatten();
        let last = seen.clone().rfind(|(at, _)| *at <= at_unix_ms).or_else(|| seen.clone().next());
        last.map_or(Sight::Up, |(_, sight)| sight.clone())
    }

    fn reply(&self, step: &StepPath, _: &Question, time: u32) -> Reply {
        let replies = self.replies.get(step.as_str());
        if let Some(reply) = replies.and_then(|list| this_time(list, time)) {
            return reply.clone();
        }
        self.not_told(step.as_str());
        Reply::Never
    }
}
