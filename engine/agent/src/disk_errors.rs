//! Guests that QEMU has stopped because their disk failed (`werror=stop`, `rerror=stop`).
//!
//! QEMU keeps the request that failed and repeats it when it is told to go on; nobody but us tells it. It must never be told
//! of a VM that this site does not own.

use longhaul_model::ids::VmId;

use crate::agent::Agent;
use crate::error::Error;
use crate::facts::Role;
use crate::vm::RunState;
use crate::vms::from_facts;

impl Agent {
    /// Lets a VM of this site go on that a disk error has stopped; every other one is left alone. If the disk still fails
    /// the guest stops again, and nothing is lost.
    pub(crate) async fn continue_after_disk_error(&self, vm: &VmId) -> Result<(), Error> {
        let Some(machine) = self.machine(vm)? else { return Ok(()) };
        let state = machine.state().await;
        let state = state.map_err(|error| Error::internal("asking QEMU what the guest does", &error))?;
        // Asked last: what the site owns now is what counts.
        let role = self.facts.vm(vm).map_err(from_facts)?.map(|row| row.role);
        if !may_go_on(role, state) {
            return Ok(());
        }
        tracing::info!(%vm, "the guest goes on after a disk error");
        machine.cont().await.map_err(|error| Error::internal("letting the guest go on", &error))
    }
}

/// Whether it is an error of its disk, and nothing else, that keeps a guest of this site from running.
fn may_go_on(role: Option<Role>, state: Option<RunState>) -> bool {
    matches!((role, state), (Some(Role::Owner(_)), Some(RunState::IoError)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Epoch;

    /// Proves that only an owner's guest goes on, and only from a disk error.
    #[test]
    fn only_an_owner_goes_on_and_only_after_a_disk_error() {
        assert!(may_go_on(Some(Role::Owner(Epoch(2))), Some(RunState::IoError)));
        for role in [Role::Relinquished(Epoch(2)), Role::Incoming(Epoch(2)), Role::Absent(Epoch(2))] {
            assert!(!may_go_on(Some(role), Some(RunState::IoError)), "{role}");
        }
        assert!(!may_go_on(None, Some(RunState::IoError)));
        for word in
            ["running", "paused", "prelaunch", "inmigrate", "finish-migrate", "postmigrate", "shutdown"]
        {
            assert!(!may_go_on(Some(Role::Owner(Epoch(2))), Some(RunState::from_qemu(word))), "{word}");
        }
        assert!(!may_go_on(Some(Role::Owner(Epoch(2))), None));
    }
}
