//! A record as lines of text.

use std::collections::BTreeSet;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_model::policy::{self, Decision, Hook};
use longhaul_model::site::Sight;
use longhaul_saga::event::{Decided, How, Observed, Replanned, Vote, Voted};
use longhaul_saga::intent::{Ask, Asked, End, Start};
use longhaul_saga::report::Verdict;
use longhaul_saga::{Answer, Entry, Event, Intent, Record, Work};

/// Turns records into lines. Remembers the run's start, from which times are counted.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    began_unix_ms: u64,
    /// Steps that have asked somebody.
    asked: BTreeSet<StepPath>,
}

impl Lines {
    /// The lines of a record, without line ends; none if it has nothing to tell people.
    pub fn of(&mut self, record: &Record) -> Vec<String> {
        if let Entry::Event(Event::RunCreated(_)) = record.entry {
            self.began_unix_ms = record.at_unix_ms;
        }
        let ms = record.at_unix_ms.saturating_sub(self.began_unix_ms);
        let stamp = format!("{:>5}.{:03}s", ms / 1_000, ms % 1_000);
        if let Entry::Intent(Intent::Ask(ask)) = &record.entry {
            self.asked.insert(ask.step.clone());
        }
        let lines = match &record.entry {
            Entry::Event(Event::Decided(decided)) => of_decided(decided),
            Entry::Event(event) => of_event(event, record).into_iter().chain(of_plan(event)).collect(),
            Entry::Intent(Intent::Refuse(refuse)) if self.asked.contains(&refuse.step) => {
                vec![format!("{}: failed: {}", refuse.step, refuse.failure)]
            }
            Entry::Intent(intent) => of_intent(intent, record),
        };
        lines.into_iter().map(|line| format!("{stamp}  {line}")).collect()
    }
}

fn of_event(event: &Event, record: &Record) -> Option<String> {
    let run = &record.run;
    let undo = |work: Work| if work == Work::Undo { "undo " } else { "" };
    Some(match event {
        Event::RunCreated(created) => {
            let pin = &created.plan.workflow;
            let digest = pin.sha256.get(..12).unwrap_or(&pin.sha256);
            format!("run {run}: workflow {} {} ({digest})", pin.name, pin.version)
        }
        Event::RunResumed(resumed) => {
            let controller = &resumed.controller;
            format!("run {run}: resumed by generation {} on {}", controller.generation, controller.host)
        }
        Event::Replanned(replanned) => of_replanned(replanned, run),
        Event::Interrupted(_) => format!("run {run}: interrupted; `longhaul resume {run}` goes on"),
        Event::CancelRequested(cancel) => match cancel.how {
            How::Compensate => format!("run {run}: given up: {}", cancel.reason),
            How::Leave => format!("run {run}: given up and left as it is: {}", cancel.reason),
        },
        Event::RunPaused(paused) => {
            format!("run {run}: paused: {}; what is under way goes on", paused.reason)
        }
        Event::RunUnpaused(unpaused) => format!("run {run}: goes on: {}", unpaused.reason),
        Event::Done(done) => format!("{}: {}done", done.step, undo(done.work)),
        Event::Failed(failed) => format!("{}: {}failed: {}", failed.step, undo(failed.work), failed.failure),
        Event::Unknown(unknown) => {
            format!("{}: {}outcome unknown: {}", unknown.step, undo(unknown.work), unknown.failure)
        }
        Event::Undone(undone) => format!("{}: undone", undone.step),
        Event::Probed(probed) => {
            format!("{}: {}{}", probed.step, undo(probed.work), of_answer(&probed.answer))
        }
        Event::Observation(observation) if observation.source == "client" => {
            "observed by a client".to_owned()
        }
        Event::Observation(observation) if observation.source == "verdict" => {
            format!("judged from outside: {}", Verdict::of(&observation.payload).text())
        }
        Event::Observed(observed) => of_sight(observed),
        Event::Voted(voted) => of_vote(voted),
        Event::Signalled(signalled) => {
            format!("run {run}: signal {} by {}", signalled.name, signalled.by)
        }
        Event::HandleGiven(_) | Event::TimerFired(_) | Event::Observation(_) | Event::Decided(_) => {
            return None;
        }
    })
}

fn of_replanned(replanned: &Replanned, run: &RunId) -> String {
    let Replanned { controller, plan, again } = replanned;
    let with = plan.as_ref().map_or_else(String::new, |plan| {
        let pin = &plan.workflow;
        format!(" with {} {} ({})", pin.name, pin.version, pin.sha256.get(..12).unwrap_or(&pin.sha256))
    });
    let from: Vec<&str> = again.iter().map(StepPath::as_str).collect();
    let from = if from.is_empty() { String::new() } else { format!(" from {}", from.join(", ")) };
    format!("run {run}: resumed{with}{from} by generation {} on {}", controller.generation, controller.host)
}

/// What policies said beyond a yes.
fn of_decided(decided: &Decided) -> Vec<String> {
    let about = match (&decided.step, decided.hook) {
        (_, Hook::OnFailure) => "undo".to_owned(),
        (Some(step), _) => step.to_string(),
        (None, hook) => hook.to_string(),
    };
    of_verdicts(&about, &decided.verdicts)
}

