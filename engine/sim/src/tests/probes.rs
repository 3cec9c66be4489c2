//! A step's own probe: it is asked when the action itself cannot tell, and what it finds decides.

use std::sync::Arc;

use longhaul_plan::Plan;
use longhaul_saga::{Answer, Entry, Event, Failure, Status};

use super::{
    Asked, Behaviour, Ending, Fault, Invariant, Layout, Ran, Side, Value, action, fine, invariant, json,
    plan, run,
};
use crate::Really;

/// A step that nobody can tell of but its own probe, and one that reads what it put out.
fn probed() -> Arc<Plan> {
    let mut reserve = action("reserve", &[], "reversible", false);
    reserve["body"]["action"]["probe"] = json!({
        "uses": "toy.look@1", "with": { "file": "reserve" },
        "done": "${{ found.state == \"online\" }}", "absent": "${{ found.state == \"missing\" }}",
        "outputs": { "ok": "${{ found.state == \"online\" }}" },
    });
    let mut after = action("after", &["reserve"], "reversible", false);
    after["body"]["action"]["with"]["ok"] = json!("${{ steps.reserve.outputs.ok }}");
    plan(&json!([reserve, after]), &[])
}

/// The first attempt ends so that its action cannot tell; the probe finds this, and this is the case.
fn nobody_knows(found: Value, really: Really) -> impl Fn(&Asked<'_>) -> Behaviour {
    let failure = Failure::new("transient", "the answer was lost");
    move |asked: &Asked<'_>| match asked.step.as_str() {
        "reserve" if asked.time == 1 => {
            let ending = Ending::Unknown { failure: failure.clone(), really: really.clone() };
            Behaviour { found: Some(found.clone()), ..Behaviour::timed(1_000, ending) }
        }
        _ => fine(asked),
    }
}

fn answers(ran: &Ran) -> Vec<&Answer> {
    let answers = ran.records.iter().filter_map(|record| match &record.entry {
        Entry::Event(Event::Probed(probed)) if probed.found.is_some() => Some(&probed.answer),
        _ => None,
    });
    answers.collect()
}

/// What is found to be there counts as done, with the outputs that the probe makes of it; what is not there is tried again;
/// and wherever the controller dies it comes to the same.
#[test]
fn what_is_found_decides() {
    let plan = probed();
    let there = (json!({ "state": "online" }), Really::Done(json!({ "ok": true })), 1);
    let missing = (json!({ "state": "missing" }), Really::Absent, 2);
    for (found, really, times) in [there, missing] {
        let model = nobody_knows(found, really);
        let ran = run(&plan, &model, Fault::None, 1);
        assert_eq!(answers(&ran).len(), 1);
        let begun = |ran: &Ran| {
            let starts = ran.records.iter().filter(|record| match &record.entry {
                Entry::Intent(longhaul_saga::Intent::Start(start)) => start.step.as_str() == "reserve",
                _ => false,
            });
            starts.count()
        };
        assert_eq!((begun(&ran), ran.status()), (times, Status::Succeeded));
        for write in 1..=ran.records.len() as u64 {
            for side in [Side::Before, Side::After] {
                let ran = run(&plan, &model, Fault::Crash { write, side }, 1);
                assert_eq!(ran.status(), Status::Succeeded, "{}: {:?}", ran.fault, ran.halt);
                assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), [], "{}", ran.fault);
            }
        }
    }
}

/// What means neither is no answer: it is looked at again and again, and then a person is asked. Nothing is guessed.
#[test]
fn what_means_nothing_is_asked_of_a_person() {
    let model = nobody_knows(json!({ "state": "resizing" }), Really::Done(json!({ "ok": true })));
    let ran = run(&probed(), &model, Fault::None, 1);
    let answers = answers(&ran);
    assert!(answers.len() > 3 && answers.iter().all(|answer| matches!(answer, Answer::CannotTell(_))));
    assert_eq!(ran.status(), Status::NeedsOperator);
}

/// A probe that says the effect is absent while it is there is caught: the same effect comes about twice.
#[test]
fn a_wrong_probe_is_caught() {
    let plan = probed();
    let model = nobody_knows(json!({ "state": "missing" }), Really::Done(json!({ "ok": true })));
    let ran = run(&plan, &model, Fault::None, 1);
    let broken: Vec<_> = invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL);
    assert_eq!(broken.iter().map(|it| it.invariant).collect::<Vec<_>>(), [Invariant::DoneOnce]);
}
