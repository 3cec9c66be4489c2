//! What is in the way at a site or between the two: the link, space, versions, and what a site cannot say.

use longhaul_model::ids::VmId;
use longhaul_wire::v1::{ObserveReply, VmFacts};

use super::{Problem, Seen};
use crate::site_check::facts;

/// What QEMU itself takes beside the guest's memory: translated code, device state, buffers. Measured 60 to 110 MiB
/// with a 128 MiB guest.
const QEMU_OVERHEAD_BYTES: u64 = 96 << 20;

/// Above this share of lost packets nothing could be planned. It is this high because it is measured at full rate: what
/// the measurement itself pushes out of the link's queue counts too (24 % seen on a link that loses 0.1 %).
const LOSS_PERCENT_MAX: f64 = 50.0;

/// Everything about the sites, from as many as have answered.
pub(super) fn problems(vms: &[VmId], source: &Seen, target: &Seen) -> Vec<Problem> {
    let mut problems: Vec<Problem> = of_link(source, target).into_iter().collect();
    problems.extend(of_space(vms, source, target).into_iter().map(Problem::new));
    problems.extend(unknown_space(target));
    problems.extend([source, target].into_iter().filter_map(of_qemu));
    problems.extend(of_versions(source, target).map(Problem::new));
    if let Some(why) = target.reply().and_then(|reply| reply.boot_failure.as_ref()) {
        problems.push(Problem::unknown(&target.site, "cannot say which boot files it has", why));
    }
    problems
}

fn of_link(source: &Seen, target: &Seen) -> Option<Problem> {
    let (from, to) = (&source.site, &target.site);
    let reply = source.reply()?;
    if let Some(why) = &reply.link_failure {
        return Some(Problem::unknown(from, &format!("cannot reach site {to}"), why));
    }
    let text = match &reply.link {
        None => format!("site {from} did not measure the link to site {to}"),
        Some(link) if link.bits_per_second == 0 => format!("the link from site {from} carries nothing"),
        Some(link) if link.loss_percent > LOSS_PERCENT_MAX => {
            format!("the link from site {from} loses {:.1} % of its packets", link.loss_percent)
        }
        Some(_) => return None,
    };
    Some(Problem::new(text))
}

fn of_space(vms: &[VmId], source: &Seen, target: &Seen) -> Vec<String> {
    let (Some(ours), Some(theirs)) = (source.reply(), target.reply()) else { return Vec::new() };
    let sum = |needs: fn(&VmFacts) -> u64| -> u64 {
        vms.iter().filter_map(|vm| facts::of(ours, vm)).map(needs).fold(0, u64::saturating_add)
    };
    // The whole virtual size: a guest that fills its disk a year later must not find that there is no room. What a kept copy
    // has of it is not free any more, and needs no other room: it is taken over, or thrown away.
    let copied = vms.iter().filter_map(|vm| facts::of(theirs, vm)?.copy.as_ref());
    let copied = copied.map(|copy| copy.present_bytes).fold(0, u64::saturating_add);
    let disk = sum(|facts| facts.disk_bytes).saturating_sub(copied);
    let memory = sum(|facts| facts.memory_bytes.saturating_add(QEMU_OVERHEAD_BYTES));
    let lack = |what: &str, (wanted, usable): (u64, u64), has: String| {
        let wanted = (wanted > usable).then_some(wanted >> 20)?;
        Some(format!("site {} has {has}: {wanted} MiB of {what} are needed", target.site))
    };
    let (free, reserve) = (theirs.disk_free_bytes >> 20, theirs.disk_reserve_bytes >> 20);
    let on_disk =
        format!("{free} MiB free for disks and keeps {reserve} MiB of that in reserve (disk_reserve)");
    let in_memory = format!("{} MiB of memory free", theirs.memory_free_bytes >> 20);
    let disk = lack("disk", (disk, facts::disk_usable_bytes(theirs)), on_disk);
    let memory = lack("memory", (memory, theirs.memory_free_bytes), in_memory);
    let disk = disk.filter(|_| theirs.disk_failure.is_none());
    let memory = memory.filter(|_| theirs.memory_failure.is_none());
    disk.into_iter().chain(memory).collect()
}

/// Space that the target cannot tell.
fn unknown_space(target: &Seen) -> Vec<Problem> {
    let Some(reply) = target.reply() else { return Vec::new() };
    let parts = [("disk", &reply.disk_failure), ("memory", &reply.memory_failure)];
    let unknown = |(what, why): (&str, &Option<_>)| {
        Some(Problem::unknown(&target.site, &format!("cannot say how much {what} is free"), why.as_ref()?))
    };
    parts.into_iter().filter_map(unknown).collect()
}

/// A QEMU that is not there, or that says nothing of use.
fn of_qemu(seen: &Seen) -> Option<Problem> {
    let (site, reply) = (&seen.site, seen.reply()?);
    if let Some(why) = &reply.qemu_failure {
        return Some(Problem::unknown(site, "cannot say what its QEMU is", why));
    }
    let unreadable = || format!("site {site} has no QEMU, or one whose version cannot be read");
    version(&reply.qemu_version).is_none().then(|| Problem::new(unreadable()))
}

/// A guest's state goes to the same QEMU or a newer one; towards an older one QEMU promises nothing.
fn of_versions(source: &Seen, target: &Seen) -> Option<String> {
    let (from, to) = (&source.site, &target.site);
    let said = |reply: &ObserveReply| Some((version(&reply.qemu_version)?, reply.qemu_version.clone()));
    let ((ours, new), (theirs, old)) = (said(source.reply()?)?, said(target.reply()?)?);
    (theirs < ours).then(|| format!("site {to} has QEMU {old}, older than QEMU {new} of site {from}"))
}

/// The first two numbers of a version text: patch releases migrate both ways.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', ' ', '(']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
