//! Runs the cases: first each without a fault, then every point of every sweep.

use std::path::{Path, PathBuf};

use longhaul_sim::suite::{Case, Failing, Suite, Verdict};
use longhaul_sim::{Fault, Ran};

use super::parallel;
use super::snapshots::{self, Kept};
use crate::commands::folders::TEST_ENDING;

/// A case and what came of it.
pub(super) struct Played {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) runs: usize,
    pub(super) simulated_ms: u64,
    /// What is wrong with its plan or its sweep.
    pub(super) of_case: Vec<Failing>,
    /// The runs in which something did not come true.
    pub(super) wrong: Vec<Verdict>,
    pub(super) summary: String,
    pub(super) snapshot_file: PathBuf,
    pub(super) snapshot: Kept,
}

impl Played {
    /// Whether every expectation came true; its snapshot is not looked at.
    pub(super) fn holds(&self) -> bool {
        self.of_case.is_empty() && self.wrong.is_empty()
    }

    /// Whether there is something of it that can be kept.
    pub(super) fn has_snapshot(&self) -> bool {
        !self.summary.is_empty()
    }

    pub(super) fn is_fine(&self) -> bool {
        self.holds() && self.snapshot.is_fine()
    }

    /// Whether there is a new snapshot of something that is right.
    pub(super) fn may_be_accepted(&self) -> bool {
        self.holds() && !self.snapshot.is_fine()
    }
}

struct Chosen<'a> {
    file: &'a Path,
    case: &'a Case,
}

/// The cases whose names hold `filter`, judged.
pub(super) fn all(suites: &[(PathBuf, Suite)], filter: Option<&str>, seed: u64) -> Vec<Played> {
    let all =
        suites.iter().flat_map(|(file, suite)| suite.cases.iter().map(move |case| Chosen { file, case }));
    let chosen: Vec<_> =
        all.filter(|chosen| filter.is_none_or(|filter| chosen.case.name().contains(filter))).collect();
    let undisturbed = parallel::map(&chosen, |chosen| chosen.case.run(Fault::None, seed));
    let points = points(&chosen, &undisturbed);
    let swept = parallel::map(&points, |(at, fault)| {
        let ran = chosen[*at].case.run(fault.clone(), seed);
        (*at, ran.map(|ran| chosen[*at].case.verdict(ran)))
    });
    let mut by_case: Vec<Vec<Verdict>> = chosen.iter().map(|_| Vec::new()).collect();
    for (at, verdict) in swept {
        by_case[at].extend(verdict);
    }
    let all = chosen.iter().zip(undisturbed).zip(by_case);
    all.map(|((chosen, undisturbed), swept)| played(chosen, undisturbed, swept)).collect()
}

fn points(chosen: &[Chosen<'_>], undisturbed: &[Option<Ran>]) -> Vec<(usize, Fault)> {
    let mut points = Vec::new();
    for (at, (chosen, ran)) in chosen.iter().zip(undisturbed).enumerate() {
        let of_case = ran.as_ref().map(|ran| chosen.case.points(ran)).unwrap_or_default();
        points.extend(of_case.into_iter().map(|fault| (at, fault)));
    }
    points
}

fn played(chosen: &Chosen<'_>, undisturbed: Option<Ran>, swept: Vec<Verdict>) -> Played {
    let Chosen { file, case } = chosen;
    let summary = case.summary(undisturbed.as_ref(), &swept);
    let points: Vec<Fault> = swept.iter().map(|verdict| verdict.fault.clone()).collect();
    let mut verdicts: Vec<Verdict> = undisturbed.map(|ran| case.verdict(ran)).into_iter().collect();
    verdicts.extend(swept);
    let (line, column) = case.place();
    let of_plan = case.judge_plan().into_iter().chain(case.judge_points(&points));
    Played {
        file: (*file).to_owned(),
        name: case.name().to_owned(),
        line,
        column,
        runs: verdicts.len(),
        simulated_ms: verdicts.iter().map(|verdict| verdict.took_ms).sum(),
        of_case: of_plan.chain(case.judge_names(&verdicts)).collect(),
        wrong: verdicts.into_iter().filter(|verdict| !verdict.failing.is_empty()).collect(),
        summary,
        snapshot_file: snapshots::file(file, TEST_ENDING, &case.slug()),
        snapshot: Kept::NotCompared,
    }
}
