//! Taking up a hand-over after the agent died: from the facts and the QEMU that is still there, nothing else.

use super::error::Error;
use super::receive::{Received, TargetSide};
use super::send::outcome;
use super::settle::{Sent, SourceSide, Stayed};
use super::source::{Action, Source, Standing, State};
use super::target::Target;
use crate::facts::{Attempt, Facts, Refusal, Role, Side};

/// Brings the VM's latest attempt at this source to its end; `None` if there is none that still matters. Asks the peer for
/// ever if RELINQUISH was made. Safe to repeat, also after an end; must not run beside a [`send`](super::send()) of the VM.
///
/// # Errors
/// As [`send`](super::send()). An error may leave the guest stopped: the caller repeats until it succeeds.
pub async fn recover_source(side: &SourceSide) -> Result<Option<Sent>, Error> {
    let Some((attempt, role)) = latest(&side.facts, side.vm.clone()).await? else { return Ok(None) };
    if attempt.side != Side::Source || !matters_at_source(&attempt, role) {
        return Ok(None);
    }
    let (mut source, first) = Source::recover(&Standing::from(&attempt));
    let epoch = attempt.epoch;
    if source.state() == State::Kept {
        side.carry_out(epoch, first).await?;
        let why = Refusal::transient("the source's agent was restarted before the promise");
        return Ok(Some(Sent::Stayed(Stayed { epoch: side.owned_epoch().await?, why })));
    }
    let Some(promise) = attempt.relinquished else {
        return Err(Error::Protocol { what: "a decision without RELINQUISH".to_owned() });
    };
    let (decision, actions) = match attempt.decision {
        Some(decision) => (decision, first),
        None => {
            debug_assert!(matches!(first[..], [Action::Ask { .. }]), "the first action is the question");
            side.until_decided((&attempt.run, epoch), &mut source, None).await
        }
    };
    side.carry_out(epoch, actions).await?;
    outcome(side, epoch, promise, decision).await.map(Some)
}

/// Whether the role still is what this attempt left: a VM that was started again since has put it behind.
fn matters_at_source(attempt: &Attempt, role: Role) -> bool {
    match role {
        Role::Owner(epoch) => attempt.decision.is_none() || epoch == attempt.epoch.next(),
        Role::Relinquished(epoch) | Role::Absent(epoch) => epoch == attempt.epoch,
        Role::Incoming(_) => false,
    }
}

/// Brings the VM's latest attempt at this target to its end; `None` if there is none that still matters. Safe to repeat;
/// must not run beside a [`receive`](super::receive()) of the VM.
///
/// # Errors
/// As [`receive`](super::receive()). After RUN an error leaves the guest stopped: the caller repeats until it succeeds.
pub async fn recover_target(side: &TargetSide) -> Result<Option<Received>, Error> {
    let Some((attempt, role)) = latest(&side.facts, side.vm.clone()).await? else { return Ok(None) };
    let matters = match role {
        Role::Owner(epoch) | Role::Incoming(epoch) | Role::Absent(epoch) => epoch == attempt.epoch,
        Role::Relinquished(_) => false,
    };
    if attempt.side != Side::Target || !matters {
        return Ok(None);
    }
    let (mut target, first) = Target::recover(attempt.decision.as_ref());
    let ended = side.carry_out((&attempt.run, attempt.epoch), &mut target, first).await;
    ended.map(|(received, _)| Some(received))
}

async fn latest(facts: &Facts, vm: longhaul_model::ids::VmId) -> Result<Option<(Attempt, Role)>, Error> {
    let look = move |facts: &Facts| Ok((facts.latest_attempt(&vm)?, facts.vm(&vm)?));
    let (attempt, row) = facts.apart(look).await?;
    Ok(attempt.zip(row.map(|row| row.role)))
}
