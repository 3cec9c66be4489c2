//! `longhaul approve`, `reject` and `signal`: what people and other programs tell a run.

use std::time::{Duration, Instant};

use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_run::inbox::{Inbox, Message};
use longhaul_run::statement::{self, Statement};
use longhaul_run::{Reader, statement::Notary};
use longhaul_saga::event::{How, Vote};
use longhaul_saga::intent::Asked;
use longhaul_saga::{Entry, OpenQuestion, Record, Saga};
use serde_json::{Value, json};

use crate::commands::{driving, journal, people};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

/// How long a controller may take to read a message.
const TAKEN_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Decision {
    /// The run
    run: RunId,
    /// The step that asks; `longhaul status RUN` lists them [default: the only one]
    step: Option<StepPath>,
    #[command(flatten)]
    myself: people::Myself,
    /// Why; it stands in the run's records and its report
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Signal {
    /// The run
    run: RunId,
    /// The signal
    name: StepId,
    /// What comes with it: JSON, or else text
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The run
    run: RunId,
    /// Undo what can be undone; what is past its pivot goes forward. This is what happens without an option
    #[arg(long, conflicts_with = "leave")]
    compensate: bool,
    /// Leave everything as it is: nothing more begins, and nothing is undone
    #[arg(long)]
    leave: bool,
    #[command(flatten)]
    told: Why,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    /// The run
    run: RunId,
    #[command(flatten)]
    told: Why,
}

#[derive(Debug, clap::Args)]
struct Why {
    /// Why; it stands in the run's records
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    /// Who asks and why.
    fn words(&self) -> String {
        self.reason.as_ref().map_or_else(whoever, |reason| format!("{reason} ({})", whoever()))
    }
}

/// A run that somebody wants to tell something.
struct Told {
    reader: Reader,
    run: RunId,
    saga: Saga,
}

pub(super) fn decide(args: &Decision, vote: Vote, settings: &Settings) -> Result<u8> {
    let told = Told::open(&args.run, settings)?;
    let me = args.myself.load(settings)?;
    let notary = people::Authority::of(&settings.inventory()?)?;
    let question = told.question(args.step.as_ref())?;
    let words = Statement::vote(&told.saga, &question, vote, args.reason.clone());
    let message = Message::Vote { step: question.step.clone(), vote, signed: me.sign(&words)? };
    told.check_vote(&message, &*notary)?;
    let said = match vote {
        Vote::Approve => format!("{}: approved by {}", question.step, me.name),
        Vote::Reject => format!("{}: rejected by {}", question.step, me.name),
    };
    told.send(&message, &said, args.json, settings)
}

pub(super) fn signal(args: &Signal, settings: &Settings) -> Result<u8> {
    let told = Told::open(&args.run, settings)?;
    let payload = args
        .payload
        .as_deref()
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    let doing = || format!("signal `{}` to run {}", args.name, args.run);
    statement::signalled(&told.saga, &args.name, &payload)
        .map_err(anyhow::Error::msg)
        .doing(exit_code::FAILED, doing)?;
    let message = Message::Signal { name: args.name.clone(), payload, by: whoever() };
    told.send(&message, &format!("run {}: signal {}", args.run, args.name), args.json, settings)
}

pub(super) fn cancel(args: &Cancel, settings: &Settings) -> Result<u8> {
    let told = Told::open(&args.run, settings)?.if_under_way()?;
    let how = if args.leave { How::Leave } else { How::Compensate };
    let message = Message::Cancel { how, reason: args.told.words() };
    told.send(&message, &format!("run {}: given up", args.run), args.told.json, settings)
}

pub(super) fn pause(args: &Hold, settings: &Settings) -> Result<u8> {
    let told = Told::open(&args.run, settings)?.if_under_way()?;
    let message = Message::Pause { reason: args.told.words() };
    told.send(&message, &format!("run {}: paused", args.run), args.told.json, settings)
}

pub(super) fn unpause(args: &Hold, settings: &Settings) -> Result<u8> {
    let told = Told::open(&args.run, settings)?.if_under_way()?;
    let message = Message::Unpause { reason: args.told.words() };
    told.send(&message, &format!("run {}: goes on", args.run), args.told.json, settings)
}

/// Who runs this command, as far as the machine knows.
fn whoever() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    format!("{}@{}", user.unwrap_or_else(|_| "unknown".to_owned()), super::sites::host())
}

