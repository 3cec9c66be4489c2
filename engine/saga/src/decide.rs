//! Asking policies. What they say is an event; a driver asks for it and applies it before it commits what asked, so that
//! the question needs no record of its own: whoever folds the records asks again what was not answered.

use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Hook, Host, Verdict};
use longhaul_plan::Asking;

use crate::event::Decided;
use crate::{Batch, Command, Event, Illegal, Saga};

/// Asks policies for [`Decided`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decide {
    /// What they are asked about.
    pub hook: Hook,
    /// The step; as in [`Decided`].
    pub step: Option<StepPath>,
    /// The questions, at least one.
    pub asking: Vec<Asking>,
}

impl Decide {
    /// What the policies say.
    #[must_use]
    pub fn verdicts(&self, host: &dyn Host) -> Vec<Verdict> {
        self.asking.iter().flat_map(|asking| asking.verdicts(host)).collect()
    }
}

impl Batch {
    /// Has the policies asked that the batch asks for, and adds what follows.
    ///
    /// # Errors
    /// Never, unless the batch is not of this saga.
    pub fn have_decided(
        &mut self,
        saga: &mut Saga,
        ask: &mut dyn FnMut(&Decide) -> Vec<Verdict>,
    ) -> Result<(), Illegal> {
        while let Some(at) = self.commands.iter().position(|command| matches!(command, Command::Decide(_))) {
            let Command::Decide(decide) = self.commands.remove(at) else { continue };
            // What another policy said may have called this step off.
            if !saga.is_awaited(&decide) {
                continue;
            }
            let verdicts = ask(&decide);
            let event = Event::Decided(Decided { hook: decide.hook, step: decide.step, verdicts });
            let commands = saga.apply(&event, self.at_unix_ms)?;
            self.add(event, commands);
        }
        Ok(())
    }
}
