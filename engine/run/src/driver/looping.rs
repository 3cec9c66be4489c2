//! The task that owns a saga.

use longhaul_model::ids::{SiteId, StepPath};
use longhaul_saga::event::{
    CancelRequested, How, Interrupted, Mirroring, Observed, RunPaused, RunUnpaused, Signalled, TimerFired,
    Voted,
};
use longhaul_saga::intent::Start;
use longhaul_saga::{Batch, Command, Entry, Event, Intent, Record, Saga, Status, Work};
use longhaul_step::Progress;
use tokio::sync::{mpsc, oneshot, watch};

use super::calls::Calls;
use super::estimate::{Estimates, estimates};
use super::mail::Postman;
use super::{Driver, Ended, Error};
use crate::control::Wanted;
use crate::inbox::{Letter, Message};
use crate::mirror::Mirrors;
use crate::statement;
use crate::{Control, Reporters};

/// News that may wait for the saga; then calls wait too.
const NEWS_WAITING_MAX: usize = 1_024;
/// The most news that are applied before they are committed together.
const NEWS_AT_ONCE_MAX: usize = 64;

/// A state is kept after so many records for each step that there is, at the earliest: what it takes to write and read that of a
/// step is what it takes to read some three records. Of a small run it is kept as often as the driver says.
const KEEP_EVERY_PER_STEP: usize = 6;
/// A run with fewer steps is small.
const SMALL: usize = 100;

/// What a call or a timer has to say.
#[derive(Debug)]
pub(super) enum News {
    /// A call's answer. `durable` is told once its record is.
    Event { step: StepPath, call: u64, event: Event, durable: Option<oneshot::Sender<()>> },
    /// How far a call is; may be lost.
    Progress { step: StepPath, call: u64, progress: Progress },
    /// A message lay in the inbox.
    Letter(Letter),
}

pub(super) struct Loop<'a> {
    driver: &'a Driver,
    saga: Saga,
    reporters: &'a mut Reporters,
    calls: Calls,
    estimates: Estimates,
    /// The number of the last message that was applied.
    message: u64,
    /// So many records were written since a state was kept.
    unkept: usize,
    mirrors: Option<Mirrors>,
    /// Pivots that start when other sites have the record of this number.
    gated: Vec<(u64, Start)>,
    inbox: mpsc::Receiver<News>,
    _postman: Postman,
}

/// What was applied and is not durable yet.
struct Pending {
    batch: Batch,
    /// Calls whose handle becomes durable with it.
    durable: Vec<(StepPath, u64, oneshot::Sender<()>)>,
}

impl<'a> Loop<'a> {
    /// Messages up to `last_taken` are in the run's records.
    pub(super) fn new(
        driver: &'a Driver,
        saga: Saga,
        last_taken: u64,
        mirroring: Option<Mirroring>,
        reporters: &'a mut Reporters,
    ) -> Result<Self, Error> {
        let (outbox, inbox) = mpsc::channel(NEWS_WAITING_MAX);
        let run = saga.run().clone();
        let postman = Postman::start(driver.journal.directory(), run.clone(), last_taken, outbox.clone())?;
        let start = |mirroring| Mirrors::start(mirroring, &driver.mirror, &driver.journal, &run);
        let mirrors = mirroring.map(start);
        let calls = Calls::new(driver, run, outbox);
        let estimates = Estimates::default();
        Ok(Self {
            driver,
            saga,
            reporters,
            calls,
            estimates,
            message: last_taken,
            unkept: 0,
            mirrors,
            gated: Vec::new(),
            inbox,
            _postman: postman,
        })
    }

    /// Drives the run from its first batch until it ends or is asked to stop.
    pub(super) async fn drive(mut self, first: Batch, control: &Control) -> Result<Ended, Error> {
        let mut wanted = control.subscribe();
        let mut pending = Pending::of(first);
        self.have_decided(&mut pending)?;
        self.add_estimates(&mut pending);
        loop {
            self.commit(pending).await?;
            if self.saga.status() != Status::Running {
                self.finish_mirrors().await;
                return Ok(Ended::At(self.saga.status()));
            }
            pending = match self.wait(&mut wanted).await? {
                Some(pending) => pending,
                None => return self.stop().await,
            };
        }
    }

