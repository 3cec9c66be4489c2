//! Everything that can be in the way of a move, found by looking. Pure.

use longhaul_model::ids::VmId;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::{ObserveReply, VmFacts};

use crate::site_check::facts;

/// What QEMU itself takes beside the guest's memory: translated code, device state, buffers. Measured 60 to 110 MiB
/// with a 128 MiB guest.
const QEMU_OVERHEAD_BYTES: u64 = 96 << 20;

/// Above this share of lost packets nothing could be planned. It is this high because it is measured at full rate: what
/// the measurement itself pushes out of the link's queue counts too (24 % seen on a link that loses 0.1 %).
const LOSS_PERCENT_MAX: f64 = 50.0;

/// States in which a site holds a VM of that name that is not ours to replace.
const HELD: [&str; 5] = ["running", "paused", "incoming", "crashed", "moving"];

/// Says everything that is wrong as one error.
///
/// # Errors
/// `conflict` when all there is are other runs that move the VMs, else `precondition`.
pub(super) fn refuse(vms: &[VmId], source: &ObserveReply, target: &ObserveReply) -> Result<(), Error> {
    let moving: Vec<String> = vms.iter().filter_map(|vm| moving(vm, source, target)).collect();
    let mut problems: Vec<String> = vms.iter().flat_map(|vm| of_vm(vm, source, target)).collect();
    problems.extend(of_link(source));
    problems.extend(of_space(vms, source, target));
    problems.extend(of_versions(source, target));
    let class = if problems.is_empty() { ErrorClass::Conflict } else { ErrorClass::Precondition };
    problems.extend(moving);
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::new(class, one.clone())),
        many => Err(Error::new(class, format!("{} problems:\n- {}", many.len(), many.join("\n- ")))),
    }
}

fn moving(vm: &VmId, source: &ObserveReply, target: &ObserveReply) -> Option<String> {
    let (site, facts) = [source, target]
        .into_iter()
        .filter_map(|reply| Some((&reply.site, facts::of(reply, vm)?)))
        .find(|(_, facts)| !facts.moving_run.is_empty())?;
    let VmFacts { moving_run, moving_controller, .. } = facts;
    Some(format!("{vm} is being moved by run {moving_run} of {moving_controller} (site {site} says so)"))
}

fn of_vm(vm: &VmId, source: &ObserveReply, target: &ObserveReply) -> Vec<String> {
    let (from, to) = (&source.site, &target.site);
    let Some(here) = facts::of(source, vm).filter(|facts| facts.known) else {
        return vec![format!("{vm} is not known at site {from}")];
    };
    let mut problems = Vec::new();
    if here.state != "running" {
        problems.push(format!("{vm} is {} at site {from}: it has to run there to be moved", here.state));
    }
    if !here.owner {
        problems.push(format!("site {from} does not own {vm} (epoch {})", here.epoch));
    }
    if let Some(there) = facts::of(target, vm).filter(|facts| facts.known) {
        if there.owner || HELD.contains(&there.state.as_str()) {
            problems.push(format!("site {to} has a VM named {vm} already, {}", there.state));
        }
        if there.epoch > here.epoch {
            let (ours, theirs) = (here.epoch, there.epoch);
            problems.push(format!("site {to} knows epoch {theirs} of {vm}, site {from} only {ours}"));
        }
    }
    problems.extend(of_machine(vm, here, target));
    problems
}

/// What the VM is made of and the target does not have.
fn of_machine(vm: &VmId, here: &VmFacts, target: &ObserveReply) -> Vec<String> {
    let wanted = [
        ("machine type", &here.machine_type, &target.machine_types),
        ("CPU model", &here.cpu_model, &target.cpu_models),
        ("kernel", &here.kernel_digest, &target.kernel_digests),
        ("initrd", &here.initrd_digest, &target.kernel_digests),
    ];
    let missing = wanted.into_iter().filter(|(_, wanted, there)| !there.contains(wanted));
    missing
        .map(|(what, wanted, _)| format!("site {} lacks the {what} of {vm}: {wanted}", target.site))
        .collect()
}

fn of_link(source: &ObserveReply) -> Option<String> {
    let from = &source.site;
    match &source.link {
        None => Some(format!("site {from} cannot reach the target")),
        Some(link) if link.bits_per_second == 0 => Some(format!("the link from site {from} carries nothing")),
        Some(link) if link.loss_percent > LOSS_PERCENT_MAX => {
            Some(format!("the link from site {from} loses {:.1} % of its packets", link.loss_percent))
        }
        Some(_) => None,
    }
}

fn of_space(vms: &[VmId], source: &ObserveReply, target: &ObserveReply) -> Vec<String> {
    let sum = |needs: fn(&VmFacts) -> u64| -> u64 {
        vms.iter().filter_map(|vm| facts::of(source, vm)).map(needs).fold(0, u64::saturating_add)
    };
    // The whole virtual size: a guest that fills its disk a year later must not find that there is no room.
    let disk = sum(|facts| facts.disk_bytes);
    let memory = sum(|facts| facts.memory_bytes.saturating_add(QEMU_OVERHEAD_BYTES));
    let lack = |what: &str, (wanted, usable): (u64, u64), has: String| {
        let wanted = (wanted > usable).then_some(wanted >> 20)?;
        Some(format!("site {} has {has}: {wanted} MiB of {what} are needed", target.site))
    };
    let (free, reserve) = (target.disk_free_bytes >> 20, target.disk_reserve_bytes >> 20);
    let on_disk =
        format!("{free} MiB free for disks and keeps {reserve} MiB of that in reserve (disk_reserve)");
    let in_memory = format!("{} MiB of memory free", target.memory_free_bytes >> 20);
    let disk = lack("disk", (disk, facts::disk_usable_bytes(target)), on_disk);
    disk.into_iter().chain(lack("memory", (memory, target.memory_free_bytes), in_memory)).collect()
}

