//! Starting, stopping and listing the VMs of this site.

use std::sync::PoisonError;

use longhaul_dataplane::edge::TapSpec;
use longhaul_model::ids::VmId;
use longhaul_model::vm::Vm;
use longhaul_wire::v1;

use crate::agent::Agent;
use crate::disks::{Begin, refused};
use crate::error::{Class, Error};
use crate::facts::{Epoch, Role, VmFacts};
use crate::vm::{Attachments, Launch, Machine, RunState};

impl Agent {
    /// Starts a VM that this site owns or that is new. One that a disk error has stopped goes on; one that runs already is
    /// left alone.
    pub(crate) async fn start_vm(&self, wanted: &v1::StartVm) -> Result<v1::VmStarted, Error> {
        let spec = self.specs.get(&wanted.vm)?;
        self.refuse_while_moving(&spec.id)?;
        if let Some(machine) = self.machine(&spec.id)? {
            self.continue_after_disk_error(&spec.id).await?;
            return Ok(v1::VmStarted { epoch: machine.runtime().epoch.0 });
        }
        self.refuse_of_elsewhere(&spec)?;
        let id = spec.id.clone();
        let epoch = self.facts.apart(move |facts| facts.begin_start(&id)).await.map_err(from_facts)?;
        let mut disk = self.disks.open(&spec, &Begin::Complete).await?;
        disk.grant(epoch.0).await.map_err(refused("granting the disk"))?;
        let launch = self.launch(&spec, epoch).await?;
        self.serve_abroad(&spec).await?;
        self.route_here(&spec).await?;
        let machine =
            Machine::start(&launch).await.map_err(|error| Error::internal("starting QEMU", &error))?;
        self.remember(&spec.id, machine);
        self.names.ensure(&spec)?;
        Ok(v1::VmStarted { epoch: epoch.0 })
    }

    /// Switches a VM off. One that does not run is left alone.
    pub(crate) async fn stop_vm(&self, wanted: &v1::StopVm) -> Result<v1::VmStopped, Error> {
        let spec = self.specs.get(&wanted.vm)?;
        self.refuse_while_moving(&spec.id)?;
        let stopping = |error| Error::internal("stopping QEMU", &error);
        match self.machine(&spec.id)? {
            Some(machine) => machine.stop().await.map_err(stopping)?,
            None => Machine::forget_crash(&self.folder.run(&spec.id), &spec.id).map_err(stopping)?,
        }
        Ok(v1::VmStopped {})
    }

    /// A site may hold the file of a VM that never came: to start it would make a second owner.
    fn refuse_of_elsewhere(&self, spec: &Vm) -> Result<(), Error> {
        let Vm { id, home, .. } = spec;
        if *home != self.site.id && self.facts.vm(id).map_err(from_facts)?.is_none() {
            let message = format!(
                "vm {id} is at home at site {home} and was never at site {}: start it where it is",
                self.site.id
            );
            return Err(Error::new(Class::Precondition, message));
        }
        let image = self.folder.image(id);
        if !image.exists() {
            let message =
                format!("vm {id} has no disk at site {}: there is no {}", self.site.id, image.display());
            return Err(Error::new(Class::Precondition, message));
        }
        Ok(())
    }

    fn refuse_while_moving(&self, vm: &VmId) -> Result<(), Error> {
        let Some(moving) = self.facts.moving(vm).map_err(from_facts)? else { return Ok(()) };
        let message = format!(
            "run {} of {} is moving vm {vm}: wait for its end, or resume it if nobody drives it any more",
            moving.run, moving.controller
        );
        Err(Error::new(Class::Conflict, message))
    }

    /// The VM's QEMU, if one lives here. QEMU serves one QMP connection, so everybody gets a clone of the one handle.
    pub(crate) fn machine(&self, vm: &VmId) -> Result<Option<Machine>, Error> {
        let failed = |error| Error::internal("looking for QEMU", &error);
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = machines.get(vm)
            && known.is_alive().map_err(failed)?
        {
            return Ok(Some(known.clone()));
        }
        machines.remove(vm);
        let found = Machine::adopt(&self.folder.run(vm), vm).map_err(failed)?;
        if let Some(machine) = &found {
            machines.insert(vm.clone(), machine.clone());
        }
        Ok(found)
    }

