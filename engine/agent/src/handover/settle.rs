//! The source's actions, carried out: shared by a move that goes on and one that is taken up after the agent died.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::{RunId, VmId};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::breaks::Breaks;
use super::error::Error;
use super::hooks::{Grant, PeerQuestions, SourceDisk};
use super::limits::Limits;
use super::outgoing::{ASK_DEADLINE, Info, Status};
use super::question::Answer;
use super::source::{Action, Event, Source};
use crate::facts::{Decision, Epoch, Facts, Refusal, Relinquishment, Role};
use crate::faults::{FaultPoint, Faults};
use crate::vm::{Machine, RunState};

/// How long QEMU may take to come out of a migration.
const CANCEL_DEADLINE: Duration = Duration::from_secs(10);

/// What the source side of a hand-over works with.
#[derive(Clone)]
pub struct SourceSide {
    /// The VM.
    pub vm: VmId,
    /// Its QEMU; none if it is gone.
    pub machine: Option<Machine>,
    /// The site's facts.
    pub facts: Facts,
    /// The site's disk server of the VM.
    pub disk: Arc<dyn SourceDisk>,
    /// The target's agent.
    pub peer: Arc<dyn PeerQuestions>,
    /// How long things may take.
    pub limits: Limits,
    /// Where tests hold it.
    pub faults: Faults,
    /// What is broken on purpose.
    pub breaks: Breaks,
}

/// How an attempt ended at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The guest runs at the target.
    Moved(Moved),
    /// The guest stayed here.
    Stayed(Stayed),
}

/// A hand-over that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The epoch under which the target runs it.
    pub epoch: Epoch,
    /// What was promised: the state's digest, when the guest stopped, the prediction, the last dirty round.
    pub promise: Relinquishment,
    /// When the target let it run, microseconds since 1970 on the target's clock.
    pub runs_at_unix_us: u64,
}

/// A hand-over that left the guest where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stayed {
    /// The epoch under which this site owns it now.
    pub epoch: Epoch,
    /// Why.
    pub why: Refusal,
}

/// A decision that may arrive on the stream.
pub(super) type Reply<'a> = Pin<&'a mut (dyn Future<Output = Option<Decision>> + Send)>;

