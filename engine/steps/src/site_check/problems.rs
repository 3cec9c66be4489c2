//! Everything that can be in the way of a move, found by looking. Pure.

mod site;
mod vm;

#[cfg(test)]
mod tests;

use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::{Failure, ObserveReply};

use crate::failure;

/// What was learned by asking a site.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The site.
    pub(super) site: SiteId,
    /// Its answer, or why there is none.
    pub(super) reply: Result<ObserveReply, Error>,
}

impl Seen {
    fn reply(&self) -> Option<&ObserveReply> {
        self.reply.as_ref().ok()
    }
}

/// One thing that is in the way.
struct Problem {
    class: ErrorClass,
    text: String,
}

impl Problem {
    /// Something that had to hold does not.
    fn new(text: String) -> Self {
        Self { class: ErrorClass::Precondition, text }
    }

    /// A part of a site's answer that is a reason instead of a value. `unable` says what the site is not able to do.
    fn unknown(site: &SiteId, unable: &str, why: &Failure) -> Self {
        let class = failure::from_wire(site, why).class;
        Self { class, text: format!("site {site} {unable}: {}", why.message) }
    }

    /// How little a new try would change: a link may come back, another run ends, the rest somebody has to change.
    fn weight(&self) -> u8 {
        match self.class {
            ErrorClass::Transient | ErrorClass::Unreachable => 0,
            ErrorClass::Conflict => 1,
            ErrorClass::Permanent
            | ErrorClass::Precondition
            | ErrorClass::Auth
            | ErrorClass::Cancelled
            | ErrorClass::Internal => 2,
        }
    }
}

/// Says everything that is wrong as one error, whatever of it could be found out.
///
/// # Errors
/// Its class is that of the first problem among those that stay the longest: `unreachable` only when all may go away by
/// itself, `conflict` when else there are only other runs that move the VMs.
pub(super) fn refuse(vms: &[VmId], source: &Seen, target: &Seen) -> Result<(), Error> {
    let mut problems: Vec<Problem> = [source, target].into_iter().filter_map(unanswered).collect();
    problems.extend(vms.iter().flat_map(|vm| vm::problems(vm, source, target)));
    problems.extend(site::problems(vms, source, target));
    problems.extend(vms.iter().filter_map(|vm| vm::moving(vm, source, target)));
    let heaviest = problems.iter().map(Problem::weight).max();
    let Some(class) = problems.iter().find(|it| Some(it.weight()) == heaviest).map(|it| it.class) else {
        return Ok(());
    };
    // A reason may have lines of its own.
    let texts: Vec<String> = problems.iter().map(|problem| problem.text.replace('\n', "\n  ")).collect();
    match texts.as_slice() {
        [one] => Err(Error::new(class, one.clone())),
        many => Err(Error::new(class, format!("{} problems:\n- {}", many.len(), many.join("\n- ")))),
    }
}

/// A site that gave no answer.
fn unanswered(seen: &Seen) -> Option<Problem> {
    let error = seen.reply.as_ref().err()?;
    Some(Problem { class: error.class, text: error.message.clone() })
}
