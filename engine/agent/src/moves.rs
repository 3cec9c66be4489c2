//! Moving a VM: the hand-over between this site's parts, at the source and at the target.
//!
//! The order of what clients see: the target's way to the guest is ready before the copy starts and parks packets; the
//! source's way turns to the tunnel while the guest stands still; the target lets packets through when the guest runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longhaul_dataplane::edge::Service;
use longhaul_dataplane::nbd::Span;
use longhaul_dataplane::tunnel::{Class as Priority, Stream};
use longhaul_model::ids::{RunId, VmId};
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use longhaul_wire::v1::handover_reply::Fact;
use longhaul_wire::v1::outputs::Outputs as Kind;

use crate::agent::Agent;
use crate::disks::{Begin, refused};
use crate::error::{Class, Error};
use crate::facts::{Attempt, Decision, Epoch, Role, Side};
use crate::handover::{
    Answer, Extent, Grant, HookError, Limits, Moved, PeerQuestions, Preparing, Progress, Received, Receiving,
    Sending, Sent, SourceDisk, SourceSide, Stayed, TargetDisk, TargetSide, answer, prepare_incoming, receive,
    recover_source, recover_target, send,
};
use crate::operations::Asked;
use crate::prefetch::{run_id, vm_id};
use crate::vm::Machine;
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
        let controller = asked.controller.to_owned();
        let (id, held) = (vm.clone(), run.clone());
        self.facts
            .apart(move |facts| facts.moving_take(&id, &held, &controller))
            .await
            .map_err(from_facts)?;
        let _alone = self.hand_over_alone(&vm).await;
        if let Some(sent) = self.take_up(&vm, &run).await? {
            return self.moved(wanted, sent).await;
        }
        let spec = self.specs.get(&wanted.vm)?;
        let machine = self.machine(&vm)?.ok_or_else(|| {
            Error::new(
                Class::Precondition,
                format!("vm {vm} does not run at site {}: start it, or move it where it runs", self.site.id),
            )
        })?;
        let id = vm.clone();
        let held = run.clone();
        let epoch =
            self.facts.apart(move |facts| facts.begin_attempt(&id, &held)).await.map_err(from_facts)?;
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
        let sending = Sending { side, run, epoch, progress };
        let sent = tokio::select! {
            sent = send(&sending, stream) => sent,
            // Dropping the hand-over is like the agent's death, so it is taken up like after one: what was not promised is
            // taken back, what was promised is seen through.
            _ = asked.task.cancelled() => {
                recover_source(&sending.side).await.map(|sent| sent.unwrap_or_else(|| stopped(epoch)))
            }
        };
        self.moved(wanted, sent.map_err(|error| self.undecided(&error))?).await
    }

    /// What an earlier process of this agent left of this run's move, brought to its end.
    async fn take_up(self: &Arc<Self>, vm: &VmId, run: &RunId) -> Result<Option<Sent>, Error> {
        let Some(attempt) = self.latest(vm).await? else { return Ok(None) };
        let open = attempt.side == Side::Source && attempt.run == *run && !attempt.abandoned;
        if !open || matches!(attempt.decision, Some(Decision::Nack { .. })) {
            return Ok(None);
        }
        let side = self.source_of(vm, &attempt).await?;
        let sent = recover_source(&side).await.map_err(|error| self.undecided(&error))?;
        // A guest that stayed is moved again; one that moved is not.
        Ok(sent.filter(|sent| matches!(sent, Sent::Moved(_))))
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
        let request = v1::PrepareIncomingRequest {
            vm: wanted.vm.clone(),
            run: asked.run.to_owned(),
            epoch: epoch.0,
            controller: asked.controller.to_owned(),
        };
        self.peers
            .ask(&wanted.target, |mut peer| async move { peer.prepare_incoming(request).await })
            .await?;
        let service = format!("{INCOMING}{}", wanted.vm);
        // Not the class of the hand-over: memory is bulk, and client packets of VMs that moved before must pass it.
        self.tunnels.open(&wanted.target, &service, Priority::Dirty).await
    }

    async fn source_of(self: &Arc<Self>, vm: &VmId, attempt: &Attempt) -> Result<SourceSide, Error> {
        let spec = self.specs.get(vm.as_str())?;
        let target = self.other_site()?;
        let machine = self.machine(vm)?;
        let limits = Limits::for_pause(Duration::from_millis(300));
        Ok(self.source_side(&spec, machine, attempt.epoch, &target, limits))
    }

    /// The peer of an attempt that is taken up. Two sites know each other here; with more, the attempt will name it.
    fn other_site(&self) -> Result<String, Error> {
        let mut names = self.peers.names();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.to_owned()),
            (None, _) => Err(Error::new(Class::Precondition, "this site has no peer")),
            (Some(_), Some(_)) => Err(Error::new(
                Class::Precondition,
                "this site has several peers and does not know which one the attempt went to",
            )),
        }
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

    /// An end that could not be brought about: fatal ones stop the agent, and recovery goes on with the others.
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

    async fn moved(&self, wanted: &v1::MoveVm, sent: Sent) -> Result<v1::VmMoved, Error> {
        match sent {
            Sent::Moved(moved) => {
                let spec = self.specs.get(&wanted.vm)?;
                let away = self.edge.route_away(spec.nic.address, &wanted.target).await;
                away.map_err(|error| Error::internal("sending packets after the vm", &error))?;
                Ok(self.describe_move(&spec, &moved, &wanted.target).await)
            }
            Sent::Stayed(stayed) => {
                let message = format!("vm {} stayed at site {}: {}", wanted.vm, self.site.id, stayed.reason);
                Err(Error::new(Class::Transient, message))
            }
        }
    }

    async fn describe_move(&self, spec: &Vm, moved: &Moved, target: &str) -> v1::VmMoved {
        let there = self.at_target(spec, target).await;
        let (wire, _) = self.tunnels.report(target);
        let promise = &moved.promise;
        v1::VmMoved {
            epoch: moved.epoch.0,
            state_hash: promise.state.hash.clone(),
            state_bytes: promise.state.bytes,
            predicted_pause_ms: promise.predicted_pause_ms,
            paused_us: moved.runs_at_unix_us.saturating_sub(promise.stopped_at_unix_us),
            marked_absent_bytes: promise.marked_absent_bytes,
            absent_bytes: there.as_ref().map_or(0, |reply| reply.absent_bytes),
            allocated_bytes: there.as_ref().map_or(0, |reply| reply.allocated_bytes),
            runs_at_unix_ms: moved.runs_at_unix_us / 1000,
            wire: Some(wire),
        }
    }

    /// What the target's disk lacked when the guest began to run there.
    async fn at_target(&self, spec: &Vm, target: &str) -> Option<v1::HandoverReply> {
        let attempt = self.latest(&spec.id).await.ok()??;
        let request = v1::HandoverRequest {
            vm: spec.id.to_string(),
            run: attempt.run.to_string(),
            epoch: attempt.epoch.0,
            give_up: false,
        };
        self.peers.ask(target, |mut peer| async move { peer.handover(request).await }).await.ok()
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
            Some(sent) => self.moved(wanted, sent).await.map(|moved| Some(Kind::VmMoved(moved))),
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
        let controller = request.controller.clone();
        let (id, held) = (vm.clone(), run.clone());
        self.facts
            .apart(move |facts| facts.moving_take(&id, &held, &controller))
            .await
            .map_err(from_facts)?;
        let spec = self.specification(&request.vm, source).await?;
        let mut disk = self.disks.open(&spec, &Begin::Absent { source }).await?;
        disk.grant(epoch.0).await.map_err(refused("granting the disk"))?;
        let launch = self.launch(&spec, epoch).await?;
        if spec.home != self.site.id {
            let service = crate::names::address_at(&spec, self.site.id.as_str())?;
            let served = Service { home: spec.nic.address, service, home_site: spec.home.to_string() };
            self.edge
                .serve(&served)
                .await
                .map_err(|error| Error::internal("serving the vm's address", &error))?;
        }
        self.edge.park(spec.nic.address);
        let preparing =
            Preparing { run, launch, facts: self.facts.clone(), faults: self.options.faults.clone() };
        let prepared = prepare_incoming(&preparing).await;
        let machine = prepared.map_err(|error| Error::new(Class::Transient, error.chain()))?;
        self.remember(&vm, machine);
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
        let receiving = Receiving { side, run: attempt.run, epoch: attempt.epoch };
        let received = receive(&receiving, stream).await;
        self.received(&spec, received).await
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
        spec: &Vm,
        received: Result<Received, crate::handover::Error>,
    ) -> Result<(), Error> {
        let received = received.map_err(|error| self.undecided(&error))?;
        tracing::info!(vm = %spec.id, ?received, "a hand-over ended at the target");
        match received {
            Received::Runs { .. } | Received::Lost { .. } => {
                self.edge.release(spec.nic.address).await;
                Ok(())
            }
            Received::Refused { .. } => self.turn_back(spec).await,
        }
    }

    /// Target: what was made ready for a guest that does not come goes away; the copy of its disk stays for another try.
    async fn turn_back(&self, spec: &Vm) -> Result<(), Error> {
        let edge = |error| Error::internal("clearing the edge", &error);
        self.edge.route_none(spec.nic.address).await.map_err(edge)?;
        self.edge.unserve(spec.nic.address).await.map_err(edge)?;
        self.edge.release(spec.nic.address).await;
        self.edge.tap_remove(spec.id.as_str()).await.map_err(edge)
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
            }
            Answer::Decided(Decision::Nack { reason }) => {
                reply.set_fact(Fact::Nack);
                reply.nack_reason = reason;
            }
        }
        let fill = self.noted_fill(&vm);
        reply.allocated_bytes = fill.allocated_bytes.unwrap_or_default();
        reply.absent_bytes = reply.allocated_bytes.saturating_sub(fill.present_bytes);
        Ok(reply)
    }

    /// Brings every hand-over that the last process left to its end, as far as that needs no peer; asks on in the background
    /// where it does.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), Error> {
        let rows = self.facts.apart(crate::facts::Facts::vms).await.map_err(from_facts)?;
        for row in rows {
            let Some(attempt) = self.latest(&row.vm).await? else { continue };
            match (attempt.side, row.role) {
                (Side::Target, _) => self.recover_target(&row.vm).await?,
                (Side::Source, Role::Owner(_) | Role::Relinquished(_)) => {
                    self.recover_source(row.vm, attempt);
                }
                (Side::Source, Role::Incoming(_) | Role::Absent(_)) => {}
            }
        }
        Ok(())
    }

    async fn recover_target(self: &Arc<Self>, vm: &VmId) -> Result<(), Error> {
        let spec = self.specs.get(vm.as_str())?;
        let side = self.target_side(&spec)?;
        match recover_target(&side).await {
            Ok(Some(received)) => self.received(&spec, Ok(received)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(self.undecided(&error)),
        }
    }

    /// In the background: after RELINQUISH it may take as long as the link is down. The operation of the move, taken up
    /// at the same time, waits for the same decision.
    fn recover_source(self: &Arc<Self>, vm: VmId, attempt: Attempt) {
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            let _alone = agent.hand_over_alone(&vm).await;
            let recovered = match agent.source_of(&vm, &attempt).await {
                Ok(side) => recover_source(&side).await.map_err(|error| agent.undecided(&error)),
                Err(error) => Err(error),
            };
            match recovered {
                Ok(sent) => tracing::info!(%vm, ?sent, "a hand-over of the last process was taken up"),
                Err(error) => {
                    tracing::error!(%vm, %error, "a hand-over of the last process could not be ended");
                }
            }
        });
    }
}

