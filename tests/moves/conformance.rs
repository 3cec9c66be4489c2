//! The conformance kit meets real agents: the actions as the CLI has them, a lab, and faults of the real world.
//!
//! ```text
//!   kit --> action --TLS--> line --> agent      a line can be shut, an agent killed, a site told to keep more disk free
//!    |
//!    +--> the world: files at the target, answers of both DNS servers, connections between the sites
//! ```
//!
//! `report.write@1` asks no agent; it is held to its contract in `longhaul-steps`.

mod disk;
mod handing;
mod line;
mod looks;
mod names;
mod world;

use longhaul_step::conformance::check;

use self::disk::Prefetch;
use self::handing::{Move, Settle};
use self::looks::{SiteCheck, WanTunnel};
use self::names::Names;
use self::world::World;
use super::rig::shared_turn;

macro_rules! keeps {
    ($($(#[$doc:meta])* $test:ident is $subject:expr, in $lab:literal;)*) => {
        $($(#[$doc])* #[test] fn $test() {
            let Some(_turn) = shared_turn() else { return };
            let world = World::new($lab);
            let subject = $subject(&world);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(check(&subject)).unwrap_or_else(|broken| panic!("{broken}"));
        })*
    };
}

keeps! {
    /// `site.check@1` says no more than it saw, and leaves nothing at the target.
    site_check_keeps_its_contract is SiteCheck, in "mvkitsee";
    /// `wan.tunnel@1` leaves the lanes to the agents.
    wan_tunnel_keeps_its_contract is WanTunnel, in "mvkitwan";
    /// `gtm.prepare@1` lowers the time for which an answer may be kept at both sites or at none, and puts it back.
    gtm_prepare_keeps_its_contract is Names::prepare, in "mvkitttl";
    /// `gtm.redirect@1` changes the answer at both sites or at none, and puts it back.
    gtm_redirect_keeps_its_contract is Names::redirect, in "mvkitdns";
    /// `storage.prefetch@1` brings one copy to the target, and takes it away whole.
    storage_prefetch_keeps_its_contract is Prefetch::new, in "mvkitdisk";
    /// `vm.move@1` brings one guest to the target, or leaves it where it is.
    vm_move_keeps_its_contract is Move::new, in "mvkitmove";
    /// `storage.settle@1` puts the source's disk aside once.
    storage_settle_keeps_its_contract is Settle::new, in "mvkitset";
}
