//! Random runs, cut after every write and in the middle of it: each comes to the end of the undisturbed one, with the same in effect.

use std::collections::BTreeMap;

use longhaul_saga::Status;

use super::random;
use crate::{Fault, Layout, Ran, Side};

/// So many if `LONGHAUL_CUT_RUNS` does not say otherwise: some two thousand cuts.
const RUNS: u64 = 8;

/// How the run ended, how every step stands if all went well, and what is in effect.
fn end(layout: &Layout, ran: &Ran) -> (String, BTreeMap<String, String>) {
    let went_well = ran.status() == Status::Succeeded;
    let steps = ran.steps.iter().filter(|_| went_well);
    let steps = steps.map(|view| (view.step.to_string(), view.state.to_owned()));
    let there = ran.world.effects().iter().filter(|(step, effect)| effect.there && layout.has_effect(step));
    let effects = there.map(|(step, _)| (format!("{step} in effect"), "yes".to_owned()));
    (ran.status().to_string(), steps.chain(effects).collect())
}

/// Before a record is there, and after it: nothing else can be left of a write, because a commit is there whole or not at all.
#[test]
fn a_cut_changes_no_end() {
    let given = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let runs = std::env::var("LONGHAUL_CUT_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let (first, runs) = given.map_or((fastrand::u64(..1 << 40), runs), |seed| (seed, 1));
    println!("LONGHAUL_SEED={first} and the {runs} from it");
    let mut cuts = 0;
    for seed in first..first + runs {
        let (plan, undisturbed) = random::calm(seed, Fault::None);
        let layout = Layout::of(&plan);
        let expected = end(&layout, &undisturbed);
        for write in 1..=undisturbed.records.len() as u64 {
            for side in [Side::Before, Side::After] {
                let (_, cut) = random::calm(seed, Fault::Crash { write, side });
                let ended = end(&layout, &cut);
                assert_eq!(ended, expected, "LONGHAUL_SEED={seed}, cut at record {write}, {side:?}");
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
}
