//! Why a step waits for another one.

use std::collections::BTreeSet;

use longhaul_model::workflow::StepSpec;

use crate::check::Checker;
use crate::parameters::StepRead;
use crate::plan::Reason;

impl Checker<'_> {
    /// The reasons of a step's edges: what is written, then what is read, in file order and each once.
    pub(crate) fn reasons(&self, spec: &StepSpec, reads: &[StepRead]) -> Vec<Reason> {
        let written = spec
            .needs
            .iter()
            .map(|needed| Reason::Written { needs: needed.value.clone(), line: self.line(needed.span) });
        let read = reads.iter().map(|read| Reason::Reads {
            needs: read.step.clone(),
            field: read.field.clone(),
            line: self.line(read.span),
        });
        let mut seen = BTreeSet::new();
        written.chain(read).filter(|reason| seen.insert(reason.clone())).collect()
    }
}
