//! `longhaul vm copies` and `longhaul vm discard`: copies of disks that are kept for a later run.

use longhaul_model::ids::{SiteId, VmId};
use longhaul_model::units::Size;
use longhaul_steps::Agents;
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{Copy, CopyDiscarded, DiscardCopy, Vm};
use serde_json::{Value, json};

use super::{OneVm, answered, ask, carry_out};
use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::output::{self, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Id of the VM [default: all]
    vm: Option<VmId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A copy, where it is, and what it is worth.
struct Kept<'a> {
    site: &'a SiteId,
    vm: &'a str,
    copy: &'a Copy,
    worth: Worth,
}

/// What a copy is worth: only its source knows what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// The source has counted all that was written since; so many bytes have to be brought.
    Current { lacking_bytes: u64 },
    /// The source has not: the next prefetch throws it away.
    Nothing,
    /// The source did not answer.
    Unknown,
}

impl Worth {
    fn word(self) -> &'static str {
        match self {
            Self::Current { .. } => "current",
            Self::Nothing => "worthless",
            Self::Unknown => "not known",
        }
    }

    fn lacking_bytes(self) -> Option<u64> {
        match self {
            Self::Current { lacking_bytes } => Some(lacking_bytes),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

pub(super) async fn list(agents: &Agents, args: &Args) -> Result<u8> {
    let (vms, silent) = ask(agents, &agents.sites()).await;
    let wanted = |vm: &Vm| args.vm.as_ref().is_none_or(|wanted| wanted.as_str() == vm.id);
    let here = vms.iter().filter(|(_, vm)| wanted(vm));
    let kept: Vec<Kept<'_>> = here.filter_map(|(site, vm)| kept(site, vm, &vms)).collect();
    if args.json {
        output::json(&kept.iter().map(as_json).collect::<Vec<_>>());
    } else {
        let mut table = Table::new(["vm", "at", "of", "present", "lacking", "worth", "run", "taken by"]);
        kept.iter().for_each(|kept| table.row(row(kept)));
        output::data(table);
    }
    answered(&silent)
}

fn kept<'a>(site: &'a SiteId, vm: &'a Vm, all: &[(SiteId, Vm)]) -> Option<Kept<'a>> {
    let copy = vm.copy.as_ref()?;
    Some(Kept { site, vm: &vm.id, copy, worth: worth(site, vm, copy, all) })
}

fn worth(site: &SiteId, vm: &Vm, copy: &Copy, all: &[(SiteId, Vm)]) -> Worth {
    let Some((_, source)) = all.iter().find(|(at, it)| at.as_str() == copy.source && it.id == vm.id) else {
        return Worth::Unknown;
    };
    match &source.copied_to {
        Some(counted) if source.owner && counted.site == site.as_str() && counted.origin == copy.origin => {
            let absent = copy.allocated_bytes.saturating_sub(copy.present_bytes);
            Worth::Current { lacking_bytes: absent.saturating_add(counted.dirty_bytes) }
        }
        Some(_) | None => Worth::Nothing,
    }
}

fn row(kept: &Kept<'_>) -> [String; 8] {
    let Kept { site, vm, copy, worth } = kept;
    let size = |bytes: u64| Size::from_bytes(bytes).to_string();
    [
        (*vm).to_owned(),
        site.to_string(),
        copy.source.clone(),
        size(copy.present_bytes),
        worth.lacking_bytes().map_or_else(|| "-".to_owned(), size),
        worth.word().to_owned(),
        copy.made_by.clone(),
        if copy.taken_by.is_empty() { "-".to_owned() } else { copy.taken_by.clone() },
    ]
}

fn as_json(kept: &Kept<'_>) -> Value {
    let Kept { site, vm, copy, worth } = kept;
    json!({
        "vm": vm,
        "site": site,
        "source": copy.source,
        "worth": worth.word(),
        "made_by": copy.made_by,
        "taken_by": copy.taken_by,
        "kept_unix_ms": copy.kept_unix_ms,
        "disk_bytes": copy.disk_bytes,
        "allocated_bytes": copy.allocated_bytes,
        "present_bytes": copy.present_bytes,
        "lacking_bytes": worth.lacking_bytes(),
    })
}

pub(super) async fn discard(agents: &Agents, args: &OneVm) -> Result<u8> {
    let operation = Operation::DiscardCopy(DiscardCopy { vm: args.vm.to_string() });
    let outputs = carry_out(agents, args, operation, "discard").await?;
    let Some(Kind::CopyDiscarded(CopyDiscarded { source, freed_bytes, source_told })) = outputs.outputs
    else {
        let message = format!("site {} answered with nothing this version knows", args.site);
        return Err(Failure::said(exit_code::FAILED, message));
    };
    if source.is_empty() {
        let message = format!("site {} keeps no copy of the disk of {}", args.site, args.vm);
        return Err(Failure::said(exit_code::FAILED, message));
    }
    output::data(format_args!("{} are free at site {}", Size::from_bytes(freed_bytes), args.site));
    if !source_told {
        output::talk(format_args!(
            "site {source} did not answer: it counts what {} writes until its disk is copied again",
            args.vm
        ));
    }
    Ok(exit_code::OK)
}

#[cfg(test)]
mod tests {
    use longhaul_wire::v1::CopiedTo;

    use super::*;

    /// A copy is current while its source counts for it, worthless once it does not, and of a silent source nothing is known.
    #[test]
    fn only_the_source_knows_what_a_copy_is_worth() {
        let [a, b]: [SiteId; 2] = ["a", "b"].map(|site| site.parse().unwrap());
        let copy = Copy {
            source: "a".into(),
            origin: 7,
            allocated_bytes: 90,
            present_bytes: 80,
            ..Default::default()
        };
        let here = Vm { id: "vm-a".into(), copy: Some(copy.clone()), ..Default::default() };
        let counted = |site: &str, origin| CopiedTo { site: site.into(), origin, dirty_bytes: 5 };
        let source = |owner, copied_to| Vm { id: "vm-a".into(), owner, copied_to, ..Default::default() };
        let worth = |vm: Vm| worth(&b, &here, &copy, &[(a.clone(), vm), (b.clone(), here.clone())]);
        assert_eq!(worth(source(true, Some(counted("b", 7)))), Worth::Current { lacking_bytes: 15 });
        for counted in [None, Some(counted("c", 7)), Some(counted("b", 8)), Some(counted("b", 0))] {
            assert_eq!(worth(source(true, counted)), Worth::Nothing);
        }
        assert_eq!(worth(source(false, Some(counted("b", 7)))), Worth::Nothing);
        assert_eq!(super::worth(&b, &here, &copy, &[(b.clone(), here.clone())]), Worth::Unknown);
    }
}