fn stopped(epoch: Epoch) -> Sent {
    Sent::Stayed(Stayed { epoch, reason: "the move was asked to stop".to_owned() })
}

fn on_the_wire(progress: Progress) -> v1::Progress {
    v1::Progress {
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        bytes_per_second: progress.bytes_per_second,
        phase: progress.phase.to_owned(),
    }
}

/// The source's parts in a hand-over.
struct SourceHooks {
    agent: Arc<Agent>,
    spec: Vm,
    epoch: Epoch,
    target: String,
}

#[async_trait]
impl SourceDisk for SourceHooks {
    async fn last_round(&self) -> Result<Vec<Extent>, HookError> {
        // The guest stands still: from here on its packets go to where it will run, and wait there.
        self.agent.edge.route_away(self.spec.nic.address, &self.target).await?;
        let mut disk = self.agent.disks.existing(&self.spec.id).await?;
        disk.freeze(self.epoch.0).await?;
        let round = disk.dirty_round(0).await?;
        Ok(round.extents.iter().map(|span| Extent { offset: span.offset, length: span.length }).collect())
    }

    async fn thaw(&self) -> Result<(), HookError> {
        self.resume(self.epoch).await
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        self.resume(grant.epoch).await
    }
}

impl SourceHooks {
    /// The guest goes on here: what was dirtied counts as dirty again, its disk takes writes, its packets come here.
    async fn resume(&self, epoch: Epoch) -> Result<(), HookError> {
        let mut disk = self.agent.disks.existing(&self.spec.id).await?;
        disk.thaw(epoch.0).await?;
        if disk.status().await?.origin.is_some() {
            disk.abort_rounds().await?;
        }
        self.agent.route_here(&self.spec).await?;
        Ok(())
    }
}

