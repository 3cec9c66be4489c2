//! Moving a VM: the hand-over between this site's parts, at the source and at the target.
//!
//! The order of what clients see: the target's way to the guest is ready before the copy starts and parks packets; the
//! source's way turns to the tunnel while the guest stands still; the target lets packets through when the guest runs.

mod hooks;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use longhaul_dataplane::disk::Status;
use longhaul_dataplane::tunnel::{Class as Priority, Stream};
use longhaul_model::ids::{RunId, SiteId, VmId};
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use longhaul_wire::v1::handover_reply::Fact;
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::peer_client::PeerClient;
use tokio::io::AsyncWriteExt as _;
use tonic::transport::Channel;

use self::hooks::{SourceHooks, TargetHooks};
use crate::agent::Agent;
use crate::disks::{Begin, refused};
use crate::error::{Class, Error};
use crate::facts::{Attempt, Decision, Epoch, Refusal, Side};
use crate::handover::{
    Answer, Limits, Moved, Preparing, Progress, Received, Receiving, Sending, Sent, SourceDisk, SourceSide,
    Stayed, TargetSide, answer, prepare_incoming, receive, recover_source, send,
};
use crate::operations::{Asked, Task};
use crate::prefetch::{run_id, vm_id};
use crate::vm::{Machine, RunState};
use crate::vms::from_facts;

/// The tunnel's service under which a target takes a guest in.
pub(crate) const INCOMING: &str = "incoming/";

