//! The target's driver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::{RunId, VmId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::breaks::Breaks;
use super::error::Error;
use super::frame::{self, Extent, Frame, Hello, PROTOCOL_VERSION, Relinquish, Reply};
use super::hooks::{Grant, TargetDisk};
use super::outgoing::{ASK_DEADLINE, Info, Status, now_unix_us};
use super::pump::{Digest, Flipper};
use super::target::{Action, Event, State, Target};
use crate::facts::{Decision, Epoch, Facts};
use crate::faults::{FaultPoint, Faults};
use crate::vm::{Machine, RunState};

/// How long a source may say nothing before its state is given up. Longer than any cut a move should survive.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// How long QEMU may take to load the rest once it has everything.
const LOAD_DEADLINE: Duration = Duration::from_secs(60);

/// How often QEMU is asked whether it has loaded, when no event comes first.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait for QEMU's word on when the guest began to run.
const RESUME_DEADLINE: Duration = Duration::from_secs(2);

/// What the target side of a hand-over works with.
#[derive(Clone)]
pub struct TargetSide {
    /// The VM.
    pub vm: VmId,
    /// The QEMU that receives; none if it is gone.
    pub machine: Option<Machine>,
    /// The site's facts.
    pub facts: Facts,
    /// The site's disk server of the VM.
    pub disk: Arc<dyn TargetDisk>,
    /// Where tests hold it.
    pub faults: Faults,
    /// What is broken on purpose.
    pub breaks: Breaks,
}

/// One attempt at the target, prepared.
#[derive(Clone)]
pub struct Receiving {
    /// What it works with; the machine is the one that [`prepare_incoming`](super::prepare_incoming) made.
    pub side: TargetSide,
    /// The run.
    pub run: RunId,
    /// The attempt's epoch.
    pub epoch: Epoch,
}

/// How an attempt ended at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The guest runs here.
    Runs {
        /// Under which epoch.
        epoch: Epoch,
        /// Since when, microseconds since 1970.
        runs_at_unix_us: u64,
    },
    /// It never will, under this epoch.
    Refused {
        /// Why.
        reason: String,
    },
    /// This site owns the VM, but its memory died with its QEMU: a cold start here is what is left.
    Lost {
        /// Under which epoch.
        epoch: Epoch,
    },
}

/// Takes a guest in from the stream, decides, and answers.
///
/// Dropping the future leaves things as the death of the agent would: the caller then calls
/// [`recover_target`](super::recover_target).
///
/// # Errors
/// Only what leaves the end open, and a fatal error of the facts; every fault of the state, the stream or QEMU before RUN
/// ends in [`Received::Refused`].
pub async fn receive<S>(receiving: &Receiving, stream: S) -> Result<Received, Error>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut target = Target::begin();
    let first = match load(receiving, &mut reader).await {
        Ok(()) => {
            target.on(Event::Relinquished);
            target.on(Event::Loaded)
        }
        Err(error) => target.on(Event::Broken(error.refusal())),
    };
    let (received, answer) =
        receiving.side.carry_out((&receiving.run, receiving.epoch), &mut target, first).await?;
    if let Some(decision) = answer {
        let reply = Frame::Reply(Reply { epoch: receiving.epoch, decision });
        // An answer that is lost is asked for.
        let _ = timeout(ASK_DEADLINE, frame::write(&mut writer, reply)).await;
        let _ = timeout(ASK_DEADLINE, writer.shutdown()).await;
        receiving.side.faults.reach(FaultPoint::TargetAnswered).await;
    }
    Ok(received)
}

/// Everything up to a whole, equal, loaded state with its RELINQUISH.
async fn load<R: AsyncRead + Unpin>(receiving: &Receiving, reader: &mut R) -> Result<(), Error> {
    let gone = || Error::Crashed { vm: receiving.side.vm.clone() };
    let machine = receiving.side.machine.as_ref().ok_or_else(gone)?;
    let expected = Hello {
        version: PROTOCOL_VERSION,
        vm: receiving.side.vm.clone(),
        run: receiving.run.clone(),
        epoch: receiving.epoch,
    };
    match next(reader).await? {
        Frame::Hello(hello) if hello == expected => {}
        other => return Err(stray("a hello of this hand-over", &other)),
    }
    let qemu = UnixStream::connect(machine.paths().incoming()).await?;
    let mut intake = Intake::new(receiving, qemu);
    let promise = intake.until_promise(reader).await?;
    intake.compare(&expected, &promise)?;
    intake.qemu.shutdown().await?;
    receiving.side.faults.reach(FaultPoint::TargetRelinquishHere).await;
    loaded(machine).await?;
    receiving.side.faults.reach(FaultPoint::TargetLoaded).await;
    Ok(())
}

