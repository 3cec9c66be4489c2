//! An exhaustive search of the hand-over's rules: [`Source`] and [`Target`] themselves, with a network that loses, delays,
//! repeats and reorders, agents that die and come back with nothing but their facts, facts that become durable after the one
//! who asked for them died, a QEMU that finishes or fails when it likes, and attempts that follow each other.
//!
//! Facts are modelled as the tables keep them: one way out of an attempt at the source, one decision for an epoch at the
//! target. The state of an earlier attempt's stream ends when the next attempt prepares.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::question::Answer;
use super::source::{self, Source, Standing};
use super::target::{self, Target};
use crate::facts::{Decision, Refusal};

type Attempt = u8;

/// A rule broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The source resumes when no answer comes: what libvirt does without a lock manager.
    ResumeOnSilence,
    /// The source sends RELINQUISH before it is durable.
    SendBeforeDurable,
    /// The target lets the guest run before its RUN is durable.
    RunBeforeDurable,
    /// The source resumes on the abandoned attempt's behalf before that is durable.
    ResumeBeforeAbandon,
}

#[derive(Debug, Clone, Copy)]
struct Check {
    flaw: Flaw,
    attempts: Attempt,
    crashes: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Message {
    Prepare(Attempt),
    Relinquish(Attempt),
    Ask { attempt: Attempt, give_up: bool },
    Open(Attempt),
    Decided { attempt: Attempt, run: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SourceGuest {
    /// Also while it is being copied: QEMU may let it run at any time until it is done.
    Runs,
    /// `postmigrate`.
    Stopped,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TargetGuest {
    None,
    Waits,
    Runs,
}

/// A live agent at the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SourceAgent {
    rules: Source,
    todo: Vec<source::Action>,
}

/// A live agent at the target; rules only while it receives or has received.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TargetAgent {
    rules: Option<Target>,
    todo: Vec<target::Action>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    // Durable at the source.
    attempt: Attempt,
    standing: Standing,
    // Durable at the target.
    highest: Attempt,
    prepared: Attempt,
    decisions: BTreeMap<Attempt, bool>,
    // QEMU, which outlives the agents.
    source_guest: SourceGuest,
    target_guest: TargetGuest,
    // What dies with an agent.
    source: Option<SourceAgent>,
    target: Option<TargetAgent>,
    // Writes whose caller is gone.
    late_relinquish: Option<Attempt>,
    late_run: Option<Attempt>,
    network: BTreeSet<Message>,
    crashes: u8,
    // For the properties: what was acted on.
    ran: BTreeSet<Attempt>,
    resumed_on_nack: BTreeSet<Attempt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Deliver(Message),
    SourceActs,
    TargetActs,
    SourceFails,
    QemuCompletes,
    SourceHearsNothing,
    SourceLosesPatience,
    TargetLoads,
    TargetBreaks,
    SourceDies,
    SourceReturns,
    TargetDies,
    TargetReturns,
    LateRelinquish,
    LateRun,
    NextAttempt,
}

fn decision(run: bool) -> Decision {
    if run { Decision::Run { runs_at_unix_us: 0 } } else { Decision::Nack(Refusal::transient("")) }
}

impl Check {
    fn source_hears(self, world: &mut World, event: source::Event) {
        let silent = event == source::Event::Silent;
        // A driver carries out what it has before it listens again.
        let Some(agent) = world.source.as_mut().filter(|agent| agent.todo.is_empty()) else { return };
        let mut actions = agent.rules.on(event);
        match self.flaw {
            Flaw::ResumeOnSilence if silent => actions.push(source::Action::Cont),
            Flaw::SendBeforeDurable if actions.contains(&source::Action::Relinquish) => actions.reverse(),
            Flaw::None | Flaw::ResumeOnSilence | Flaw::SendBeforeDurable => {}
            Flaw::RunBeforeDurable | Flaw::ResumeBeforeAbandon => {}
        }
        agent.todo = actions;
    }

    fn target_hears(self, world: &mut World, event: target::Event) {
        let Some(agent) = &mut world.target else { return };
        let Some(rules) = &mut agent.rules else { return };
        let mut actions = rules.on(event);
        if self.flaw == Flaw::RunBeforeDurable && actions.contains(&target::Action::DecideRun) {
            actions.insert(0, target::Action::Cont);
        }
        agent.todo.extend(actions);
    }

    fn deliver(self, world: &mut World, message: &Message) {
        match *message {
            Message::Prepare(attempt) => prepare(world, attempt),
            Message::Relinquish(attempt) if world.prepared == attempt => {
                self.target_hears(world, target::Event::Relinquished);
            }
            Message::Ask { attempt, give_up } => asked(world, attempt, give_up),
            Message::Open(attempt) if world.attempt == attempt => {
                self.source_hears(world, source::Event::Answered(Answer::Open));
            }
            Message::Decided { attempt, run } if world.attempt == attempt => {
                // Before the promise a refusal is a failure, as for the driver.
                let copying =
                    world.source.as_ref().is_some_and(|it| it.rules.state() == source::State::Copying);
                let event = if copying {
                    source::Event::Failed
                } else {
                    source::Event::Answered(Answer::Decided(decision(run)))
                };
                self.source_hears(world, event);
            }
            Message::Relinquish(_) | Message::Open(_) | Message::Decided { .. } => {}
        }
    }

    fn source_acts(self, world: &mut World) {
        let agent = world.source.as_mut().expect("only a live agent acts");
        let attempt = world.attempt;
        let done = match agent.todo.remove(0) {
            source::Action::Abandon => settle_as(&mut world.standing, Standing::Abandoned),
            source::Action::Relinquish => settle_as(&mut world.standing, Standing::Relinquished),
            source::Action::SendRelinquish => {
                world.network.insert(Message::Relinquish(attempt));
                true
            }
            source::Action::Ask { give_up } => {
                world.network.insert(Message::Ask { attempt, give_up });
                true
            }
            source::Action::Learn(heard) => {
                if let Decision::Nack { .. } = heard {
                    world.resumed_on_nack.insert(attempt);
                }
                world.standing = Standing::Decided(heard);
                true
            }
            source::Action::Cont => {
                let gone = world.source_guest == SourceGuest::Gone;
                world.source_guest = if gone { SourceGuest::Gone } else { SourceGuest::Runs };
                true
            }
            source::Action::Quit => {
                world.source_guest = SourceGuest::Gone;
                true
            }
            source::Action::CancelMigration | source::Action::Thaw | source::Action::Grant => true,
        };
        if !done {
            // The facts refused: what the agent believed is out of date, and it recovers from the facts.
            world.source = Some(recovered_source(&world.standing));
        }
    }

    fn target_acts(self, world: &mut World) {
        let agent = world.target.as_mut().expect("only a live agent acts");
        let attempt = world.prepared;
        match agent.todo.remove(0) {
            target::Action::DecideRun => self.decide(world, attempt, true),
            target::Action::DecideNack { .. } => self.decide(world, attempt, false),
            target::Action::Cont => {
                if world.target_guest != TargetGuest::None {
                    world.target_guest = TargetGuest::Runs;
                    world.ran.insert(attempt);
                }
            }
            target::Action::Kill => world.target_guest = TargetGuest::None,
            target::Action::Answer(said) => {
                let run = matches!(said, Decision::Run { .. });
                world.network.insert(Message::Decided { attempt, run });
            }
            target::Action::Grant => {}
        }
    }

    fn decide(self, world: &mut World, attempt: Attempt, wish: bool) {
        let run = *world.decisions.entry(attempt).or_insert(wish);
        self.target_hears(world, target::Event::Decided(decision(run)));
    }

    fn apply(self, world: &mut World, step: &Step) {
        match step {
            Step::Deliver(message) => self.deliver(world, message),
            Step::SourceActs => self.source_acts(world),
            Step::TargetActs => self.target_acts(world),
            Step::SourceFails => self.source_hears(world, source::Event::Failed),
            Step::QemuCompletes => {
                world.source_guest = SourceGuest::Stopped;
                self.source_hears(world, source::Event::Completed);
            }
            Step::SourceHearsNothing => self.source_hears(world, source::Event::Silent),
            Step::SourceLosesPatience => self.source_hears(world, source::Event::OutOfPatience),
            Step::TargetLoads => self.target_hears(world, target::Event::Loaded),
            Step::TargetBreaks => {
                // What fails among the actions drops the rest of them.
                world.target.as_mut().expect("only a live agent fails").todo.clear();
                self.target_hears(world, target::Event::Broken(Refusal::transient("")));
            }
            Step::SourceDies => source_dies(world),
            Step::SourceReturns => {
                let mut agent = recovered_source(&world.standing);
                if self.flaw == Flaw::ResumeBeforeAbandon && agent.todo.contains(&source::Action::Abandon) {
                    agent.todo.reverse();
                }
                world.source = Some(agent);
            }
            Step::TargetDies => target_dies(world),
            Step::TargetReturns => world.target = Some(recovered_target(world)),
            Step::LateRelinquish => {
                // The table refuses one for an attempt that another has followed.
                if world.late_relinquish.take() == Some(world.attempt) {
                    settle_as(&mut world.standing, Standing::Relinquished);
                }
            }
            Step::LateRun => {
                let attempt = world.late_run.take().expect("only a late write is late");
                world.decisions.entry(attempt).or_insert(true);
            }
            Step::NextAttempt => {
                world.attempt += 1;
                world.standing = Standing::Open;
                world.source = Some(SourceAgent { rules: Source::begin(), todo: Vec::new() });
                world.network.insert(Message::Prepare(world.attempt));
            }
        }
    }

    /// Both agents live, every message arrives, nothing more goes wrong: the hand-over has to end, with one runner.
    fn settles(self, world: &World) -> bool {
        let mut world = world.clone();
        world.network.clear();
        for _ in 0..60 {
            if world.source.is_none() {
                self.apply(&mut world, &Step::SourceReturns);
            }
            if world.target.is_none() {
                self.apply(&mut world, &Step::TargetReturns);
            }
            let Some(step) = self.healing_step(&world) else { break };
            self.apply(&mut world, &step);
        }
        let source = world.source_guest == SourceGuest::Runs;
        let target = world.target_guest == TargetGuest::Runs;
        let state = world.source.as_ref().map(|agent| agent.rules.state());
        let settled = !matches!(state, Some(source::State::Copying | source::State::Asking) | None);
        settled && (source != target)
    }

    fn healing_step(self, world: &World) -> Option<Step> {
        let (source, target) = (world.source.as_ref()?, world.target.as_ref()?);
        if !source.todo.is_empty() {
            return Some(Step::SourceActs);
        }
        if !target.todo.is_empty() {
            return Some(Step::TargetActs);
        }
        let decided = |message: &&Message| matches!(message, Message::Decided { attempt, .. } if *attempt == world.attempt);
        match source.rules.state() {
            source::State::Copying => Some(Step::SourceFails),
            source::State::Asking => {
                let decided = world.network.iter().find(decided);
                let give_up = Message::Ask { attempt: world.attempt, give_up: true };
                match decided {
                    Some(message) => Some(Step::Deliver(message.clone())),
                    None if world.network.contains(&give_up) => Some(Step::Deliver(give_up)),
                    None => Some(impatient(source)),
                }
            }
            source::State::Resumed | source::State::Left | source::State::Kept => None,
        }
    }
}

/// Patience is lost once, then the question is asked.
fn impatient(source: &SourceAgent) -> Step {
    let mut later = source.rules.clone();
    later.on(source::Event::OutOfPatience);
    if later == source.rules { Step::SourceHearsNothing } else { Step::SourceLosesPatience }
}

/// The one way out of an attempt: the first stands, a repetition is fine, another is refused.
fn settle_as(standing: &mut Standing, wanted: Standing) -> bool {
    if *standing == Standing::Open {
        *standing = wanted;
        return true;
    }
    *standing == wanted
}

fn prepare(world: &mut World, attempt: Attempt) {
    let owner = world.decisions.get(&world.prepared) == Some(&true);
    if attempt <= world.highest || owner || world.target.is_none() {
        return;
    }
    if world.prepared > 0 {
        world.decisions.entry(world.prepared).or_insert(false);
    }
    (world.prepared, world.highest) = (attempt, attempt);
    world.target_guest = TargetGuest::Waits;
    world.target = Some(TargetAgent { rules: Some(Target::begin()), todo: Vec::new() });
}

fn asked(world: &mut World, attempt: Attempt, give_up: bool) {
    if world.target.is_none() {
        return;
    }
    if give_up {
        world.decisions.entry(attempt).or_insert(false);
        world.highest = world.highest.max(attempt);
    }
    let answer = match world.decisions.get(&attempt) {
        Some(run) => Message::Decided { attempt, run: *run },
        None => Message::Open(attempt),
    };
    world.network.insert(answer);
}

fn source_dies(world: &mut World) {
    let Some(agent) = world.source.take() else { return };
    if agent.todo.first() == Some(&source::Action::Relinquish) {
        world.late_relinquish = Some(world.attempt);
    }
    world.crashes -= 1;
}

fn target_dies(world: &mut World) {
    let Some(agent) = world.target.take() else { return };
    if agent.todo.first() == Some(&target::Action::DecideRun) {
        world.late_run = Some(world.prepared);
    }
    world.crashes -= 1;
}

fn recovered_source(standing: &Standing) -> SourceAgent {
    let (rules, todo) = Source::recover(standing);
    SourceAgent { rules, todo }
}

fn recovered_target(world: &World) -> TargetAgent {
    if world.prepared == 0 {
        return TargetAgent { rules: None, todo: Vec::new() };
    }
    let known = world.decisions.get(&world.prepared).map(|run| decision(*run));
    let (rules, todo) = Target::recover(known.as_ref());
    TargetAgent { rules: Some(rules), todo }
}

impl Model for Check {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let network = BTreeSet::from([Message::Prepare(1)]);
        vec![World {
            attempt: 1,
            standing: Standing::Open,
            highest: 0,
            prepared: 0,
            decisions: BTreeMap::new(),
            source_guest: SourceGuest::Runs,
            target_guest: TargetGuest::None,
            source: Some(SourceAgent { rules: Source::begin(), todo: Vec::new() }),
            target: Some(TargetAgent { rules: None, todo: Vec::new() }),
            late_relinquish: None,
            late_run: None,
            network,
            crashes: self.crashes,
            ran: BTreeSet::new(),
            resumed_on_nack: BTreeSet::new(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(world.network.iter().cloned().map(Step::Deliver));
        if let Some(agent) = &world.source {
            source_steps(self, world, agent, steps);
        } else {
            steps.push(Step::SourceReturns);
        }
        if let Some(agent) = &world.target {
            if !agent.todo.is_empty() {
                steps.push(Step::TargetActs);
            }
            let state = agent.rules.as_ref().map(Target::state);
            let receives = matches!(state, Some(target::State::Receiving { .. }));
            let undecided = state == Some(target::State::Deciding)
                && matches!(agent.todo.first(), Some(target::Action::Grant | target::Action::DecideRun));
            steps.extend((receives || undecided).then_some(Step::TargetBreaks));
            let everything_sent = world.source_guest != SourceGuest::Runs && world.prepared == world.attempt;
            steps.extend((receives && everything_sent).then_some(Step::TargetLoads));
            steps.extend((world.crashes > 0).then_some(Step::TargetDies));
        } else {
            steps.push(Step::TargetReturns);
        }
        steps.extend(world.late_relinquish.map(|_| Step::LateRelinquish));
        steps.extend(world.late_run.map(|_| Step::LateRun));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, &step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one runs", |_, world: &World| {
                world.source_guest != SourceGuest::Runs || world.target_guest != TargetGuest::Runs
            }),
            Property::always("a source that promised stands still", |_, world: &World| {
                let promised = matches!(
                    world.standing,
                    Standing::Relinquished | Standing::Decided(Decision::Run { .. })
                );
                !promised || world.source_guest != SourceGuest::Runs
            }),
            Property::always("no epoch both runs and resumes", |_, world: &World| {
                world.ran.is_disjoint(&world.resumed_on_nack)
            }),
            Property::always("it settles once everything heals", |check: &Self, world: &World| {
                check.settles(world)
            }),
            Property::sometimes("the guest arrives", |_, world: &World| {
                world.target_guest == TargetGuest::Runs
            }),
            Property::sometimes("a second attempt arrives after a refusal", |_, world: &World| {
                world.ran.contains(&2) && world.resumed_on_nack.contains(&1)
            }),
        ]
    }
}

fn source_steps(check: &Check, world: &World, agent: &SourceAgent, steps: &mut Vec<Step>) {
    if !agent.todo.is_empty() {
        steps.push(Step::SourceActs);
    }
    match agent.rules.state() {
        source::State::Copying => {
            steps.push(Step::SourceFails);
            if world.prepared == world.attempt && world.source_guest == SourceGuest::Runs {
                steps.push(Step::QemuCompletes);
            }
        }
        source::State::Asking if agent.todo.is_empty() => {
            steps.extend([Step::SourceHearsNothing, Step::SourceLosesPatience]);
        }
        source::State::Resumed | source::State::Kept if agent.todo.is_empty() => {
            steps.extend((world.attempt < check.attempts).then_some(Step::NextAttempt));
        }
        source::State::Asking | source::State::Resumed | source::State::Kept | source::State::Left => {}
    }
    steps.extend((world.crashes > 0).then_some(Step::SourceDies));
}

/// The rules hold in every reachable state of two attempts with two deaths of agents: never two runners, no epoch that both runs
/// and is taken back, and always an end once everything heals.
#[test]
fn the_rules_hold_in_every_state() {
    let check = Check { flaw: Flaw::None, attempts: 2, crashes: 2 };
    let checker = check.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1_000, "only {} states", checker.unique_state_count());
    assert!(checker.is_done());
}

/// The search finds each rule broken on purpose, so it would find one broken by accident.
#[test]
fn the_search_finds_every_broken_rule() {
    let safety = ["at most one runs", "a source that promised stands still"];
    for flaw in
        [Flaw::ResumeOnSilence, Flaw::SendBeforeDurable, Flaw::RunBeforeDurable, Flaw::ResumeBeforeAbandon]
    {
        let check = Check { flaw, attempts: 1, crashes: 2 };
        let enough = HasDiscoveries::AnyOf(safety.into_iter().collect());
        let checker = check.checker().finish_when(enough).spawn_bfs().join();
        let found = safety.iter().find(|name| checker.discovery(name).is_some());
        assert!(found.is_some(), "{flaw:?} was not found in {} states", checker.unique_state_count());
    }
}
