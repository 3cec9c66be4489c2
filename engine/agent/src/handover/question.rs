//! What a target answers when it is asked about an epoch.

use longhaul_model::ids::{RunId, VmId};

use crate::facts::{self, Decision, Epoch, Facts, Refusal};

/// A target's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Neither RUN nor NACK is durable.
    Open,
    /// The decision, for ever.
    Decided(Decision),
}

/// Answers a question about an epoch from the facts. With `give_up` an undecided epoch is decided for NACK first; a
/// receiving QEMU finds that out before it could run.
///
/// # Errors
/// [`facts::Error::Role`] if this site is not the target of that epoch; fatal ones.
pub async fn answer(
    facts: &Facts,
    vm: &VmId,
    run: &RunId,
    asked: (Epoch, bool),
) -> Result<Answer, facts::Error> {
    let (vm, run, (epoch, give_up)) = (vm.clone(), run.clone(), asked);
    let decide = move |facts: &Facts| match facts.decision(&vm, epoch)? {
        Some(decision) => Ok(Answer::Decided(decision)),
        None if give_up => {
            let nack = Decision::Nack(Refusal::transient("the source asked to give up"));
            facts.decide(&vm, &run, epoch, &nack).map(Answer::Decided)
        }
        None => Ok(Answer::Open),
    };
    facts.apart(decide).await
}