fn stray(wanted: &str, got: &Frame) -> Error {
    let got = match got {
        Frame::Hello(_) => "a hello",
        Frame::State(_) => "state",
        Frame::Extents(_) => "extents",
        Frame::Relinquish(_) => "RELINQUISH",
        Frame::Reply(_) => "an answer",
    };
    Error::Protocol { what: format!("{got} instead of {wanted}") }
}

async fn next<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Frame, Error> {
    let silent = |_| Error::Deadline { what: "the source" };
    Ok(timeout(SILENCE_MAX, frame::read(reader)).await.map_err(silent)??)
}

/// The state on its way into QEMU.
struct Intake<'a> {
    receiving: &'a Receiving,
    qemu: UnixStream,
    digest: Digest,
    flipper: Flipper,
    extents: u64,
    began: bool,
}

impl<'a> Intake<'a> {
    fn new(receiving: &'a Receiving, qemu: UnixStream) -> Self {
        let flipper = Flipper::new(&receiving.side.breaks.flip_page);
        Self { receiving, qemu, digest: Digest::new(), flipper, extents: 0, began: false }
    }

    async fn until_promise<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> Result<Relinquish, Error> {
        loop {
            match next(reader).await? {
                Frame::State(bytes) => self.feed(bytes).await?,
                Frame::Extents(extents) => self.forget(&extents).await?,
                Frame::Relinquish(promise) => return Ok(promise),
                other @ (Frame::Hello(_) | Frame::Reply(_)) => return Err(stray("state", &other)),
            }
        }
    }

    async fn feed(&mut self, mut bytes: Vec<u8>) -> Result<(), Error> {
        self.digest.add(&bytes);
        self.flipper.pass(&mut bytes);
        self.qemu.write_all(&bytes).await?;
        if !self.began {
            self.began = true;
            self.receiving.side.faults.reach(FaultPoint::TargetLoading).await;
        }
        Ok(())
    }

    async fn forget(&mut self, extents: &[Extent]) -> Result<(), Error> {
        let failed = |source| Error::Disk { what: "forget stale blocks", source };
        self.receiving.side.disk.mark_absent(extents).await.map_err(failed)?;
        self.extents += extents.len() as u64;
        self.receiving.side.faults.reach(FaultPoint::TargetListApplied).await;
        Ok(())
    }

    fn compare(&self, expected: &Hello, promise: &Relinquish) -> Result<(), Error> {
        let here = self.digest.finish();
        if promise.hello != *expected || promise.state != here || promise.extents != self.extents {
            let (sent, got) = (&promise.state, &here);
            let what = format!(
                "RELINQUISH names {} ({} bytes, {} extents), here are {} ({} bytes, {} extents)",
                sent.hash, sent.bytes, promise.extents, got.hash, got.bytes, self.extents
            );
            return Err(Error::Protocol { what });
        }
        Ok(())
    }
}

/// Waits until QEMU has loaded everything.
async fn loaded(machine: &Machine) -> Result<(), Error> {
    let mut events = machine.qmp().events();
    let completed = async {
        loop {
            let info = Info::ask(machine.qmp()).await?;
            match info.status {
                Status::Completed => return Ok(()),
                Status::Failed | Status::Cancelling => return Err(info.failure()),
                Status::None | Status::Active | Status::PreSwitchover | Status::Device => {}
            }
            // Either an event says that something changed, or it is time to look again.
            let _ = timeout(TICK, events.next()).await;
        }
    };
    let late = |_| Error::Deadline { what: "QEMU to load the state" };
    timeout(LOAD_DEADLINE, completed).await.map_err(late)?
}

impl TargetSide {
    /// Carries actions out until there are none, and returns how it ended with what the source is to be told.
    pub(super) async fn carry_out(
        &self,
        attempt: (&RunId, Epoch),
        target: &mut Target,
        first: Vec<Action>,
    ) -> Result<(Received, Option<Decision>), Error> {
        let mut queue = VecDeque::from(first);
        let (mut answer, mut runs_at) = (None, None);
        while let Some(action) = queue.pop_front() {
            match self.perform(attempt, &action).await {
                Ok(Done::Nothing) => {}
                Ok(Done::Event(event)) => queue.extend(target.on(event)),
                Ok(Done::Runs(at)) => runs_at = Some(at),
                Ok(Done::Answer(decision)) => answer = Some(decision),
                Err(error)
                    if !error.is_fatal() && target.state() == State::Deciding && !is_decision(&action) =>
                {
                    queue = target.on(Event::Broken(error.refusal())).into();
                }
                Err(error) => return Err(error),
            }
        }
        Ok((ended(attempt.1, answer.as_ref(), runs_at), answer.map(|it| with_time(it, runs_at))))
    }

