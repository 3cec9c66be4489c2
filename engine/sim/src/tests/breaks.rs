//! The invariants find mistakes: each that can be put into the saga shows in random runs, and without one nothing shows.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use longhaul_model::test::Invariant;
use longhaul_saga::breaks::{self, Break};

use super::random;
use crate::{Layout, invariant};

/// A mistake that does not show in so many runs is not found.
const RUNS_MAX: u64 = 2_000;

/// What shows of a mistake in the first runs from this seed in which anything does.
fn found(mistake: Break, first: u64) -> Option<(u64, BTreeSet<String>)> {
    (first..first + RUNS_MAX).find_map(|seed| {
        let judged = || {
            let (plan, ran) = random::run(seed);
            invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL)
        };
        // A state that contradicts itself is found as well.
        let shown = catch_unwind(AssertUnwindSafe(|| breaks::with(mistake, judged)));
        let names: BTreeSet<String> = match shown {
            Ok(violations) => violations.iter().map(|found| found.invariant.to_string()).collect(),
            Err(_) => breaks::with(mistake, || BTreeSet::from(["a panic".to_owned()])),
        };
        (!names.is_empty()).then_some((seed, names))
    })
}

/// Each mistake is found, by the invariant that is about it.
#[test]
fn every_mistake_is_found() {
    let given = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("LONGHAUL_SEED={first}");
    for mistake in Break::ALL {
        let (seed, names) = found(mistake, first)
            .unwrap_or_else(|| panic!("LONGHAUL_SEED={first}: {mistake:?} shows in none of {RUNS_MAX} runs"));
        println!("{mistake:?} shows after {} runs: {names:?}", seed - first + 1);
        let (plan, ran) = random::run(seed);
        let without = invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL);
        assert!(without.is_empty(), "LONGHAUL_SEED={seed}: {without:#?}");
    }
}