/// A guest's state goes to the same QEMU or a newer one; towards an older one QEMU promises nothing.
fn of_versions(source: &ObserveReply, target: &ObserveReply) -> Option<String> {
    let (ours, theirs) = (version(&source.qemu_version), version(&target.qemu_version));
    let (from, to) = (&source.site, &target.site);
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs >= ours => None,
        (Some(_), Some(_)) => {
            let (old, new) = (&target.qemu_version, &source.qemu_version);
            Some(format!("site {to} has QEMU {old}, older than QEMU {new} of site {from}"))
        }
        (None, _) => Some(format!("site {from} has no QEMU, or one whose version cannot be read")),
        (_, None) => Some(format!("site {to} has no QEMU, or one whose version cannot be read")),
    }
}

/// The first two numbers of a version text: patch releases migrate both ways.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', ' ', '(']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use longhaul_wire::v1::PeerLink;

    use super::*;

    fn vm() -> VmId {
        "vm-a".parse().unwrap()
    }

    fn facts() -> VmFacts {
        VmFacts {
            id: "vm-a".into(),
            known: true,
            state: "running".into(),
            epoch: 3,
            owner: true,
            memory_bytes: 128 << 20,
            disk_bytes: 256 << 20,
            allocated_bytes: 60 << 20,
            machine_type: "pc-q35-10.0".into(),
            cpu_model: "max".into(),
            kernel_digest: "k".into(),
            initrd_digest: "i".into(),
            ..Default::default()
        }
    }

    fn source() -> ObserveReply {
        ObserveReply {
            site: "a".into(),
            qemu_version: "10.0.2 (Debian)".into(),
            link: Some(PeerLink { rtt_us: 50_000, bits_per_second: 95_000_000, loss_percent: 0.1 }),
            vms: vec![facts()],
            ..Default::default()
        }
    }

    fn target() -> ObserveReply {
        ObserveReply {
            site: "b".into(),
            disk_free_bytes: 10 << 30,
            disk_reserve_bytes: 1 << 30,
            memory_free_bytes: 4 << 30,
            qemu_version: "10.0.2 (Debian)".into(),
            machine_types: vec!["pc-q35-10.0".into()],
            cpu_models: vec!["max".into()],
            kernel_digests: vec!["k".into(), "i".into()],
            vms: vec![VmFacts {
                id: "vm-a".into(),
                state: "gone".into(),
                known: true,
                epoch: 2,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// A VM that runs here, fits there and was there once before may move.
    #[test]
    fn nothing_wrong_is_no_error() {
        assert_eq!(refuse(&[vm()], &source(), &target()), Ok(()));
    }

    /// Everything that is wrong is said at once, each thing in a line of its own.
    #[test]
    fn all_problems_are_said_at_once() {
        let mut source = source();
        source.vms[0].state = "stopped".into();
        source.vms[0].owner = false;
        source.vms[0].moving_run = "run-7".into();
        source.vms[0].moving_controller = "east (pid 8)".into();
        source.link = None;
        let mut target = ObserveReply { site: "b".into(), qemu_version: "9.2.0".into(), ..target() };
        target.disk_free_bytes = 1 << 20;
        target.memory_free_bytes = 1 << 20;
        target.machine_types.clear();
        target.cpu_models.clear();
        target.kernel_digests.clear();
        target.vms[0].state = "running".into();
        target.vms[0].epoch = 4;
        let error = refuse(&[vm(), "vm-x".parse().unwrap()], &source, &target).unwrap_err();
        assert_eq!(error.class, ErrorClass::Precondition);
        insta::assert_snapshot!(error.message);
    }

    /// A VM that another run moves is a conflict that names the run and its controller.
    #[test]
    fn another_run_is_a_conflict() {
        let mut source = source();
        source.vms[0].moving_run = "run-7".into();
        source.vms[0].moving_controller = "east (pid 8)".into();
        let error = refuse(&[vm()], &source, &target()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Conflict);
        assert!(error.message.contains("run-7") && error.message.contains("east (pid 8)"), "{error}");
    }

    /// What a site keeps in reserve is not there for VMs, and a reserve larger than all that is free leaves nothing.
    #[test]
    fn a_reserve_is_not_for_vms() {
        for (reserve, fine) in [(256 << 20, true), ((256 << 20) + 1, false), (u64::MAX, false)] {
            let target = ObserveReply { disk_free_bytes: 512 << 20, disk_reserve_bytes: reserve, ..target() };
            assert_eq!(refuse(&[vm()], &source(), &target).is_ok(), fine, "{reserve}");
        }
    }

    /// Newer and equal QEMUs are fine at the target, older and unreadable ones are not.
    #[test]
    fn the_target_must_not_be_older() {
        for (theirs, fine) in [("10.0.1", true), ("10.1.0", true), ("9.2.4", false), ("", false)] {
            let target = ObserveReply { qemu_version: theirs.into(), ..target() };
            assert_eq!(refuse(&[vm()], &source(), &target).is_ok(), fine, "{theirs:?}");
        }
    }
}