impl Agent {
    /// Source: hands a running VM over. Ends when it is decided where it runs.
    pub(crate) async fn move_vm(
        self: &Arc<Self>,
        wanted: &v1::MoveVm,
        asked: &Asked<'_>,
    ) -> Result<v1::VmMoved, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        let was_free = self.claim(&vm, &run, asked.controller).await?;
        let _alone = self.hand_over_alone(&vm).await;
        let moved = self.hand_over(wanted, asked, (&vm, &run)).await;
        if was_free && moved.as_ref().is_err_and(|error| !error.unknown) {
            // No earlier step holds the VM, so no undoing would let it go.
            self.facts.moving_release(&vm, &run).map_err(from_facts)?;
        }
        moved
    }

    /// Takes the VM for a run; whether it was free.
    async fn claim(&self, vm: &VmId, run: &RunId, controller: &str) -> Result<bool, Error> {
        let (vm, run, controller) = (vm.clone(), run.clone(), controller.to_owned());
        self.facts.apart(move |facts| facts.moving_take(&vm, &run, &controller)).await.map_err(from_facts)
    }

    async fn hand_over(
        self: &Arc<Self>,
        wanted: &v1::MoveVm,
        asked: &Asked<'_>,
        (vm, run): (&VmId, &RunId),
    ) -> Result<v1::VmMoved, Error> {
        self.tunnels.begin(&wanted.target, asked.run);
        if let Some(sent) = self.take_up(vm, run).await? {
            return self.moved(wanted, asked.run, sent, Some(asked.task)).await;
        }
        let spec = self.specs.get(&wanted.vm)?;
        Self::refuse_abroad(&spec, [self.site.id.as_str(), &wanted.target])?;
        let machine = self.machine(vm)?.ok_or_else(|| {
            Error::new(
                Class::Precondition,
                format!("vm {vm} does not run at site {}: start it, or move it where it runs", self.site.id),
            )
        })?;
        let id = vm.clone();
        let (held, target) = (run.clone(), wanted.target.clone());
        let begun = self.facts.apart(move |facts| facts.begin_attempt(&id, &held, &target)).await;
        let epoch = begun.map_err(from_facts)?;
        asked.task.phase("preparing the target");
        let stream = match self.prepare_target(wanted, asked, epoch).await {
            Ok(stream) => stream,
            Err(error) => {
                let id = vm.clone();
                let abandoned = self
                    .facts
                    .apart(move |facts| facts.abandon(&id, epoch, "the target was not ready"))
                    .await;
                abandoned.map_err(from_facts)?;
                return Err(error);
            }
        };
        let one_way = self.tunnels.rtt(&wanted.target).unwrap_or_default() / 2;
        let limits =
            Limits { one_way, ..Limits::for_pause(Duration::from_millis(wanted.max_pause_ms.max(1))) };
        let side = self.source_side(&spec, Some(machine), epoch, &wanted.target, limits);
        let task = asked.task.clone();
        let progress = Arc::new(move |progress: Progress| task.progress(on_the_wire(progress)));
        let sending = Sending { side, run: run.clone(), epoch, progress };
        let sent = tokio::select! {
            sent = send(&sending, stream) => sent,
            // Dropping the hand-over is like the agent's death, so it is taken up like after one: what was not promised is
            // taken back, what was promised is seen through.
            _ = asked.task.cancelled() => {
                let sent = recover_source(&sending.side).await.map(|sent| stopped(sent, epoch));
                if matches!(sent, Ok(Sent::Stayed(_))) {
                    self.call_off(wanted).await;
                }
                sent
            }
        };
        let sent = sent.map_err(|error| self.undecided(&error)).inspect_err(|error| {
            if error.unknown {
                // Whether or not anybody asks again: a guest must not stand still.
                self.recover_source(vm.clone());
            }
        });
        self.moved(wanted, asked.run, sent?, Some(asked.task)).await
    }

    /// Brings to its end what was left of the VM's last attempt, by an earlier process of this agent or by an operation that
    /// failed on the way: a guest that stands still cannot be moved. The outcome, if it is this run's and the VM moved.
    async fn take_up(self: &Arc<Self>, vm: &VmId, run: &RunId) -> Result<Option<Sent>, Error> {
        let Some(attempt) = self.latest(vm).await?.filter(|attempt| attempt.side == Side::Source) else {
            return Ok(None);
        };
        let ours = attempt.run == *run;
        let sent = self.see_through(vm, &attempt, ours).await;
        let sent = sent.map_err(|error| match attempt.relinquished {
            Some(_) => error.after_effects(),
            None => error,
        })?;
        // A guest that stayed is moved again; one that moved is not.
        Ok(sent.filter(|sent| ours && matches!(sent, Sent::Moved(_))))
    }

    async fn see_through(
        self: &Arc<Self>,
        vm: &VmId,
        attempt: &Attempt,
        ours: bool,
    ) -> Result<Option<Sent>, Error> {
        let state = match self.machine(vm)? {
            Some(machine) => machine.state().await.map_err(|error| Error::internal("asking QEMU", &error))?,
            None => None,
        };
        // Letting the guest go on is the last thing that is done after a NACK. What another run gave up before its promise
        // was seen through when that run's operation ended, and to do it again would undo dirty rounds of this run.
        let nothing_open =
            matches!(attempt.decision, Some(Decision::Nack { .. })) || (attempt.abandoned && !ours);
        let ended = nothing_open && state == Some(RunState::Running);
        if ended || (!ours && state.is_none()) {
            return Ok(None);
        }
        let side = self.source_of(vm, attempt).await?;
        recover_source(&side).await.map_err(|error| self.undecided(&error))
    }

    async fn latest(&self, vm: &VmId) -> Result<Option<Attempt>, Error> {
        let vm = vm.clone();
        self.facts.apart(move |facts| facts.latest_attempt(&vm)).await.map_err(from_facts)
    }

    async fn prepare_target(
        &self,
        wanted: &v1::MoveVm,
        asked: &Asked<'_>,
        epoch: Epoch,
    ) -> Result<Stream, Error> {
        let origin = counted(wanted, &self.disk_status(&vm_id(&wanted.vm)?).await?, &self.site.id)?;
        let request = v1::PrepareIncomingRequest {
            origin,
            vm: wanted.vm.clone(),
            run: asked.run.to_owned(),
            epoch: epoch.0,
            controller: asked.controller.to_owned(),
        };
        self.peers
            .ask(&wanted.target, |mut peer| async move { peer.prepare_incoming(request).await })
            .await?;
        self.open_way(wanted).await
    }

    async fn open_way(&self, wanted: &v1::MoveVm) -> Result<Stream, Error> {
        let service = format!("{INCOMING}{}", wanted.vm);
        // Not the class of the hand-over: memory is bulk, and client packets of VMs that moved before must pass it.
        self.tunnels.open(&wanted.target, &service, Priority::Dirty).await
    }

    /// Lets the target hear the end of a stream, after which it clears away what it prepared: of one that was dropped before its
    /// first byte went out it never heard. Only for a VM that stayed: what comes of it is a NACK.
    async fn call_off(&self, wanted: &v1::MoveVm) {
        let ended = async {
            let mut stream = self.open_way(wanted).await?;
            stream.shutdown().await.map_err(|error| Error::internal("ending a stream", &error))
        };
        if let Err(error) = ended.await {
            tracing::warn!(vm = wanted.vm, %error, "the target was not told that no guest comes");
        }
    }

    async fn source_of(self: &Arc<Self>, vm: &VmId, attempt: &Attempt) -> Result<SourceSide, Error> {
        let spec = self.specs.get(vm.as_str())?;
        let target = attempt.peer.as_deref().ok_or_else(|| {
            let said =
                format!("vm {vm}: the attempt of epoch {} did not go out from this site", attempt.epoch);
            Error::new(Class::Precondition, said)
        })?;
        let machine = self.machine(vm)?;
        let limits = Limits::for_pause(Duration::from_millis(300));
        Ok(self.source_side(&spec, machine, attempt.epoch, target, limits))
    }

    fn source_side(
        self: &Arc<Self>,
        spec: &Vm,
        machine: Option<Machine>,
        epoch: Epoch,
        target: &str,
        limits: Limits,
    ) -> SourceSide {
        let here =
            SourceHooks { agent: Arc::clone(self), spec: spec.clone(), epoch, target: target.to_owned() };
        let here = Arc::new(here);
        SourceSide {
            vm: spec.id.clone(),
            machine,
            facts: self.facts.clone(),
            disk: Arc::clone(&here) as Arc<dyn SourceDisk>,
            peer: here,
            limits,
            faults: self.options.faults.clone(),
            breaks: self.options.breaks.clone(),
        }
    }

    /// An end that could not be brought about: fatal ones stop the agent, and recovery goes on in the background with the
    /// others.
    fn undecided(&self, error: &crate::handover::Error) -> Error {
        let unknown = Error::unknown(Class::Internal, error.chain());
        if error.is_fatal() {
            self.fail(&unknown);
        }
        match error {
            crate::handover::Error::Crashed { .. } => Error::new(Class::Permanent, error.chain()),
            _ => unknown,
        }
    }

    /// What became of a hand-over. Without a task the target is asked how it stands once, with one for as long as the task is not
    /// asked to stop.
    async fn moved(
        &self,
        wanted: &v1::MoveVm,
        run: &str,
        sent: Sent,
        task: Option<&Task>,
    ) -> Result<v1::VmMoved, Error> {
        match sent {
            Sent::Moved(moved) => {
                let spec = self.specs.get(&wanted.vm).map_err(Error::after_effects)?;
                self.send_after(&spec, &wanted.target).await.map_err(Error::after_effects)?;
                // The guest has moved, whatever comes of the question.
                let there = self.at_target(&spec, &wanted.target, task).await;
                let there = there.map_err(Error::after_effects)?;
                Ok(self.describe_move(&moved, (&wanted.target, run), &there))
            }
            Sent::Stayed(stayed) => {
                let Refusal { class, reason } = stayed.why;
                Err(Error::new(class, format!("vm {} stayed at site {}: {reason}", wanted.vm, self.site.id)))
            }
        }
    }

    fn describe_move(
        &self,
        moved: &Moved,
        (target, run): (&str, &str),
        there: &v1::HandoverReply,
    ) -> v1::VmMoved {
        let wire = v1::RecordKinds { kinds: self.tunnels.carried(target, run).kinds };
        let promise = &moved.promise;
        v1::VmMoved {
            epoch: moved.epoch.0,
            state_hash: promise.state.hash.clone(),
            state_bytes: promise.state.bytes,
            predicted_pause_ms: promise.predicted_pause_ms,
            paused_us: moved.runs_at_unix_us.saturating_sub(promise.stopped_at_unix_us),
            marked_absent_bytes: promise.marked_absent_bytes,
            absent_bytes: there.absent_bytes,
            allocated_bytes: there.allocated_bytes,
            runs_at_unix_ms: moved.runs_at_unix_us / 1000,
            wire: Some(wire),
            memory_lost: there.memory_lost,
        }
    }

    /// Whether the guest lives on at the target, and what its disk lacked when it began to run there.
    async fn at_target(
        &self,
        spec: &Vm,
        target: &str,
        task: Option<&Task>,
    ) -> Result<v1::HandoverReply, Error> {
        let attempt = self.latest(&spec.id).await?;
        let attempt = attempt.ok_or_else(|| Error::new(Class::Internal, "a hand-over without an attempt"))?;
        let request = v1::HandoverRequest {
            vm: spec.id.to_string(),
            run: attempt.run.to_string(),
            epoch: attempt.epoch.0,
            give_up: false,
        };
        let question = |mut peer: PeerClient<Channel>, request: v1::HandoverRequest| async move {
            peer.handover(request).await
        };
        let Some(task) = task else {
            return self.peers.ask(target, |peer| question(peer, request)).await;
        };
        task.phase("asking the target how the guest is");
        self.peers.insist(task, (target, request), question).await
    }

    /// Whether a move of this run has happened, from the facts of both sides.
    pub(crate) async fn probe_move(
        self: &Arc<Self>,
        wanted: &v1::MoveVm,
        run: &str,
    ) -> Result<Option<Kind>, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(run)?);
        if self.facts.vm(&vm).map_err(from_facts)?.is_some_and(|row| row.is_owner()) {
            return Ok(None);
        }
        let _alone = self.hand_over_alone(&vm).await;
        match self.take_up(&vm, &run).await? {
            Some(sent) => {
                let moved = self.moved(wanted, run.as_str(), sent, None).await;
                moved.map(|moved| Some(Kind::VmMoved(moved)))
            }
            None => Ok(None),
        }
    }

    /// Target: makes QEMU, tap and disk ready for a guest.
    pub(crate) async fn prepare_incoming(
        self: &Arc<Self>,
        source: &str,
        request: &v1::PrepareIncomingRequest,
    ) -> Result<(), Error> {
        let (vm, run, epoch) = (vm_id(&request.vm)?, run_id(&request.run)?, Epoch(request.epoch));
        let _alone = self.hand_over_alone(&vm).await;
        // Before anything is touched: what is here may be a VM of this site's own, or a later attempt's.
        let (id, of) = (vm.clone(), run.clone());
        self.facts.apart(move |facts| facts.expects(&id, &of, epoch)).await.map_err(from_facts)?;
        let was_free = self.claim(&vm, &run, &request.controller).await?;
        let spec = self.specification(&request.vm, source).await?;
        let ready = self.make_ready(source, &spec, (&run, epoch), request.origin).await;
        if ready.is_err() {
            // No stream will come that could be refused, so nobody else clears this away.
            let cleared = self.clear_edge(&spec, source).await;
            if was_free {
                self.facts.moving_release(&vm, &run).map_err(from_facts)?;
            }
            cleared?;
        }
        ready
    }

    async fn make_ready(
        self: &Arc<Self>,
        source: &str,
        spec: &Vm,
        (run, epoch): (&RunId, Epoch),
        origin: u64,
    ) -> Result<(), Error> {
        let mut disk = self.disks.open(spec, &Begin::Absent { source }).await?;
        let status = disk.status().await.map_err(refused("asking the disk server"))?;
        refuse_other_map(spec, source, &status, origin)?;
        disk.grant(epoch.0).await.map_err(refused("granting the disk"))?;
        let launch = self.launch(spec, epoch).await?;
        self.expect(spec, source).await?;
        let preparing = Preparing {
            run: run.clone(),
            source: source.to_owned(),
            launch,
            facts: self.facts.clone(),
            faults: self.options.faults.clone(),
        };
        let prepared = prepare_incoming(&preparing).await;
        let machine = prepared.map_err(|error| Error::new(error.class(), error.chain()))?;
        self.remember(&spec.id, machine);
        Ok(())
    }

    /// Target: takes a guest in from the tunnel.
    pub(crate) async fn receive_vm(self: Arc<Self>, vm: &str, stream: Stream) {
        if let Err(error) = self.receive(vm, stream).await {
            tracing::warn!(vm, %error, "a guest was not taken in");
        }
    }

    async fn receive(self: &Arc<Self>, vm: &str, stream: Stream) -> Result<(), Error> {
        let vm = vm_id(vm)?;
        let spec = self.specs.get(vm.as_str())?;
        let attempt = self
            .latest(&vm)
            .await?
            .filter(|attempt| attempt.side == Side::Target && attempt.decision.is_none());
        let attempt = attempt.ok_or_else(|| Error::new(Class::Precondition, "nothing was prepared"))?;
        let side = self.target_side(&spec)?;
        let epoch = attempt.epoch;
        let receiving = Receiving { side, run: attempt.run, epoch };
        let received = receive(&receiving, stream).await;
        let received = self.received((&spec, epoch), received).await;
        if received.is_err() {
            // It may have been decided that the guest runs here: then it has to.
            self.recover_target(vm, epoch);
        }
        received
    }

    fn target_side(self: &Arc<Self>, spec: &Vm) -> Result<TargetSide, Error> {
        Ok(TargetSide {
            vm: spec.id.clone(),
            machine: self.machine(&spec.id)?,
            facts: self.facts.clone(),
            disk: Arc::new(TargetHooks { agent: Arc::clone(self), spec: spec.clone() }),
            faults: self.options.faults.clone(),
            breaks: self.options.breaks.clone(),
        })
    }

    async fn received(
        &self,
        (spec, epoch): (&Vm, Epoch),
        received: Result<Received, crate::handover::Error>,
    ) -> Result<(), Error> {
        let received = received.map_err(|error| self.undecided(&error))?;
        tracing::info!(vm = %spec.id, ?received, "a hand-over ended at the target");
        match received {
            Received::Runs { .. } | Received::Lost { .. } => {
                self.edge.release(spec.nic.address).await;
                Ok(())
            }
            Received::Refused { .. } => self.turn_back(spec, epoch).await,
        }
    }

    /// Target: what was made ready for a guest that does not come goes away; the copy of its disk stays for another try. If
    /// the next attempt has begun, all of that is its own already.
    async fn turn_back(&self, spec: &Vm, epoch: Epoch) -> Result<(), Error> {
        let _alone = self.hand_over_alone(&spec.id).await;
        let latest = self.latest(&spec.id).await?.filter(|attempt| attempt.epoch == epoch);
        let Some(source) = latest.and_then(|attempt| attempt.peer) else { return Ok(()) };
        self.clear_edge(spec, &source).await
    }

    /// Target: an attempt that was prepared and is not decided never runs here.
    pub(crate) async fn refuse_prepared(&self, vm: &VmId, run: &RunId) -> Result<(), Error> {
        let open = |attempt: &Attempt| attempt.side == Side::Target && attempt.decision.is_none();
        let Some(attempt) = self.latest(vm).await?.filter(open) else { return Ok(()) };
        let nack = Decision::Nack(Refusal::transient("the target's copy of the disk was removed"));
        let (vm, run) = (vm.clone(), run.clone());
        let decided = self.facts.apart(move |facts| facts.decide(&vm, &run, attempt.epoch, &nack)).await;
        decided.map(drop).map_err(from_facts)
    }

    /// Target: what is durable about an epoch.
    pub(crate) async fn handover_fact(
        &self,
        request: &v1::HandoverRequest,
    ) -> Result<v1::HandoverReply, Error> {
        let (vm, run, epoch) = (vm_id(&request.vm)?, run_id(&request.run)?, Epoch(request.epoch));
        let answered = answer(&self.facts, &vm, &run, (epoch, request.give_up)).await.map_err(from_facts)?;
        let mut reply = v1::HandoverReply::default();
        match answered {
            Answer::Open => reply.set_fact(Fact::Open),
            Answer::Decided(Decision::Run { runs_at_unix_us }) => {
                reply.set_fact(Fact::Run);
                reply.runs_at_unix_us = runs_at_unix_us;
                reply.memory_lost = self.machine(&vm)?.is_none() && self.has_crashed(&vm);
            }
            Answer::Decided(Decision::Nack(Refusal { class, reason })) => {
                reply.set_fact(Fact::Nack);
                reply.nack_reason = reason;
                reply.nack_class = class.as_str().to_owned();
            }
        }
        let fill = self.noted_fill(&vm);
        reply.allocated_bytes = fill.allocated_bytes;
        reply.absent_bytes =
            fill.allocated_bytes.map(|allocated| allocated.saturating_sub(fill.present_bytes));
        Ok(reply)
    }
}

