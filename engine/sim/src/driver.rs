//! One simulated run, from its first record to its last.
//!
//! The rules are those of the live driver: an event and its intents are recorded together, then shown, then carried out;
//! a step has one call, and news of a call that was replaced is dropped.

mod calls;
mod crash;
mod people;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;

use calls::Calls;
use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Plan;
use longhaul_saga::event::{Controller, Observed, Starter, TimerFired};
use longhaul_saga::{
    Batch, Command, Entry, Event, Illegal, Inquire, Intent, Observe, Record, Saga, Status, StepView,
};
use people::Inbox;
use transfer::Transfers;

use crate::queue::Queue;
use crate::world::OperationId;
use crate::{Fault, Model, Side, World};

/// A run ends in fewer records than this, or it goes round in circles: far above what ten thousand steps with retries
/// write.
const RECORDS_MAX: usize = 2_000_000;

/// How long looking at a site takes, or at what an effect changes.
const LOOK_MS: u64 = 10;

/// Who starts a simulated run.
const STARTER: &str = "operator";

/// What is simulated.
pub struct Setup<'a> {
    /// What the run does.
    pub plan: &'a Arc<Plan>,
    /// The run's id.
    pub run: RunId,
    /// What it has done already: the records from which a controller takes it up; none of a new run.
    pub past: &'a [Record],
    /// When it begins, or is taken up, in Unix milliseconds of the virtual clock.
    pub clock_unix_ms: u64,
    /// Every random draw comes from it.
    pub seed: u64,
    /// How the actions behave.
    pub model: &'a dyn Model,
    /// What goes wrong.
    pub fault: Fault,
    /// How often an operator resumes a run that needs one.
    pub resumes: u32,
}

/// Why a simulation came to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The run stands so, and nothing is to be done.
    At(Status),
    /// The run is under way, and nothing will ever happen in it.
    Idle,
    /// It went on and on.
    Endless,
    /// The saga refused what happened, or the records did not fold.
    Broken(String),
}

/// A simulated run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What went wrong in it.
    pub fault: Fault,
    /// The seed of its random draws.
    pub seed: u64,
    /// Its records, as a journal would hold them.
    pub records: Vec<Record>,
    /// What is there at its end.
    pub world: World,
    /// How its steps stand at the end, as the saga says; none if no controller lives.
    pub steps: Vec<StepView>,
    /// Why it came to an end.
    pub halt: Halt,
}

impl From<Illegal> for Halt {
    fn from(error: Illegal) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Ran {
    /// How the run ended; `running` if it did not.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.halt {
            Halt::At(status) => status,
            Halt::Idle | Halt::Endless | Halt::Broken(_) => Status::Running,
        }
    }

    /// The steps that have failed, or stopped for an operator; not those that hold other steps, which fail with them.
    pub fn failed(&self) -> impl Iterator<Item = &StepPath> {
        let failed = |view: &&StepView| matches!(view.state, "failed" | "partial" | "needs_operator");
        let is_single = |view: &&StepView| !matches!(view.does, "foreach" | "workflow");
        self.steps.iter().filter(is_single).filter(failed).map(|view| &view.step)
    }

    /// From its first to its last record, in milliseconds of the virtual clock.
    #[must_use]
    pub fn took_ms(&self) -> u64 {
        let at = |record: Option<&Record>| record.map_or(0, |record| record.at_unix_ms);
        at(self.records.last()).saturating_sub(at(self.records.first()))
    }
}

/// What will happen.
#[derive(Debug)]
enum Thing {
    /// An operation's planned end: the world's own, it outlives controllers.
    End { id: OperationId, plan: u64 },
    /// A call has something to say to the controller that made it.
    News { step: StepPath, call: u64, news: News },
    /// A timer of a controller.
    Timer { step: StepPath, timer: u64, generation: u64 },
    /// A step's own probe has looked for a controller.
    Inquiry { inquire: Box<Inquire>, generation: u64 },
    /// A site was looked at for a controller.
    Sight { observe: Observe, generation: u64 },
    /// Somebody outside has said something.
    Message(Box<Event>),
    /// The next controller is there.
    TakeOver(Why),
}