impl Told {
    fn open(run: &RunId, settings: &Settings) -> Result<Self> {
        let reader = journal::open(settings)?;
        let records = reader.records(run)?;
        let fold =
            Saga::fold(&records).doing(exit_code::FAILED, || format!("fold the records of run {run}"))?;
        Ok(Self { reader, run: run.clone(), saga: fold.saga })
    }

    fn if_under_way(self) -> Result<Self> {
        let status = self.saga.status();
        if status.is_final() {
            return Err(Failure::said(exit_code::FAILED, format!("run {} has ended, {status}", self.run)));
        }
        Ok(self)
    }

    /// The approval that is meant.
    fn question(&self, step: Option<&StepPath>) -> Result<OpenQuestion> {
        let mut open = self.saga.open_questions();
        open.retain(|question| matches!(question.asks, Asked::Approval { .. }));
        let named = open.iter().find(|question| step.is_none_or(|step| question.step == *step)).cloned();
        let list = |open: &[OpenQuestion]| {
            open.iter().map(|question| question.step.to_string()).collect::<Vec<_>>().join(", ")
        };
        match (named, open.len()) {
            (Some(question), 1) => Ok(question),
            (Some(question), _) if step.is_some() => Ok(question),
            (_, 0) => {
                let message = format!("run {} asks for no approval now", self.run);
                Err(Failure::said(exit_code::FAILED, message)
                    .advise(format!("look at it with `longhaul status {}`", self.run)))
            }
            (_, _) => {
                let asked = step.map_or_else(
                    || format!("run {} asks for several approvals", self.run),
                    |step| format!("step `{step}` of run {} asks for no approval now", self.run),
                );
                Err(Failure::said(exit_code::FAILED, asked).advise(format!("name one of: {}", list(&open))))
            }
        }
    }

    fn check_vote(&self, message: &Message, notary: &dyn Notary) -> Result<()> {
        let checked = statement::voted(&self.saga, message, driving::now_unix_ms(), notary);
        checked.map(drop).map_err(anyhow::Error::msg).doing(exit_code::FAILED, || "answer".to_owned())
    }

    /// Puts a message into the inbox, and waits until the controller has taken it, if one lives.
    fn send(&self, message: &Message, said: &str, as_json: bool, settings: &Settings) -> Result<u8> {
        let inbox = Inbox::open(&settings.controller());
        let inbox = inbox.doing(exit_code::FAILED, || "open the run's inbox".to_owned())?;
        let number = inbox.put(&self.run, driving::now_unix_ms(), message);
        let number = number.doing(exit_code::FAILED, || "write into the run's inbox".to_owned())?;
        let taken = self.is_taken(number)?;
        if as_json {
            output::json(&json!({ "run": self.run, "message": number, "taken": taken }));
        } else if taken {
            output::data(said);
        } else {
            output::data(format_args!(
                "{said}; no controller has taken it yet: it counts as soon as one does, `longhaul resume {}` starts one",
                self.run
            ));
        }
        Ok(exit_code::OK)
    }

    fn is_taken(&self, number: u64) -> Result<bool> {
        let end = Instant::now() + TAKEN_MAX;
        loop {
            let records = self.reader.records(&self.run)?;
            if records.iter().any(|record| message_of(record) == Some(number)) {
                return Ok(true);
            }
            let alone = self.reader.owner()?.is_none_or(|owner| owner.is_gone());
            if alone || Instant::now() > end {
                return Ok(false);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn message_of(record: &Record) -> Option<u64> {
    match &record.entry {
        Entry::Event(event) => event.message(),
        Entry::Intent(_) => None,
    }
}