/// How a move ended that was asked to stop: one that was taken back says why.
fn stopped(sent: Option<Sent>, epoch: Epoch) -> Sent {
    let epoch = match sent {
        Some(Sent::Moved(moved)) => return Sent::Moved(moved),
        Some(Sent::Stayed(stayed)) => stayed.epoch,
        None => epoch,
    };
    Sent::Stayed(Stayed { epoch, why: Refusal::new(Class::Cancelled, "the move was asked to stop") })
}

fn on_the_wire(progress: Progress) -> v1::Progress {
    v1::Progress {
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        bytes_per_second: progress.bytes_per_second,
        phase: progress.phase.to_owned(),
    }
}
/// The dirty map that gives the last round. What the guest wrote is nowhere else than here where none runs, and where a part of the
/// disk is at another site still.
fn counted(wanted: &v1::MoveVm, status: &Status, here: &SiteId) -> Result<u64, Error> {
    let (vm, target) = (&wanted.vm, &wanted.target);
    let message = match (status.complete, status.origin) {
        (true, Some(origin)) => return Ok(origin),
        (false, _) => format!(
            "a part of the disk of vm {vm} is still at the site that it came from: let a storage.settle step at site {here} end \
             first"
        ),
        (true, None) => format!(
            "site {target} has no copy of the disk of vm {vm} that site {here} counts for: run a storage.prefetch step to \
             {target} before the move"
        ),
    };
    Err(Error::new(Class::Precondition, message))
}

/// What was written between the end of one dirty map and the begin of the next is counted by neither: a copy that was fetched
/// under another map than the one that gives the last round would be stale where it says that it is present.
fn refuse_other_map(spec: &Vm, source: &str, status: &Status, origin: u64) -> Result<(), Error> {
    if status.fetched_from.is_none_or(|of| of == origin) {
        return Ok(());
    }
    let message = format!(
        "what is here of the disk of vm {} was copied before site {source} began to count its writes anew: run a \
         storage.prefetch step before the move",
        spec.id
    );
    Err(Error::new(Class::Precondition, message))
}
