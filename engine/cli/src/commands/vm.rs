//! `longhaul vm`: VMs as the sites' agents know them.

mod copies;

use std::time::Duration;

use futures_util::future::join_all;
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::Error;
use longhaul_steps::{Agents, CallError, wait_for_operation};
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{Key, Outputs, StartRequest, StartVm, StopVm, Vm};
use serde_json::{Value, json};

use crate::commands::{block_on, sites};
use crate::errors::{Explain as _, Failure, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

/// A guest's QEMU is up in a second or two; a machine under heavy load takes many times that.
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start a VM at a site that has its specification
    Start(OneVm),
    /// Power a VM off
    Stop(OneVm),
    /// List the VMs of one site, or of all
    List(List),
    /// Say at which site a VM runs
    Where(Where),
    /// List the copies of disks that are kept for a later run, and what they lack
    Copies(copies::Args),
    /// Throw a copy away that is kept at a site
    Discard(OneVm),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneVm {
    /// Id of the VM
    vm: VmId,
    /// The site
    #[arg(long, value_name = "ID")]
    site: SiteId,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The site [default: all of the inventory]
    #[arg(long, value_name = "ID")]
    site: Option<SiteId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// Id of the VM
    vm: VmId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command, settings: &Settings) -> Result<u8> {
    let agents = sites::agents(settings)?;
    block_on(async {
        match command {
            Command::Start(args) => {
                let operation = Operation::StartVm(StartVm { vm: args.vm.to_string() });
                carry_out(&agents, &args, operation, "start").await.map(|_| exit_code::OK)
            }
            Command::Stop(args) => {
                let operation = Operation::StopVm(StopVm { vm: args.vm.to_string() });
                carry_out(&agents, &args, operation, "stop").await.map(|_| exit_code::OK)
            }
            Command::List(args) => list(&agents, &args).await,
            Command::Where(args) => find(&agents, &args).await,
            Command::Copies(args) => copies::list(&agents, &args).await,
            Command::Discard(args) => copies::discard(&agents, &args).await,
        }
    })
}

/// Starts an operation under a key of its own and waits for its end: its outputs.
async fn carry_out(agents: &Agents, args: &OneVm, operation: Operation, verb: &str) -> Result<Outputs> {
    let key =
        Key { run: format!("vm-{}", uuid::Uuid::now_v7().simple()), step: verb.to_owned(), incarnation: 1 };
    let request = StartRequest {
        key: Some(key),
        attempt: 1,
        controller: sites::controller(),
        generation: 0,
        bits_per_second_max: 0,
        operation: Some(operation),
    };
    let ended = async {
        let handle = agents.start(&args.site, request).await?;
        wait_for_operation(agents, &args.site, &handle, DEADLINE).await
    };
    ended.await.doing(exit_code::FAILED, || format!("{verb} {} at site {}", args.vm, args.site))
}

async fn list(agents: &Agents, args: &List) -> Result<u8> {
    let sites = args.site.clone().map_or_else(|| agents.sites(), |site| vec![site]);
    let (vms, silent) = ask(agents, &sites).await;
    if args.json {
        output::json(&vms.iter().map(|(site, vm)| as_json(site, vm)).collect::<Vec<_>>());
    } else {
        let mut table = Table::new(["site", "vm", "state", "owner", "epoch", "present"]);
        for (site, vm) in &vms {
            let owner = if vm.owner { "yes" } else { "no" };
            table.row([
                site.to_string(),
                vm.id.clone(),
                vm.state.clone(),
                owner.to_owned(),
                vm.epoch.to_string(),
                present(vm),
            ]);
        }
        output::data(table);
    }
    answered(&silent)
}

async fn find(agents: &Agents, args: &Where) -> Result<u8> {
    let (vms, silent) = ask(agents, &agents.sites()).await;
    let of_name = vms.iter().filter(|(_, vm)| vm.id == args.vm.as_str());
    let here: Vec<_> = of_name.filter(|(_, vm)| vm.owner).collect();
    if args.json {
        output::json(&here.iter().map(|(site, vm)| as_json(site, vm)).collect::<Vec<_>>());
    } else {
        for (site, vm) in &here {
            output::data(format_args!("{site}  {}", vm.state));
        }
    }
    answered(&silent)?;
    match here.as_slice() {
        [_] => Ok(exit_code::OK),
        [] => Err(Failure::said(exit_code::CHECK_FAILED, format!("no site may run {}", args.vm))),
        many => {
            let message = format!("{} sites believe that they may run {}", many.len(), args.vm);
            Err(Failure::said(exit_code::CHECK_FAILED, message))
        }
    }
}

/// The VMs of the sites that answered, and why the others did not.
async fn ask(agents: &Agents, sites: &[SiteId]) -> (Vec<(SiteId, Vm)>, Vec<CallError>) {
    let mut vms = Vec::new();
    let mut silent = Vec::new();
    for (site, reply) in sites.iter().zip(join_all(sites.iter().map(|site| agents.list_vms(site))).await) {
        match reply {
            Ok(reply) => vms.extend(reply.vms.into_iter().map(|vm| (site.clone(), vm))),
            Err(error) => silent.push(error),
        }
    }
    (vms, silent)
}

/// A site that did not answer is not a site without VMs.
fn answered(silent: &[CallError]) -> Result<u8> {
    if silent.is_empty() {
        return Ok(exit_code::OK);
    }
    let said: Vec<String> = silent.iter().map(|error| Error::from(error.clone()).message).collect();
    Err(Failure::said(exit_code::FAILED, format!("not every site answered: {}", said.join("; "))))
}

fn present(vm: &Vm) -> String {
    match vm.disk_bytes {
        0 => "-".to_owned(),
        all => format!("{} %", vm.present_bytes.saturating_mul(100) / all),
    }
}

fn as_json(site: &SiteId, vm: &Vm) -> Value {
    json!({
        "site": site,
        "id": vm.id,
        "state": vm.state,
        "epoch": vm.epoch,
        "owner": vm.owner,
        "moving_run": vm.moving_run,
        "qemu_pid": vm.qemu_pid,
        "qmp_socket": vm.qmp_socket,
        "disk_socket": vm.disk_socket,
        "disk_bytes": vm.disk_bytes,
        "present_bytes": vm.present_bytes,
    })
}