fn of_plan(event: &Event) -> Vec<String> {
    let plan = match event {
        Event::RunCreated(created) => Some(&created.plan),
        Event::Replanned(replanned) => replanned.plan.as_deref(),
        _ => None,
    };
    plan.map(|plan| of_verdicts("plan", &plan.verdicts)).unwrap_or_default()
}

fn of_verdicts(about: &str, verdicts: &[policy::Verdict]) -> Vec<String> {
    let more = verdicts.iter().filter(|verdict| verdict.decision != Decision::Allow);
    more.map(|verdict| format!("{about}: {verdict}")).collect()
}

fn of_sight(observed: &Observed) -> String {
    let Observed { step, site, seen, .. } = observed;
    match seen {
        Sight::Up => format!("{step}: site {site} is up"),
        Sight::Down => format!("{step}: site {site} does not answer"),
        Sight::Unknown(why) => format!("{step}: whether site {site} is up is not known: {why}"),
    }
}

fn of_vote(voted: &Voted) -> String {
    let said = match voted.vote {
        Vote::Approve => "approved",
        Vote::Reject => "rejected",
    };
    let why = voted.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}: {said} by {}{why}", voted.step, voted.by.name)
}

fn of_answer(answer: &Answer) -> String {
    match answer {
        Answer::Done(_) => "probed: it is done".to_owned(),
        Answer::Absent => "probed: nothing of it is there".to_owned(),
        Answer::Partial => "probed: part of it is there".to_owned(),
        Answer::CannotTell(failure) => format!("probed: cannot tell: {failure}"),
    }
}

fn of_intent(intent: &Intent, record: &Record) -> Vec<String> {
    match intent {
        Intent::Start(start) => vec![of_start(start)],
        Intent::Compensate(undo) if undo.count > 1 => {
            vec![format!("{}: undoing {} (time {})", undo.step, undo.uses, undo.count)]
        }
        Intent::Compensate(undo) => vec![format!("{}: undoing {}", undo.step, undo.uses)],
        // How often shares change says little to a person; the steps that begin and end say why.
        Intent::Share(_) => Vec::new(),
        Intent::Queue(queue) => vec![format!("{}: {queue}", queue.step)],
        Intent::Cancel(cancel) => vec![format!("{}: asked to stop ({})", cancel.step, cancel.reason)],
        Intent::Expand(expand) => {
            let keys: Vec<_> = expand.items.iter().map(|item| item.key.as_str()).collect();
            vec![format!("{}: for {}", expand.step, keys.join(", "))]
        }
        Intent::Enter(enter) => {
            let inputs: Vec<_> = enter.inputs.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let with = if inputs.is_empty() { String::new() } else { format!(" with {}", inputs.join(", ")) };
            vec![format!("{}: begins{with}", enter.step)]
        }
        Intent::Refuse(refuse) => vec![format!("{}: not started: {}", refuse.step, refuse.failure)],
        Intent::Pause(pause) => vec![format!("{}: waits until {}", pause.step, moment(pause.until_unix_ms))],
        Intent::Ask(ask) => vec![of_ask(ask, record)],
        Intent::Answered(answered) => vec![format!("{}: done", answered.step)],
        Intent::Skip(skip) => vec![format!("{}: skipped: {}", skip.step, skip.because)],
        Intent::GiveUp(given_up) => vec![format!("run {}: gives itself up: {}", record.run, given_up.reason)],
        Intent::End(end) => of_end(end, record),
    }
}

/// What is asked, and the command that answers.
fn of_ask(ask: &Ask, record: &Record) -> String {
    let until = ask.until_unix_ms.map_or_else(String::new, |until| format!(" until {}", moment(until)));
    let (message, command) = match &ask.asks {
        Asked::Approval { message, .. } => (message.as_deref(), "approve"),
        Asked::Signal { .. } => (None, "signal"),
    };
    let message = message.map_or_else(String::new, |message| format!(": {message}"));
    let what = match &ask.asks {
        Asked::Approval { .. } => ask.step.to_string(),
        Asked::Signal { name } => name.to_string(),
    };
    format!("{}: waits for {}{until}{message} (longhaul {command} {} {what})", ask.step, ask.asks, record.run)
}

/// A time as people write it.
fn moment(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{unix_ms} ms"), |moment| moment.to_string())
}

fn of_start(start: &Start) -> String {
    let verb = match start.work {
        Work::Forward => "",
        Work::Undo => "undoing with ",
    };
    let attempt = if start.attempt > 1 { format!(" (attempt {})", start.attempt) } else { String::new() };
    format!("{}: {verb}{}{attempt}", start.step, start.uses)
}

fn of_end(end: &End, record: &Record) -> Vec<String> {
    let mut lines = vec![format!("run {}: {}", record.run, end.status)];
    lines.extend(end.outputs.iter().map(|(name, value)| format!("output {name}: {value}")));
    lines.extend(end.outputs_error.iter().map(|error| format!("outputs are missing: {error}")));
    for instruction in &end.instructions {
        lines.push(format!("{}: {}", instruction.step, instruction.problem));
        lines.push(format!("{}: to do: {}", instruction.step, instruction.action));
    }
    lines
}
