//! What is safe to do after a run, in sentences.

use super::{MovedVm, Report, Verdict};
use crate::Status;

pub(super) fn safe_now(report: &Report) -> Vec<String> {
    if let Some(verdict) = report.verdict.as_ref().filter(|verdict| verdict.is_red()) {
        return contradicted(report, verdict);
    }
    let mut lines: Vec<String> = Vec::new();
    for moved in last_moves(report) {
        let vm = &moved.vm;
        let proof = report.disks.iter().find(|disk| disk.vm == *vm);
        lines.push(match proof {
            Some(proof) if proof.ok && moved.memory_lost => {
                format!("{vm} belongs to {} and does NOT run; its disk there was proven equal", moved.target)
            }
            _ if moved.memory_lost => format!(
                "{vm} belongs to {} and does NOT run; its disk there is not proven yet: keep the source's copy",
                moved.target
            ),
            Some(proof) if proof.ok => format!(
                "{vm} runs at {} and needs nothing of its source any more; its disk there was proven equal",
                moved.target
            ),
            Some(_) => {
                format!("{vm} runs at {}; its disk is NOT proven: keep the source's copy", moved.target)
            }
            None => {
                format!("{vm} runs at {} and still reads from its source: keep the source up", moved.target)
            }
        });
    }
    let resume = format!("`longhaul resume {}`", report.run);
    lines.push(match report.status {
        Status::Running => "the run was under way when this was written".to_owned(),
        Status::Succeeded if report.has_lost_memory() => {
            "every step is done, and yet a VM stands still: see what is to be done".to_owned()
        }
        Status::Succeeded => "nothing is left to do".to_owned(),
        Status::Failed => "everything the run had done was undone; it may be run again".to_owned(),
        Status::Partial if !report.instructions.is_empty() => {
            "what went forward stays, and so does what is listed below; it may be run again for the rest"
                .to_owned()
        }
        Status::Partial if report.steps.iter().any(|line| line.undo) => {
            "what went forward stays, the rest was undone; it may be run again for the rest".to_owned()
        }
        Status::Partial => {
            "what went forward stays, and nothing was undone; it may be run again for the rest".to_owned()
        }
        // Where a resume would meet the same, nobody is sent to it.
        Status::NeedsOperator if !is_resumed(report, &resume) => {
            "the run stopped and undoes nothing by itself; what is to be done is listed below".to_owned()
        }
        Status::NeedsOperator => {
            format!("the run stopped and undoes nothing by itself; after the repair, {resume}")
        }
    });
    lines
}

/// Whether a resume is a part of what is to be done, as it is if nothing is.
fn is_resumed(report: &Report, resume: &str) -> bool {
    let mut to_do = report.instructions.iter().peekable();
    to_do.peek().is_none() || to_do.any(|it| it.action.contains(resume))
}

/// Where each VM went last: an undo may have moved it once more.
fn last_moves(report: &Report) -> impl Iterator<Item = &MovedVm> {
    let moved = &report.moved;
    let goes_on = |at: usize| moved[at + 1..].iter().any(|later| later.vm == moved[at].vm);
    (0..moved.len()).filter(move |at| !goes_on(*at)).map(|at| &moved[at])
}

/// What was seen from outside outranks what the sites say of themselves.
fn contradicted(report: &Report, verdict: &Verdict) -> Vec<String> {
    let what = format!("nothing is known to be safe: the verdict is {}", verdict.text());
    let keep = last_moves(report).map(|moved| {
        let vm = &moved.vm;
        format!("keep every copy of the disk of {vm}, and start {vm} nowhere else, until that is explained")
    });
    std::iter::once(what).chain(keep).collect()
}