    /// Remembers the handle of a QEMU that was just started.
    pub(crate) fn remember(&self, vm: &VmId, machine: Machine) {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).insert(vm.clone(), machine);
    }

    /// Everything QEMU needs to be started with at this site; its tap is there afterwards.
    pub(crate) async fn launch(&self, spec: &Vm, epoch: Epoch) -> Result<Launch, Error> {
        self.boot.check(self.site.id.as_str(), spec).await?;
        let tap = TapSpec {
            vm: spec.id.to_string(),
            address: spec.nic.address,
            guest_mac: parse_mac(&spec.nic.mac)?,
        };
        let tap =
            self.edge.tap_create(&tap).await.map_err(|error| Error::internal("making a tap", &error))?;
        let attachments = Attachments { disk: true, tap: Some(tap), boot: Some(self.folder.boot()) };
        Ok(Launch { vm: spec.clone(), epoch, paths: self.folder.run(&spec.id), attachments })
    }

    /// Sends the VM's packets to its tap here if its QEMU lives; with a dead one, after a restart of the host, its tap may be gone
    /// too, and a start makes both.
    pub(crate) async fn route_to_guest(&self, spec: &Vm) -> Result<(), Error> {
        match self.machine(&spec.id)? {
            Some(_) => self.route_here(spec).await,
            None => Ok(()),
        }
    }

    /// Sends the VM's packets to its tap here.
    async fn route_here(&self, spec: &Vm) -> Result<(), Error> {
        let tap = longhaul_dataplane::edge::tap_name(spec.id.as_str());
        let routed = self.edge.route_here(spec.nic.address, &tap).await;
        routed.map_err(|error| Error::internal("routing the vm's packets", &error))
    }

    /// Every VM this site has to do with.
    pub(crate) async fn list_vms(&self) -> Result<Vec<v1::Vm>, Error> {
        let mut rows = self.facts.apart(crate::facts::Facts::vms).await.map_err(from_facts)?;
        rows.extend(self.copies_alone(&rows)?);
        let mut vms = Vec::new();
        for row in rows {
            vms.push(self.describe(&row).await?);
        }
        Ok(vms)
    }

    async fn describe(&self, row: &VmFacts) -> Result<v1::Vm, Error> {
        let machine = self.machine(&row.vm)?;
        let moving = self.facts.moving(&row.vm).map_err(from_facts)?;
        let disk = match self.disks.ask(&row.vm).await {
            Ok(mut control) => control.status().await.ok(),
            Err(_) => None,
        };
        let paths = self.folder.run(&row.vm);
        let copy = self.copy_kept(&row.vm)?;
        let state = match self.state(row, machine.as_ref()).await {
            "gone" if copy.is_some() => "copy",
            state => state,
        };
        Ok(v1::Vm {
            id: row.vm.to_string(),
            state: state.to_owned(),
            epoch: row.highest.0,
            owner: row.is_owner(),
            moving_run: moving.map(|moving| moving.run.to_string()).unwrap_or_default(),
            qemu_pid: machine.map_or(0, |machine| machine.runtime().pid),
            qmp_socket: paths.observer().display().to_string(),
            disk_socket: self.folder.disk_control(&row.vm).display().to_string(),
            disk_bytes: disk.as_ref().map_or(0, |status| status.disk_bytes),
            present_bytes: disk.as_ref().map_or(0, |status| status.disk_bytes - status.fill.absent_bytes),
            copied_to: self.copied_to(&row.vm).await?,
            copy,
        })
    }

    /// Whether the VM's QEMU died here without being asked to. What cannot be read counts as no.
    pub(crate) fn has_crashed(&self, vm: &VmId) -> bool {
        Machine::has_crashed(&self.folder.run(vm), vm).unwrap_or_default()
    }

    /// What a VM is doing here, in the words of `Vm.state`.
    pub(crate) async fn state(&self, row: &VmFacts, machine: Option<&Machine>) -> &'static str {
        let running = match machine {
            Some(machine) => machine.state().await.ok().flatten(),
            None => None,
        };
        match (row.role, running) {
            (Role::Absent(_), None) => "gone",
            (Role::Incoming(_), _) => "incoming",
            (Role::Owner(_) | Role::Relinquished(_), Some(RunState::Running | RunState::FinishMigrate)) => {
                "running"
            }
            (Role::Owner(_), Some(RunState::Shutdown)) => "stopped",
            (Role::Owner(_), Some(RunState::Broken)) => "crashed",
            (Role::Owner(_), None) if self.has_crashed(&row.vm) => "crashed",
            (Role::Owner(_), None) => "stopped",
            (Role::Owner(_) | Role::Relinquished(_) | Role::Absent(_), _) => "paused",
        }
    }
}

/// A MAC address as the edge wants it.
pub(crate) fn parse_mac(text: &str) -> Result<[u8; 6], Error> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    bytes.ok_or_else(|| {
        Error::new(
            Class::Permanent,
            format!("nic.mac `{text}` is not six bytes in hex, as in 52:54:00:10:00:50"),
        )
    })
}

/// What a refusal by the facts means for an operation.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(crate) fn from_facts(error: crate::facts::Error) -> Error {
    Error::new(error.class(), crate::error::chain(&error))
}
