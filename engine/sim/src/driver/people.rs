//! People and systems outside that answer what steps ask. What they say arrives whether or not a controller lives.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use longhaul_saga::event::{Person, Signalled, Vote, Voted};
use longhaul_saga::intent::Asked;
use longhaul_saga::{Entry, Event, Intent, OpenQuestion, Saga};
use serde_json::Value;

use super::{Halt, Simulation, Thing};
use crate::Reply;

/// Messages on their way or arrived, as an inbox holds them.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// By number.
    arrived: BTreeMap<u64, Event>,
    last: u64,
    /// How often each step's question was answered, or left without an answer.
    replied: BTreeMap<StepPath, usize>,
}

impl Simulation<'_> {
    /// Lets those who are asked know of every open question of which they do not know yet.
    pub(super) fn tell_people(&mut self) {
        let open = self.saga.as_ref().map(Saga::open_questions).unwrap_or_default();
        for question in open {
            let is_ask =
                |entry: &Entry| matches!(entry, Entry::Intent(Intent::Ask(ask)) if ask.step == question.step);
            let times = self.records.iter().filter(|record| is_ask(&record.entry)).count();
            if self.inbox.replied.insert(question.step.clone(), times) != Some(times) {
                self.reply(&question, u32::try_from(times).unwrap_or(u32::MAX));
            }
        }
    }

    fn reply(&mut self, question: &OpenQuestion, time: u32) {
        match self.setup.model.reply(&question.step, &question.asks, time) {
            Reply::Never => {}
            Reply::Yes { after_ms, outputs } => {
                let at = self.now_unix_ms.saturating_add(after_ms);
                for event in yes(question, &outputs) {
                    self.queue.push(at, Thing::Message(Box::new(event)));
                }
            }
            Reply::No { after_ms, by, reason } => {
                let at = self.now_unix_ms.saturating_add(after_ms);
                self.queue.push(at, Thing::Message(Box::new(no(question, by, reason))));
            }
        }
    }

    /// A message has arrived.
    pub(super) fn arrive(&mut self, event: Event) -> Result<(), Halt> {
        self.inbox.last += 1;
        let event = numbered(event, self.inbox.last);
        self.inbox.arrived.insert(self.inbox.last, event);
        self.read_inbox()
    }

    /// Takes every message that is not in the records yet; one that does not count any more is left.
    pub(super) fn read_inbox(&mut self) -> Result<(), Halt> {
        let taken: Vec<u64> = self.records.iter().filter_map(|record| number(&record.entry)).collect();
        self.inbox.arrived.retain(|number, _| !taken.contains(number));
        for (_, event) in self.inbox.arrived.clone() {
            let counts = self.saga.as_ref().is_some_and(|saga| match &event {
                Event::Voted(voted) => saga.check_vote(voted).is_ok(),
                _ => !saga.status().is_final(),
            });
            if counts {
                self.apply(event)?;
            }
        }
        Ok(())
    }
}

fn number(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Event(event) => event.message(),
        Entry::Intent(_) => None,
    }
}

fn numbered(event: Event, number: u64) -> Event {
    match event {
        Event::Voted(voted) => Event::Voted(Voted { message: Some(number), ..voted }),
        Event::Signalled(signalled) => Event::Signalled(Signalled { message: Some(number), ..signalled }),
        event => event,
    }
}

/// As many votes as are asked for, or the signal.
fn yes(question: &OpenQuestion, outputs: &Value) -> Vec<Event> {
    match &question.asks {
        Asked::Approval { roles, quorum, .. } => {
            let named: Vec<String> =
                serde_json::from_value(outputs["approved_by"].clone()).unwrap_or_default();
            let invented = (named.len() + 1..=*quorum as usize).map(|number| format!("person-{number}"));
            let vote = |name| vote(question, name, roles, Vote::Approve, None);
            named.clone().into_iter().chain(invented).map(vote).collect()
        }
        Asked::Signal { name } => {
            let (payload, by) = (outputs["payload"].clone(), "simulation".to_owned());
            vec![Event::Signalled(Signalled { name: name.clone(), payload, by, message: None })]
        }
    }
}

fn no(question: &OpenQuestion, by: Option<String>, reason: String) -> Event {
    let roles = match &question.asks {
        Asked::Approval { roles, .. } => roles.as_slice(),
        Asked::Signal { .. } => &[],
    };
    let by = by.unwrap_or_else(|| "person-1".to_owned());
    vote(question, by, roles, Vote::Reject, Some(reason))
}

fn vote(
    question: &OpenQuestion,
    name: String,
    roles: &[String],
    vote: Vote,
    reason: Option<String>,
) -> Event {
    let by = Person { name, roles: roles.to_vec() };
    Event::Voted(Voted { step: question.step.clone(), vote, by, reason, signed: None, message: None })
}
