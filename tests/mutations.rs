//! Files that were right, or nearly, changed at random: nothing panics, every mistake stands where it is said to stand, and
//! what is accepted has no name that leads nowhere.
//!
//! `LONGHAUL_SEED` repeats one change, `LONGHAUL_MUTATIONS` says how many are made.

mod change;
mod judge;
mod names;
mod structure;
mod subjects;
mod words;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use judge::Verdict;
use subjects::Subject;

/// How many changes are tried when nobody says how many: about two seconds of them.
const MUTATIONS: u64 = 500;

/// A number that the environment gives.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The changed text that a seed makes, and of what.
fn changed(subjects: &[Subject], seed: u64) -> (&Subject, String) {
    let mut rng = Rng::with_seed(seed);
    // What is right has more to lose.
    let right = subjects.partition_point(|subject| !subject.is_broken);
    let among = if rng.u8(..6) == 0 { &subjects[right..] } else { &subjects[..right] };
    let subject = &among[rng.usize(..among.len())];
    (subject, change::change(&subject.text, &mut rng))
}

/// Whatever a valid file is changed into: it is refused with places that are there, or every name in it leads somewhere,
/// it can be planned, drawn and laid out, and says the same after that.
#[test]
fn no_change_of_a_file_is_fatal() {
    let subjects = subjects::all();
    let one = given("LONGHAUL_SEED");
    let first = one.unwrap_or_else(|| fastrand::u64(0..1 << 40));
    let count = given("LONGHAUL_MUTATIONS").unwrap_or(if one.is_some() { 1 } else { MUTATIONS });
    println!("LONGHAUL_SEED={first} and the {count} from it");
    let mut seen = BTreeMap::new();
    for seed in first..first + count {
        let (subject, text) = changed(&subjects, seed);
        let judged = catch_unwind(AssertUnwindSafe(|| judge::judge(subject, &text)));
        let judged = judged.unwrap_or_else(|_| Err("it panics".to_owned()));
        let verdict = judged.unwrap_or_else(|why| {
            panic!("LONGHAUL_SEED={seed} changes {}:\n{text}\n{why}", subject.name);
        });
        *seen.entry((subject.kind(), verdict)).or_insert(0_u32) += 1;
    }
    println!("{seen:?}");
    let workflows = |verdict| seen.contains_key(&("Workflow".to_owned(), verdict));
    assert!(count < MUTATIONS || workflows(Verdict::Accepted) && workflows(Verdict::Refused), "{seen:?}");
}

/// The files that are changed are right to begin with, but for the fixtures of mistakes.
#[test]
fn what_is_changed_is_right() {
    for subject in subjects::all().into_iter().filter(|subject| !subject.is_broken) {
        let verdict =
            judge::judge(&subject, &subject.text).unwrap_or_else(|why| panic!("{}: {why}", subject.name));
        assert_eq!(verdict, Verdict::Accepted, "{}:\n{}", subject.name, judge::mistakes(&subject));
    }
}

/// The judge is no rubber stamp: names that lead nowhere are found in every place that can hold one.
#[test]
fn dangling_names_are_found() {
    let subject = subjects::all().into_iter().find(|it| it.name == "everything.yaml").unwrap();
    for (from, to) in [
        ("needs: [preflight]", "needs: [nobody]"),
        ("${{ inputs.vms }}", "${{ inputs.nobody }}"),
        ("steps.tunnel.outputs.lanes", "steps.tunnel.outputs.nobody"),
        ("|v| v != inputs.last", "|v| v != inputs.nobody"),
        ("${{ vm }}", "${{ nobody }}"),
        ("failed(\"tunnel\")", "failed(\"nobody\")"),
        ("${{ inputs.from }}", "${{ `${inputs.nobody}` }}"),
        ("./part.yaml", "./nobody.yaml"),
        ("f5/window.rhai", "nobody/window.rhai"),
        ("f5/window.rhai", "f5/nobody.rhai"),
    ] {
        let text = subject.text.replace(from, to);
        assert_ne!(text, subject.text, "{from}");
        let document =
            longhaul_model::document::Document::parse(&longhaul_model::Source::new("it", &text)).unwrap();
        let found = names::dangling(&document.root.to_json(), &subject);
        assert!(!found.is_empty() && found.iter().all(|it| it.contains("nobody")), "{to}: {found:?}");
    }
}