/// Why a controller takes a run up.
#[derive(Debug)]
enum Why {
    /// The one before it has died.
    Crash,
    /// An operator resumes the run.
    Resumed,
    /// An operator has steps done again.
    Again(Vec<StepPath>),
}

/// What a call has to say.
#[derive(Debug, Clone, Copy)]
enum News {
    /// The handle of what was started.
    Handle { attempt: u32 },
    /// What was asked for had ended before.
    Ended,
    /// The answer to a probe.
    Answer,
}

/// Simulates one run. The same setup gives the same run.
#[must_use]
pub fn simulate(setup: Setup<'_>) -> Ran {
    let mut simulation = Simulation::new(setup);
    let halt = simulation.drive();
    let Simulation { setup, records, world, saga, .. } = simulation;
    let steps = saga.iter().flat_map(Saga::steps).collect();
    Ran { fault: setup.fault, seed: setup.seed, records, world, steps, halt }
}

struct Simulation<'a> {
    setup: Setup<'a>,
    rng: fastrand::Rng,
    now_unix_ms: u64,
    queue: Queue<Thing>,
    world: World,
    records: Vec<Record>,
    /// None while no controller lives.
    saga: Option<Saga>,
    calls: Calls,
    inbox: Inbox,
    /// What each step has of what steps share.
    claims: BTreeMap<StepPath, BTreeMap<String, u64>>,
    transfers: Transfers,
    /// Raised by every controller.
    generation: u64,
    /// A fault strikes once.
    struck: bool,
    resumes: u32,
    /// So often the run has come to a stop.
    stops: u32,
}

