//! The journals of cases, in the form of an export: what each records without a fault, and one that sweeps, with the fault in the
//! middle of its sweep.

use std::path::{Path, PathBuf};

use longhaul_model::ids::RunId;
use longhaul_run::journal::{Bundle, bundle_of};
use longhaul_sim::Fault;
use longhaul_sim::suite::{Case, Suite};

use super::SEED;
use crate::commands::folders::TEST_ENDING;
use crate::commands::journal::exported;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// A case's journal.
pub(crate) struct OfCase {
    /// The test file without its ending, and the case, in lower-case letters, digits and dashes.
    pub(crate) name: String,
    pub(crate) bundle: Bundle,
}

impl OfCase {
    /// None of a case whose plan is refused or denied.
    fn of(file: &Path, case: &Case, seed: u64) -> Option<Self> {
        let undisturbed = case.run(Fault::None, seed)?;
        let points = case.points(&undisturbed);
        let ran = match points.get(points.len() / 2) {
            Some(fault) => case.run(fault.clone(), seed)?,
            None => undisturbed,
        };
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = file.strip_suffix(TEST_ENDING).unwrap_or(&file);
        Some(Self { name: format!("{stem}-{}", case.slug()), bundle: bundle_of(&ran.records) })
    }
}

/// The journals of the cases of these test files that have one.
pub(crate) fn of_files(files: &[PathBuf]) -> Vec<OfCase> {
    let (suites, _, _) = super::apart(super::find::load(files));
    of(&suites, None, SEED)
}

fn of(suites: &[(PathBuf, Suite)], filter: Option<&str>, seed: u64) -> Vec<OfCase> {
    let is_chosen = |case: &&Case| filter.is_none_or(|filter| case.name().contains(filter));
    let cases = suites.iter().flat_map(|(file, suite)| suite.cases.iter().map(move |case| (file, case)));
    cases
        .filter(|(_, case)| is_chosen(case))
        .filter_map(|(file, case)| OfCase::of(file, case, seed))
        .collect()
}

/// Writes the journals of the chosen cases into a folder.
pub(super) fn write(
    suites: &[(PathBuf, Suite)],
    filter: Option<&str>,
    seed: u64,
    folder: &Path,
) -> Result<()> {
    let writing = || format!("write the journals to {}", folder.display());
    std::fs::create_dir_all(folder).doing(exit_code::FAILED, writing)?;
    for OfCase { name, bundle } in of(suites, filter, seed) {
        let text = exported(&bundle, None::<&RunId>, "longhaul test --journals")?;
        std::fs::write(folder.join(format!("{name}.jsonl")), text).doing(exit_code::FAILED, writing)?;
    }
    Ok(())
}