    async fn perform(&self, (run, epoch): (&RunId, Epoch), action: &Action) -> Result<Done, Error> {
        match action {
            Action::Grant => self.grant(epoch).await,
            Action::DecideRun => {
                self.check_loaded().await?;
                let wish = Decision::Run { runs_at_unix_us: now_unix_us() };
                self.decide((run, epoch), wish).await
            }
            Action::DecideNack(refusal) => {
                self.faults.reach(FaultPoint::TargetRefusing).await;
                self.decide((run, epoch), Decision::Nack(refusal.clone())).await
            }
            Action::Cont => self.cont().await,
            Action::Kill => self.kill().await,
            Action::Answer(decision) => Ok(Done::Answer(decision.clone())),
        }
    }

    async fn grant(&self, epoch: Epoch) -> Result<Done, Error> {
        let grant = Grant { epoch, attached: epoch };
        let late = |_| Error::Deadline { what: "the disk server" };
        let granted = timeout(ASK_DEADLINE, self.disk.grant(grant)).await.map_err(late)?;
        granted.map_err(|source| Error::Disk { what: "accept the new epoch", source })?;
        self.faults.reach(FaultPoint::TargetGranted).await;
        Ok(Done::Nothing)
    }

    /// A guest that died while it was loaded is refused rather than owned and lost.
    async fn check_loaded(&self) -> Result<(), Error> {
        let gone = || Error::Crashed { vm: self.vm.clone() };
        let machine = self.machine.as_ref().ok_or_else(gone)?;
        machine.state().await?.map(|_| ()).ok_or_else(gone)
    }

    async fn decide(&self, (run, epoch): (&RunId, Epoch), wish: Decision) -> Result<Done, Error> {
        let (vm, run) = (self.vm.clone(), run.clone());
        let decision = self.facts.apart(move |facts| facts.decide(&vm, &run, epoch, &wish)).await?;
        let point = match decision {
            Decision::Run { .. } => FaultPoint::TargetRun,
            Decision::Nack { .. } => FaultPoint::TargetNack,
        };
        self.faults.reach(point).await;
        Ok(Done::Event(Event::Decided(decision)))
    }

    /// Lets the guest run, unless it does or has ended. A QEMU that is gone is not an error: RUN stands, and with it the
    /// ownership.
    async fn cont(&self) -> Result<Done, Error> {
        let Some(machine) = &self.machine else { return Ok(Done::Nothing) };
        let mut events = machine.qmp().events();
        match machine.state().await? {
            None => return Ok(Done::Nothing),
            Some(RunState::Running | RunState::Shutdown | RunState::Broken | RunState::IoError) => {}
            Some(
                RunState::Paused
                | RunState::Prelaunch
                | RunState::Inmigrate
                | RunState::FinishMigrate
                | RunState::Postmigrate
                | RunState::Other,
            ) => machine.cont().await?,
        }
        let resumed = async {
            loop {
                match events.next().await {
                    Some(event) if event.name == "RESUME" => return event.at_unix_us,
                    Some(_) => {}
                    None => return now_unix_us(),
                }
            }
        };
        let at = timeout(RESUME_DEADLINE, resumed).await.unwrap_or_else(|_| now_unix_us());
        self.faults.reach(FaultPoint::TargetContinued).await;
        Ok(Done::Runs(at))
    }

    async fn kill(&self) -> Result<Done, Error> {
        if let Some(machine) = &self.machine {
            machine.kill().await?;
        }
        Ok(Done::Nothing)
    }
}

/// What carrying out one action came to.
enum Done {
    Nothing,
    Event(Event),
    Runs(u64),
    Answer(Decision),
}

fn ended(epoch: Epoch, answer: Option<&Decision>, runs_at: Option<u64>) -> Received {
    match (answer, runs_at) {
        (Some(Decision::Nack(refusal)), _) => Received::Refused { reason: refusal.reason.clone() },
        (_, Some(runs_at_unix_us)) => Received::Runs { epoch, runs_at_unix_us },
        (Some(Decision::Run { .. }), None) => Received::Lost { epoch },
        (None, None) => Received::Refused { reason: "it was refused before".to_owned() },
    }
}

/// The answer on the stream carries QEMU's own time; the facts hold the moment of the decision, a little earlier.
fn with_time(decision: Decision, runs_at: Option<u64>) -> Decision {
    match (decision, runs_at) {
        (Decision::Run { .. }, Some(runs_at_unix_us)) => Decision::Run { runs_at_unix_us },
        (decision, _) => decision,
    }
}

/// A decision that cannot be made has no replacement; whatever else fails before it leads to NACK.
const fn is_decision(action: &Action) -> bool {
    match action {
        Action::DecideNack { .. } => true,
        Action::DecideRun | Action::Grant | Action::Cont | Action::Kill | Action::Answer(_) => false,
    }
}
