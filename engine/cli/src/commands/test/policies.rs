//! Asks the policies that test files are about.

use std::path::PathBuf;

use longhaul_host_rhai::RhaiHost;
use longhaul_sim::PolicySuite;

use super::play::Played;
use super::snapshots::Kept;

/// The cases whose names hold `filter`, judged. There is no run and no snapshot of one: what a policy says is in the file.
pub(super) fn all(suites: &[(PathBuf, PolicySuite)], filter: Option<&str>) -> Vec<Played> {
    let host = RhaiHost::default();
    let all = suites.iter().flat_map(|(file, suite)| suite.cases.iter().map(move |case| (file, case)));
    let chosen = all.filter(|(_, case)| filter.is_none_or(|filter| case.name().contains(filter)));
    let played = chosen.map(|(file, case)| {
        let (line, column) = case.place();
        Played {
            file: file.clone(),
            name: case.name().to_owned(),
            line,
            column,
            runs: 0,
            simulated_ms: 0,
            of_case: case.judge(&host),
            wrong: Vec::new(),
            summary: String::new(),
            snapshot_file: PathBuf::new(),
            snapshot: Kept::NotCompared,
        }
    });
    played.collect()
}
