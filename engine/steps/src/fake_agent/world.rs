//! What the fake agents know, and how a test makes them misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use longhaul_wire::failure::Class;
use longhaul_wire::v1::operation::State;
use longhaul_wire::v1::probe_reply::Answer;
use longhaul_wire::v1::start_request::Operation as Request;
use longhaul_wire::v1::{
    Absent, CopyDiscarded, DiskSettled, Key, NamePrepared, NameRedirected, ObserveReply, Operation, Outputs,
    Partial, PeerLink, Prefetched, Progress, StartRequest, TunnelOpened, Undone, VmFacts, VmMoved, VmStarted,
    VmStopped, outputs,
};

/// How a site misbehaves as long as it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refuses a start.
    Refuse,
    /// Takes a start, and then fails without an effect.
    Fail,
    /// Takes a start, breaks off half done, and says that nobody knows.
    Half,
    /// Brings the effect about, and says that nobody knows.
    Lose,
    /// Fails to undo.
    KeepEffect,
}

/// An effect in the world.
#[derive(Debug, Clone)]
struct Effect {
    outputs: Outputs,
    whole: bool,
}

/// Where an effect is: site, then run, step and incarnation.
type Place = (String, String);

#[derive(Default)]
pub(crate) struct World {
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    operations: BTreeMap<String, (Place, Operation)>,
    effects: BTreeMap<Place, Effect>,
    faults: BTreeMap<String, Fault>,
    /// What each operation was told that it may send.
    bounds: BTreeMap<String, u64>,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// How many parts of effects there are, at all sites.
    pub(crate) fn parts(&self) -> usize {
        self.lock().effects.len()
    }

    /// How many effects there are; one at several sites counts once.
    pub(crate) fn effects(&self) -> usize {
        let facts = self.lock();
        let lasting = facts.effects.iter().filter(|(_, effect)| lasts(&effect.outputs));
        lasting.map(|((_, name), _)| name).collect::<BTreeSet<_>>().len()
    }

    /// Forgets everything, faults too.
    pub(crate) fn reset(&self) {
        *self.lock() = Facts::default();
    }

    /// Makes a site misbehave, or behave again.
    pub(crate) fn break_site(&self, site: &str, fault: Option<Fault>) {
        let mut facts = self.lock();
        facts.faults.remove(site);
        facts.faults.extend(fault.map(|fault| (site.to_owned(), fault)));
    }

    /// Begins an operation, finds it, or takes up one that broke off half done.
    pub(crate) fn start(&self, site: &str, request: &StartRequest) -> Result<String, tonic::Status> {
        let mut facts = self.lock();
        let (handle, place) =
            (format!("{site}/{}/{}/do", name(request), request.attempt), place(site, request));
        let half = facts.effects.get(&place).is_some_and(|effect| !effect.whole);
        if facts.operations.contains_key(&handle) && !half {
            return Ok(handle);
        }
        let fault = facts.faults.get(site).copied();
        if fault == Some(Fault::Refuse) {
            return Err(Class::Precondition.status("the fake was told to refuse"));
        }
        facts.operations.insert(handle.clone(), (place.clone(), running(&handle)));
        facts.bounds.insert(handle.clone(), request.bits_per_second_max);
        let outputs = outputs_of(site, request);
        let failure = Class::Permanent.failure("the fake was told to break off");
        let (effect, end) = match fault {
            None | Some(Fault::Refuse | Fault::KeepEffect) => (Some(true), None),
            Some(Fault::Fail) => (None, Some(State::Failed(failure))),
            Some(Fault::Half) => (Some(false), Some(State::Unknown(failure))),
            Some(Fault::Lose) => (Some(true), Some(State::Unknown(failure))),
        };
        facts.effects.extend(effect.map(|whole| (place, Effect { outputs, whole })));
        if let Some(state) = end {
            facts.end(&handle, state);
        }
        Ok(handle)
    }

    /// Takes the effect away.
    pub(crate) fn undo(&self, site: &str, request: &StartRequest) -> String {
        let mut facts = self.lock();
        let (handle, place) =
            (format!("{site}/{}/{}/undo", name(request), request.attempt), place(site, request));
        facts.operations.insert(handle.clone(), (place.clone(), running(&handle)));
        if facts.faults.get(site) == Some(&Fault::KeepEffect) {
            facts.end(&handle, State::Unknown(Class::Permanent.failure("the fake was told not to undo")));
            return handle;
        }
        facts.effects.remove(&place);
        facts.end(&handle, State::Done(Outputs { outputs: Some(outputs::Outputs::Undone(Undone {})) }));
        handle
    }

    /// The operation; one that runs is over at the next question, so that progress is seen once.
    pub(crate) fn get(&self, handle: &str) -> Option<Operation> {
        let mut facts = self.lock();
        let (place, seen) = facts.operations.get(handle).cloned()?;
        if matches!(seen.state, Some(State::Running(_))) {
            let outputs = facts.effects.get(&place).map(|effect| effect.outputs.clone());
            facts.end(handle, State::Done(outputs.unwrap_or_default()));
        }
        Some(seen)
    }

