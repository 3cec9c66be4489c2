//! What cannot be known before the run, gathered so that a thousand steps of one action make one sentence.

use std::collections::BTreeMap;

use longhaul_model::action::ActionName;

/// Most sentences of one kind; a plan of thousands of steps has more, and nobody reads them.
const LISTED_MAX: usize = 20;

/// What was found.
#[derive(Default)]
pub(super) struct Unknown {
    /// Steps of an action that gives no estimate.
    no_estimate: BTreeMap<ActionName, usize>,
    /// Steps of an action whose parameters are not known yet.
    no_parameters: BTreeMap<ActionName, usize>,
    others: Vec<String>,
}

impl Unknown {
    pub(super) fn no_estimate(&mut self, action: &ActionName) {
        *self.no_estimate.entry(action.clone()).or_default() += 1;
    }

    pub(super) fn no_parameters(&mut self, action: &ActionName) {
        *self.no_parameters.entry(action.clone()).or_default() += 1;
    }

    /// Anything else, once.
    pub(super) fn other(&mut self, sentence: String) {
        if self.others.len() <= LISTED_MAX && !self.others.contains(&sentence) {
            self.others.push(sentence);
        }
    }

    /// A sentence for each.
    pub(super) fn sentences(mut self) -> Vec<String> {
        if self.others.len() > LISTED_MAX {
            self.others.truncate(LISTED_MAX);
            self.others.push("and more of this kind".to_owned());
        }
        let steps = |count: usize| if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
        let mut all = self.others;
        all.extend(self.no_estimate.into_iter().map(|(action, count)| {
            format!("how long {action} takes: it gives no estimate ({}); counted as no time", steps(count))
        }));
        all.extend(self.no_parameters.into_iter().map(|(action, count)| {
            format!(
                "how long {action} takes: its parameters are only known in the run ({}); counted as no time",
                steps(count)
            )
        }));
        all
    }
}