impl<'a> Simulation<'a> {
    fn new(setup: Setup<'a>) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(setup.seed),
            now_unix_ms: setup.clock_unix_ms,
            queue: Queue::new(),
            world: World::default(),
            records: setup.past.to_vec(),
            saga: None,
            calls: Calls::default(),
            inbox: Inbox::default(),
            claims: BTreeMap::new(),
            transfers: Transfers::default(),
            generation: 1,
            struck: false,
            resumes: setup.resumes,
            stops: 0,
            setup,
        }
    }

    fn controller(&self) -> Controller {
        Controller { host: "simulation".to_owned(), pid: 1, generation: self.generation }
    }

    fn drive(&mut self) -> Halt {
        let begun = match self.records.is_empty() {
            true => self.open(),
            false => self.take_over(Why::Resumed),
        };
        match begun.and_then(|()| self.go_on()) {
            Ok(halt) | Err(halt) => halt,
        }
    }

    fn open(&mut self) -> Result<(), Halt> {
        let plan = Plan::clone(self.setup.plan);
        let starter = Starter { name: STARTER.to_owned(), signed: None };
        let (saga, mut first) = Saga::open(
            self.setup.run.clone(),
            plan,
            self.controller(),
            Some(starter),
            None,
            self.now_unix_ms,
        )?;
        self.saga = Some(saga);
        self.have_decided(&mut first)?;
        self.commit(first);
        Ok(())
    }

    fn go_on(&mut self) -> Result<Halt, Halt> {
        while self.records.len() < RECORDS_MAX {
            if let Some(status) = self.saga.as_ref().map(Saga::status).filter(|it| *it != Status::Running)
                && !self.be_done_again()
                && (status != Status::NeedsOperator || !self.be_resumed())
            {
                return Ok(Halt::At(status));
            }
            let Some((at, thing)) = self.queue.pop() else { return Ok(Halt::Idle) };
            self.now_unix_ms = at;
            self.happen(thing)?;
        }
        Ok(Halt::Endless)
    }

    fn happen(&mut self, thing: Thing) -> Result<(), Halt> {
        match thing {
            Thing::End { id, plan } => self.end(&id, plan),
            Thing::News { step, call, news } => self.hear(&step, call, news),
            Thing::Timer { step, timer, generation } => self.fire(step, timer, generation),
            Thing::Inquiry { inquire, generation } => self.find_out(&inquire, generation),
            Thing::Sight { observe, generation } => self.see(observe, generation),
            Thing::Message(event) => self.arrive(*event),
            Thing::TakeOver(why) => self.take_over(why),
        }
    }

    fn fire(&mut self, step: StepPath, timer: u64, generation: u64) -> Result<(), Halt> {
        let awaited = self.saga.as_ref().is_some_and(|saga| saga.awaits(&step, timer));
        if generation == self.generation && awaited {
            self.apply(Event::TimerFired(TimerFired { step, timer }))?;
        }
        Ok(())
    }

    fn see(&mut self, observe: Observe, generation: u64) -> Result<(), Halt> {
        let Observe { step, work, site } = observe;
        let awaited = self.saga.as_ref().is_some_and(|saga| saga.looks(&step, work, &site));
        if generation == self.generation && awaited {
            let seen = self.setup.model.sight(&site, self.now_unix_ms);
            self.apply(Event::Observed(Observed { step, work, site, seen }))?;
        }
        Ok(())
    }

    /// Carries an event into the saga, records it, and carries out what follows.
    fn apply(&mut self, event: Event) -> Result<(), Halt> {
        let Some(saga) = &mut self.saga else { return Ok(()) };
        let commands = saga.apply(&event, self.now_unix_ms)?;
        match &event {
            Event::TimerFired(fired) if !saga.hears(&fired.step) => self.calls.forget(&fired.step),
            event => event.settles().into_iter().for_each(|step| self.calls.forget(step)),
        }
        let mut batch = Batch::new(self.now_unix_ms);
        batch.add(event, commands);
        self.have_decided(&mut batch)?;
        self.commit(batch);
        Ok(())
    }

    /// Policies answer at once.
    fn have_decided(&mut self, batch: &mut Batch) -> Result<(), Halt> {
        let (model, Some(saga)) = (self.setup.model, &mut self.saga) else { return Ok(()) };
        Ok(batch.have_decided(saga, &mut |decide| model.decide(decide))?)
    }

    /// Records a batch, then carries it out, unless the controller dies over it.
    fn commit(&mut self, batch: Batch) {
        for entry in batch.entries {
            if !self.write(entry) {
                return self.crash();
            }
        }
        for command in batch.commands {
            self.carry_out(command);
        }
        self.tell_people();
    }

    /// False if the controller dies at this write.
    fn write(&mut self, entry: Entry) -> bool {
        let seq = self.records.len() as u64 + 1;
        if self.setup.fault.kills_at(seq, Side::Before) && !std::mem::replace(&mut self.struck, true) {
            return false;
        }
        let run = self.setup.run.clone();
        self.records.push(Record { run, seq, at_unix_ms: self.now_unix_ms, entry });
        !self.setup.fault.kills_at(seq, Side::After) || std::mem::replace(&mut self.struck, true)
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Intent(Intent::Start(start)) => self.start(&start),
            Command::Intent(Intent::Compensate(undo)) => self.compensate(&undo),
            Command::Intent(Intent::Share(share)) => self.share(&share.step, &share.claims),
            Command::Intent(Intent::Cancel(cancel)) => self.ask_to_stop(&cancel.step),
            Command::Intent(
                Intent::Queue(_)
                | Intent::Expand(_)
                | Intent::Enter(_)
                | Intent::Refuse(_)
                | Intent::Skip(_)
                | Intent::Pause(_)
                | Intent::Ask(_)
                | Intent::Answered(_)
                | Intent::GiveUp(_)
                | Intent::End(_),
            ) => {}
            // Answered before the batch was recorded.
            Command::Decide(_) => {}
            Command::Probe(probe) => self.probe(&probe),
            Command::Inquire(inquire) => {
                let at = self.now_unix_ms.saturating_add(LOOK_MS);
                self.queue.push(at, Thing::Inquiry { inquire, generation: self.generation });
            }
            Command::Observe(observe) => {
                let at = self.now_unix_ms.saturating_add(LOOK_MS);
                self.queue.push(at, Thing::Sight { observe, generation: self.generation });
            }
            Command::Wait(wait) => {
                let (step, timer, generation) = (wait.step, wait.timer, self.generation);
                let at = self.now_unix_ms.saturating_add(wait.millis);
                self.queue.push(at, Thing::Timer { step, timer, generation });
            }
        }
    }
}