    /// Tells an operation what it may send.
    pub(crate) fn adjust(&self, handle: &str, bits_per_second_max: u64) {
        self.lock().bounds.insert(handle.to_owned(), bits_per_second_max);
    }

    /// What the operations were told that they may send.
    pub(crate) fn bounds(&self) -> Vec<u64> {
        self.lock().bounds.values().copied().collect()
    }

    /// Stops an operation that runs; nothing of it is left.
    pub(crate) fn cancel(&self, handle: &str) {
        let mut facts = self.lock();
        let Some((place, operation)) = facts.operations.get(handle).cloned() else { return };
        if matches!(operation.state, Some(State::Running(_))) {
            facts.effects.remove(&place);
            facts.end(handle, State::Failed(Class::Cancelled.failure("cancelled")));
        }
    }

    /// What is there of the effect of a request.
    pub(crate) fn probe(&self, site: &str, request: &StartRequest) -> Answer {
        match self.lock().effects.get(&place(site, request)) {
            Some(effect) if effect.whole => Answer::Done(effect.outputs.clone()),
            Some(_) => Answer::Partial(Partial {}),
            None => Answer::Absent(Absent {}),
        }
    }
}

impl Facts {
    fn end(&mut self, handle: &str, state: State) {
        let (_, operation) = self.operations.get_mut(handle).expect("the operation was begun");
        operation.version += 1;
        operation.state = Some(state);
    }
}

/// Whether anything of it stays: lanes are up before somebody asks for them, and after.
fn lasts(outputs: &Outputs) -> bool {
    !matches!(outputs.outputs, Some(outputs::Outputs::TunnelOpened(_)))
}

fn place(site: &str, request: &StartRequest) -> Place {
    (site.to_owned(), name(request))
}

fn name(request: &StartRequest) -> String {
    let Key { run, step, incarnation } = request.key.as_ref().expect("a controller sends a key");
    format!("{run}/{step}/{incarnation}")
}

fn running(handle: &str) -> Operation {
    let progress = Progress { bytes_done: 1, bytes_total: 2, bytes_per_second: 1, phase: "faking".into() };
    Operation { handle: handle.into(), version: 1, state: Some(State::Running(progress)) }
}

fn outputs_of(site: &str, request: &StartRequest) -> Outputs {
    let kind = match request.operation.as_ref().expect("a controller names an operation") {
        Request::StartVm(_) => outputs::Outputs::VmStarted(VmStarted { epoch: 1 }),
        Request::StopVm(_) => outputs::Outputs::VmStopped(VmStopped {}),
        Request::OpenTunnel(_) => outputs::Outputs::TunnelOpened(TunnelOpened::default()),
        Request::Prefetch(_) => outputs::Outputs::Prefetched(Prefetched { rounds: 2, ..Default::default() }),
        Request::PrepareName(asked) => outputs::Outputs::NamePrepared(NamePrepared {
            name: format!("{}.lab.test", asked.vm),
            ttl_seconds: asked.ttl_seconds,
            ..Default::default()
        }),
        Request::RedirectName(asked) => outputs::Outputs::NameRedirected(NameRedirected {
            name: format!("{}.lab.test", asked.vm),
            address: format!("address-at-{}", asked.site),
            serial: if site == "a" { 7 } else { 3 },
            ..Default::default()
        }),
        Request::MoveVm(_) => outputs::Outputs::VmMoved(VmMoved { epoch: 2, ..Default::default() }),
        Request::SettleDisk(_) => {
            outputs::Outputs::DiskSettled(DiskSettled { proof_ok: true, ..Default::default() })
        }
        Request::DiscardCopy(_) => outputs::Outputs::CopyDiscarded(CopyDiscarded::default()),
    };
    Outputs { outputs: Some(kind) }
}

/// A site at which everything is as it should be.
pub(crate) fn observed(site: &str, vms: &[String]) -> ObserveReply {
    let vm = |id: &String| VmFacts {
        id: id.clone(),
        known: site == "a",
        state: if site == "a" { "running" } else { "" }.into(),
        owner: site == "a",
        epoch: u64::from(site == "a"),
        memory_bytes: 128 << 20,
        disk_bytes: 256 << 20,
        allocated_bytes: 50 << 20,
        machine_type: "pc-q35-10.0".into(),
        cpu_model: "max".into(),
        kernel_digest: "k".into(),
        initrd_digest: "i".into(),
        ..Default::default()
    };
    ObserveReply {
        site: site.into(),
        disk_free_bytes: 8 << 30,
        disk_reserve_bytes: 1 << 30,
        memory_free_bytes: 2 << 30,
        qemu_version: "10.0.2".into(),
        machine_types: vec!["pc-q35-10.0".into()],
        cpu_models: vec!["max".into()],
        kernel_digests: vec!["k".into(), "i".into()],
        link: Some(PeerLink { rtt_us: 50_000, bits_per_second: 95_000_000, loss_percent: 0.1 }),
        vms: vms.iter().map(vm).collect(),
        ..Default::default()
    }
}