    /// The next batch; none when the driver is to stop.
    async fn wait(&mut self, wanted: &mut watch::Receiver<Wanted>) -> Result<Option<Pending>, Error> {
        loop {
            let asked = wanted.borrow_and_update().clone();
            if asked.stop || self.is_taken_over() {
                return Ok(None);
            }
            if let (Some(reason), false) = (asked.cancel, self.calls.cancelled) {
                self.calls.cancelled = true;
                let mut pending = self.pending();
                let (how, message) = (How::Compensate, None);
                let event = CancelRequested { reason, how, message };
                self.apply(Event::CancelRequested(event), &mut pending)?;
                return Ok(Some(pending));
            }
            if let Some(pending) = self.fire()? {
                return Ok(Some(pending));
            }
            self.start_gated();
            let news = self.mirrors.as_ref().map(Mirrors::news);
            let mirrored = async {
                match &news {
                    Some(news) => news.notified().await,
                    None => std::future::pending().await,
                }
            };
            let next = self.calls.timers.next_unix_ms();
            let clock = &*self.driver.clock;
            let passed = async {
                match next {
                    Some(until) => clock.sleep_until_unix_ms(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The controls are held by the caller for as long as we run; if not, nobody can ask any more.
                Ok(()) = wanted.changed() => {}
                Some(news) = self.inbox.recv() => {
                    let pending = self.gather(news)?;
                    if !pending.batch.entries.is_empty() {
                        return Ok(Some(pending));
                    }
                }
                () = passed => {}
                () = mirrored => {}
            }
        }
    }

    /// What follows from the waits that have ended by now; none if nobody waits for them any more.
    fn fire(&mut self) -> Result<Option<Pending>, Error> {
        let mut pending = self.pending();
        while let Some((step, timer)) = self.calls.timers.take(pending.batch.at_unix_ms) {
            if self.saga.awaits(&step, timer) {
                self.apply(Event::TimerFired(TimerFired { step, timer }), &mut pending)?;
            }
        }
        Ok((!pending.batch.entries.is_empty()).then_some(pending))
    }

    fn pending(&self) -> Pending {
        Pending::of(Batch::new(self.driver.clock.now_unix_ms()))
    }

    fn gather(&mut self, first: News) -> Result<Pending, Error> {
        let mut pending = self.pending();
        self.take_in(first, &mut pending)?;
        while pending.batch.entries.len() < NEWS_AT_ONCE_MAX
            && let Ok(news) = self.inbox.try_recv()
        {
            self.take_in(news, &mut pending)?;
        }
        Ok(pending)
    }

    fn take_in(&mut self, news: News, pending: &mut Pending) -> Result<(), Error> {
        match news {
            News::Event { step, call, event, durable } => {
                if self.calls.is_current(&step, call) && self.is_wanted(&event) {
                    pending.durable.extend(durable.map(|durable| (step, call, durable)));
                    self.apply(event, pending)?;
                }
            }
            News::Progress { step, call, progress } => {
                if self.calls.is_current(&step, call) {
                    self.reporters.progress(&step, &progress);
                    let now = self.driver.clock.now_unix_ms();
                    self.driver.journal.recording(self.saga.run(), now, step.as_str(), &progress);
                }
            }
            News::Letter(letter) => match self.event_of(&letter) {
                Ok(event) => self.apply(event, pending)?,
                Err(why) => tracing::warn!(number = letter.number, %why, "a message does not count"),
            },
        }
        Ok(())
    }

    /// Whether the saga waits for what a call says. A look is called off without a word to its call.
    fn is_wanted(&self, event: &Event) -> bool {
        match event {
            Event::Observed(Observed { step, work, site, .. }) => self.saga.looks(step, *work, site),
            _ => true,
        }
    }

    /// What a message means for the run, if it counts.
    fn event_of(&self, letter: &Letter) -> Result<Event, String> {
        let number = Some(letter.number);
        let message = letter.message.as_ref().ok_or("it is of a kind that this binary does not know")?;
        if self.saga.status().is_final() {
            return Err("the run has ended".to_owned());
        }
        match message.clone() {
            Message::Cancel { how, reason } => {
                Ok(Event::CancelRequested(CancelRequested { reason, how, message: number }))
            }
            Message::Pause { reason } => Ok(Event::RunPaused(RunPaused { reason, message: number })),
            Message::Unpause { reason } => Ok(Event::RunUnpaused(RunUnpaused { reason, message: number })),
            Message::Vote { .. } => {
                let notary = &*self.driver.notary;
                let voted = statement::voted(&self.saga, message, letter.at_unix_ms, notary)?;
                Ok(Event::Voted(Voted { message: number, ..voted }))
            }
            Message::Signal { name, payload, by } => {
                statement::signalled(&self.saga, &name, &payload)?;
                Ok(Event::Signalled(Signalled { name, payload, by, message: number }))
            }
        }
    }

    fn apply(&mut self, event: Event, pending: &mut Pending) -> Result<(), Error> {
        let illegal = |source| Error::Illegal { run: self.calls.run().clone(), source };
        let commands = self.saga.apply(&event, pending.batch.at_unix_ms).map_err(illegal)?;
        let new_facts = self.estimates.are_due(&self.saga, &event);
        self.calls.settled(&event);
        if let Event::TimerFired(fired) = &event
            && !self.saga.hears(&fired.step)
        {
            self.calls.give_up(&fired.step);
        }
        self.message = event.message().unwrap_or(self.message);
        pending.batch.add(event, commands);
        self.have_decided(pending)?;
        if new_facts {
            self.add_estimates(pending);
        }
        Ok(())
    }

    /// Policies answer at once, so what they say becomes durable together with what asked them.
    fn have_decided(&mut self, pending: &mut Pending) -> Result<(), Error> {
        let illegal = |source| Error::Illegal { run: self.calls.run().clone(), source };
        let host = &*self.driver.policies;
        pending.batch.have_decided(&mut self.saga, &mut |decide| decide.verdicts(host)).map_err(illegal)
    }

    /// Writes down what is expected of the steps to come before any of them starts.
    fn add_estimates(&self, pending: &mut Pending) {
        let starting = pending.batch.commands.iter();
        if let Some(event) = estimates(&self.saga, starting, &self.driver.registry) {
            pending.batch.entries.push(Entry::Event(event));
        }
    }

    /// Makes the batch durable, then shows it, then does what it asks for.
    async fn commit(&mut self, pending: Pending) -> Result<(), Error> {
        let Pending { batch, durable } = pending;
        let records = self.driver.journal.append(self.saga.run(), batch.at_unix_ms, batch.entries).await?;
        records.iter().for_each(|record| self.reporters.record(record));
        self.keep_at_times(&records);
        let last = records.last().map_or(0, |record| record.seq);
        if let Some(mirrors) = self.mirrors.as_ref().filter(|_| last > 0) {
            mirrors.durable(last);
        }
        for (step, call, durable) in durable {
            // A call that was replaced in the meantime does not listen any more.
            let _ = durable.send(());
            self.calls.handle_is_durable(&step, call);
        }
        for command in batch.commands {
            self.carry_out(command, batch.at_unix_ms, last);
        }
        Ok(())
    }

    /// Keeps the state now and then. What it takes to write it is spread over more records than it has steps.
    fn keep_at_times(&mut self, records: &[Record]) {
        self.unkept += records.len();
        let size = self.saga.size();
        let by_size = if size < SMALL { 0 } else { KEEP_EVERY_PER_STEP * size };
        let every = self.driver.keep_every.max(by_size);
        if self.unkept < every {
            return;
        }
        if let (Some(last), Some(state)) = (records.last(), self.saga.keep()) {
            self.driver.journal.keep(self.saga.run(), last.seq, self.message, state);
            self.unkept = 0;
        }
    }

    /// Does what was asked for at that time, in the record of this number or one before it.
    fn carry_out(&mut self, command: Command, at_unix_ms: u64, seq: u64) {
        match command {
            Command::Intent(Intent::Start(start)) => self.start(start, seq),
            Command::Intent(Intent::Compensate(compensate)) => self.calls.compensate(compensate),
            Command::Intent(Intent::Share(share)) => {
                self.calls.share(&share, &self.saga.budgets(&share.step));
            }
            Command::Intent(Intent::Cancel(cancel)) => self.calls.cancel(&cancel.step),
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
            Command::Probe(probe) => self.calls.probe(probe),
            Command::Inquire(inquire) => self.calls.inquire(*inquire),
            Command::Observe(observe) => self.calls.observe(observe),
            Command::Wait(wait) => self.calls.wait(wait, at_unix_ms),
            // Answered before the batch was committed.
            Command::Decide(_) => {}
        }
    }

    /// Starts an effect; a pivot only when the sites that keep this run's records have the one that says so.
    fn start(&mut self, start: Start, seq: u64) {
        let is_pivot = start.work == Work::Forward && self.saga.is_pivot(&start.step);
        let missing = self.mirrors.as_ref().filter(|_| is_pivot).map(|mirrors| mirrors.missing(seq));
        let missing = missing.unwrap_or_default();
        if missing.is_empty() {
            let budgets = self.saga.budgets(&start.step);
            return self.calls.start(start, &budgets);
        }
        let sites: Vec<&str> = missing.into_iter().map(SiteId::as_str).collect();
        let phase = format!("waits until the run's records are kept at {}", sites.join(", "));
        self.reporters.progress(&start.step, &Progress { phase, ..Progress::default() });
        self.gated.push((seq, start));
    }

    /// Starts the pivots that need not wait any more.
    fn start_gated(&mut self) {
        for (seq, start) in std::mem::take(&mut self.gated) {
            // What was called off meanwhile is asked about, and is not there.
            if self.saga.wants(&start) {
                self.start(start, seq);
            }
        }
    }

    /// Whether another controller has taken the run over: nothing that this one does counts any more.
    fn is_taken_over(&self) -> bool {
        let by = self.mirrors.as_ref().and_then(Mirrors::taken_over);
        if let Some(why) = &by {
            tracing::error!(%why, "this controller stops");
        }
        by.is_some()
    }

    async fn finish_mirrors(&mut self) {
        if let Some(mirrors) = self.mirrors.take() {
            mirrors.finish().await;
        }
    }

    async fn stop(mut self) -> Result<Ended, Error> {
        let mut pending = self.pending();
        pending.batch.add(Event::Interrupted(Interrupted {}), Vec::new());
        self.commit(pending).await?;
        self.finish_mirrors().await;
        Ok(Ended::Interrupted)
    }
}

impl Pending {
    fn of(batch: Batch) -> Self {
        Self { batch, durable: Vec::new() }
    }
}
