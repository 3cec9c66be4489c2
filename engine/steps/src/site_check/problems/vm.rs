//! What is in the way of one VM.

use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::ErrorClass;
use longhaul_wire::v1::{ObserveReply, VmFacts};

use super::{Problem, Seen};
use crate::site_check::facts;

/// States in which a site holds a VM of that name that is not ours to replace.
const HELD: [&str; 5] = ["running", "paused", "incoming", "crashed", "moving"];

/// What one site knows of the VM, and what else it said.
struct Known<'a> {
    site: &'a SiteId,
    reply: &'a ObserveReply,
    facts: Option<&'a VmFacts>,
}

/// Everything about the VM itself, from as many sites as have answered.
pub(super) fn problems(vm: &VmId, source: &Seen, target: &Seen) -> Vec<Problem> {
    let mut problems = Vec::new();
    let here = known(vm, source, &mut problems);
    let there = known(vm, target, &mut problems);
    if let Some(here) = &here {
        problems.extend(at_source(vm, here));
    }
    if let Some(there) = &there {
        problems.extend(at_target(vm, there));
    }
    if let (Some(here), Some(there)) = (&here, &there) {
        problems.extend(between(vm, here, there));
    }
    problems
}

/// The run that moves the VM already.
pub(super) fn moving(vm: &VmId, source: &Seen, target: &Seen) -> Option<Problem> {
    let (site, facts) = [source, target]
        .into_iter()
        .filter_map(|seen| Some((&seen.site, facts::of(seen.reply()?, vm)?)))
        .find(|(_, facts)| !facts.moving_run.is_empty())?;
    let VmFacts { moving_run, moving_controller, .. } = facts;
    let text =
        format!("{vm} is being moved by run {moving_run} of {moving_controller} (site {site} says so)");
    Some(Problem { class: ErrorClass::Conflict, text })
}

/// `None` if the site did not answer, or cannot say; then its reason is a problem.
fn known<'a>(vm: &VmId, seen: &'a Seen, problems: &mut Vec<Problem>) -> Option<Known<'a>> {
    let reply = seen.reply()?;
    let facts = facts::of(reply, vm);
    if let Some(why) = facts.and_then(|facts| facts.failure.as_ref()) {
        problems.push(Problem::unknown(&seen.site, &format!("cannot say how {vm} stands"), why));
        return None;
    }
    Some(Known { site: &seen.site, reply, facts: facts.filter(|facts| facts.known) })
}

fn at_source(vm: &VmId, here: &Known<'_>) -> Vec<Problem> {
    let from = here.site;
    let Some(facts) = here.facts else {
        return vec![Problem::new(format!("{vm} is not known at site {from}"))];
    };
    let mut problems = Vec::new();
    if facts.state != "running" {
        problems.push(format!("{vm} is {} at site {from}: it has to run there to be moved", facts.state));
    }
    if !facts.owner {
        problems.push(format!("site {from} does not own {vm} (epoch {})", facts.epoch));
    }
    problems.into_iter().map(Problem::new).collect()
}

fn at_target(vm: &VmId, there: &Known<'_>) -> Option<Problem> {
    let facts = there.facts.filter(|facts| facts.owner || HELD.contains(&facts.state.as_str()))?;
    Some(Problem::new(format!("site {} has a VM named {vm} already, {}", there.site, facts.state)))
}

/// What only both answers together tell.
fn between(vm: &VmId, here: &Known<'_>, there: &Known<'_>) -> Vec<Problem> {
    let Some(facts) = here.facts else { return Vec::new() };
    let newer = there.facts.filter(|theirs| theirs.epoch > facts.epoch).map(|theirs| {
        let (from, to, ours) = (here.site, there.site, facts.epoch);
        format!("site {to} knows epoch {} of {vm}, site {from} only {ours}", theirs.epoch)
    });
    newer.into_iter().chain(missing(vm, facts, there)).map(Problem::new).collect()
}

/// What the VM is made of and the target does not have.
fn missing(vm: &VmId, here: &VmFacts, there: &Known<'_>) -> Vec<String> {
    let Known { site, reply, .. } = there;
    let of_qemu = [
        ("machine type", &here.machine_type, &reply.machine_types),
        ("CPU model", &here.cpu_model, &reply.cpu_models),
    ];
    let of_boot = [
        ("kernel", &here.kernel_digest, &reply.kernel_digests),
        ("initrd", &here.initrd_digest, &reply.kernel_digests),
    ];
    // A list that the site could not make lacks nothing: that it could not is said elsewhere.
    let of_qemu = of_qemu.into_iter().filter(|_| reply.qemu_failure.is_none());
    let of_boot = of_boot.into_iter().filter(|_| reply.boot_failure.is_none());
    let missing = of_qemu.chain(of_boot).filter(|(_, wanted, there)| !there.contains(wanted));
    missing.map(|(what, wanted, _)| format!("site {site} lacks the {what} of {vm}: {wanted}")).collect()
}