impl SourceSide {
    /// Carries actions out in order, up to the first that fails.
    pub(super) async fn carry_out(&self, epoch: Epoch, actions: Vec<Action>) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Abandon => self.abandon(epoch).await?,
                Action::CancelMigration => self.cancel_migration().await?,
                Action::Thaw => self.disk("take writes again", self.disk.thaw()).await?,
                Action::Cont => self.cont().await?,
                Action::Learn(decision) => self.learn(epoch, decision).await?,
                Action::Grant => self.grant().await?,
                Action::Quit => self.quit().await?,
                Action::Relinquish | Action::SendRelinquish | Action::Ask { .. } => {
                    unreachable!("what needs the stream or the peer is done by those who have them")
                }
            }
        }
        Ok(())
    }

    async fn abandon(&self, epoch: Epoch) -> Result<(), Error> {
        let vm = self.vm.clone();
        Ok(self.facts.apart(move |facts| facts.abandon(&vm, epoch, "given up before the promise")).await?)
    }

    /// Takes QEMU out of a migration, if it is in one. A QEMU that is gone is in none.
    async fn cancel_migration(&self) -> Result<(), Error> {
        let Some(machine) = self.living()? else { return Ok(()) };
        let mut events = machine.qmp().events();
        machine.qmp().execute("migrate_cancel", Value::Null, ASK_DEADLINE).await?;
        let settled = async {
            loop {
                match Info::ask(machine.qmp()).await?.status {
                    Status::None | Status::Completed | Status::Failed => return Ok(()),
                    Status::Active | Status::PreSwitchover | Status::Device | Status::Cancelling => {}
                }
                // Either an event says that something changed, or it is time to look again.
                let _ = timeout(Duration::from_millis(100), events.next()).await;
            }
        };
        let late = |_| Error::Deadline { what: "QEMU to leave its migration" };
        timeout(CANCEL_DEADLINE, settled).await.map_err(late)?
    }

    /// Lets the guest go on. One that ended or crashed by itself stays as it is.
    async fn cont(&self) -> Result<(), Error> {
        let crashed = || Error::Crashed { vm: self.vm.clone() };
        let machine = self.machine.as_ref().ok_or_else(crashed)?;
        match machine.state().await?.ok_or_else(crashed)? {
            RunState::Running | RunState::Shutdown | RunState::Broken => Ok(()),
            RunState::Paused
            | RunState::Prelaunch
            | RunState::Inmigrate
            | RunState::FinishMigrate
            | RunState::Postmigrate
            | RunState::IoError
            | RunState::Other => Ok(machine.cont().await?),
        }
    }

    async fn learn(&self, epoch: Epoch, decision: Decision) -> Result<(), Error> {
        let (heard, learned) = match decision {
            Decision::Run { .. } => (FaultPoint::SourceHeardRun, FaultPoint::SourceLearnedRun),
            Decision::Nack { .. } => (FaultPoint::SourceHeardNack, FaultPoint::SourceLearnedNack),
        };
        self.faults.reach(heard).await;
        let vm = self.vm.clone();
        self.facts.apart(move |facts| facts.learn(&vm, epoch, &decision)).await?;
        self.faults.reach(learned).await;
        Ok(())
    }

    async fn grant(&self) -> Result<(), Error> {
        let epoch = self.owned_epoch().await?;
        let attached = self.machine.as_ref().map_or(epoch, |machine| machine.runtime().epoch);
        self.disk("accept the new epoch", self.disk.grant(Grant { epoch, attached })).await?;
        self.faults.reach(FaultPoint::SourceGranted).await;
        Ok(())
    }

    async fn quit(&self) -> Result<(), Error> {
        if self.breaks.second_runner {
            self.disk("take writes again", self.disk.thaw()).await?;
            return self.cont().await;
        }
        if let Some(machine) = &self.machine {
            machine.stop().await?;
        }
        self.faults.reach(FaultPoint::SourceQuit).await;
        Ok(())
    }

    /// The epoch under which this site owns the VM.
    pub(super) async fn owned_epoch(&self) -> Result<Epoch, Error> {
        let vm = self.vm.clone();
        match self.facts.apart(move |facts| facts.vm(&vm)).await? {
            Some(facts) => match facts.role {
                Role::Owner(epoch) => Ok(epoch),
                Role::Relinquished(_) | Role::Incoming(_) | Role::Absent(_) => {
                    Err(Error::Protocol { what: format!("this site is {} of the VM", facts.role) })
                }
            },
            None => Err(Error::Protocol { what: "this site knows no such VM".to_owned() }),
        }
    }

    fn living(&self) -> Result<Option<&Machine>, Error> {
        match &self.machine {
            Some(machine) if machine.is_alive()? => Ok(Some(machine)),
            Some(_) | None => Ok(None),
        }
    }

    async fn disk<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, super::HookError>> + Send,
    ) -> Result<T, Error> {
        let late = |_| Error::Deadline { what: "the disk server" };
        timeout(ASK_DEADLINE, call).await.map_err(late)?.map_err(|source| Error::Disk { what, source })
    }

    /// After RELINQUISH: listens on the stream, while there is one, and asks, for ever.
    pub(super) async fn until_decided(
        &self,
        attempt: (&RunId, Epoch),
        source: &mut Source,
        mut reply: Option<Reply<'_>>,
    ) -> (Decision, Vec<Action>) {
        let since = Instant::now();
        let mut ask_now = reply.is_none();
        loop {
            let heard = if ask_now { None } else { self.listen(&mut reply).await };
            ask_now = false;
            let answer = match heard {
                Some(decision) => Answer::Decided(decision),
                None => {
                    if since.elapsed() > self.limits.patience {
                        source.on(Event::OutOfPatience);
                    }
                    self.ask(attempt, source.on(Event::Silent)).await
                }
            };
            if let Answer::Decided(decision) = answer {
                let actions = source.on(Event::Answered(Answer::Decided(decision.clone())));
                return (decision, actions);
            }
        }
    }

    /// Waits for a decision on the stream for as long as an answer may take. A stream that ended says nothing any more.
    async fn listen(&self, reply: &mut Option<Reply<'_>>) -> Option<Decision> {
        let waiting = async {
            if let Some(pending) = reply {
                let said = pending.as_mut().await;
                *reply = None;
                if said.is_some() {
                    return said;
                }
            }
            std::future::pending().await
        };
        timeout(self.limits.answer, waiting).await.unwrap_or(None)
    }

    /// Carries out [`Action::Ask`]; a question that fails is a question without an answer.
    async fn ask(&self, (run, epoch): (&RunId, Epoch), actions: Vec<Action>) -> Answer {
        for action in actions {
            let Action::Ask { give_up } = action else { continue };
            let question = self.peer.handover(&self.vm, run, (epoch, give_up));
            match timeout(ASK_DEADLINE, question).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => tracing::warn!(vm = %self.vm, %epoch, error, "the target does not answer"),
                Err(_) => tracing::warn!(vm = %self.vm, %epoch, "the target does not answer in time"),
            }
        }
        Answer::Open
    }
}