#[async_trait]
impl PeerQuestions for SourceHooks {
    async fn handover(
        &self,
        vm: &VmId,
        run: &RunId,
        (epoch, give_up): (Epoch, bool),
    ) -> Result<Answer, HookError> {
        let request =
            v1::HandoverRequest { vm: vm.to_string(), run: run.to_string(), epoch: epoch.0, give_up };
        let reply = self
            .agent
            .peers
            .ask(&self.target, |mut peer| async move { peer.handover(request).await })
            .await?;
        match reply.fact() {
            Fact::Open => Ok(Answer::Open),
            Fact::Run => Ok(Answer::Decided(Decision::Run { runs_at_unix_us: reply.runs_at_unix_us })),
            Fact::Nack => Ok(Answer::Decided(Decision::Nack { reason: reply.nack_reason })),
            Fact::Unspecified => Err("the target's answer is none".into()),
        }
    }
}

/// The target's parts in a hand-over.
struct TargetHooks {
    agent: Arc<Agent>,
    spec: Vm,
}

#[async_trait]
impl TargetDisk for TargetHooks {
    async fn mark_absent(&self, extents: &[Extent]) -> Result<(), HookError> {
        let spans = extents.iter().map(|extent| Span { offset: extent.offset, length: extent.length });
        let mut disk = self.agent.disks.existing(&self.spec.id).await?;
        disk.mark_absent(spans.collect()).await?;
        Ok(())
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        let mut disk = self.agent.disks.existing(&self.spec.id).await?;
        disk.grant(grant.epoch.0).await?;
        self.agent.note_fill(&self.spec.id, &disk.status().await?.fill);
        // Every answer of the guest finds its way from its first instruction on.
        self.agent.route_here(&self.spec).await?;
        Ok(())
    }
}
