//! Decisions that depend on whether a site is up: it is looked at when the decision is due, and what was seen is recorded.

use longhaul_model::site::Sight;
use longhaul_saga::{Entry, Event, Failure, Status, Work};

use super::questions::state;
use super::{
    Asked, Behaviour, Ending, Fault, Invariant, Layout, Model, Ran, Side, Value, action, fine, invariant,
    json, plan, run,
};

/// Nothing of site `gone` is left from this time on, and the step `broken` fails.
struct Gone {
    from_unix_ms: u64,
    until_unix_ms: u64,
}

impl Model for Gone {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        match asked.step.as_str() {
            "broken" => Behaviour::timed(60_000, Ending::Failed(Failure::new("permanent", "made up"))),
            _ => fine(asked),
        }
    }

    fn sight(&self, site: &str, at_unix_ms: u64) -> Sight {
        match site {
            "gone" if (self.from_unix_ms..self.until_unix_ms).contains(&at_unix_ms) => Sight::Down,
            "misspelt" => Sight::Unknown("there is no such site".to_owned()),
            _ => Sight::Up,
        }
    }
}

fn when(condition: &str, mut step: Value) -> Value {
    step["if"] = json!(format!("${{{{ {condition} }}}}"));
    step
}

fn seen(ran: &Ran) -> Vec<(&str, Work, &str, &Sight)> {
    let seen = ran.records.iter().filter_map(|record| match &record.entry {
        Entry::Event(Event::Observed(it)) => Some((it.step.as_str(), it.work, it.site.as_str(), &it.seen)),
        _ => None,
    });
    seen.collect()
}

/// A step is passed over when the site that its `if` asks for does not answer; what is not asked for is not looked at, and a
/// site that nobody knows fails the step by name.
#[test]
fn a_condition_looks_at_sites() {
    let steps = json!([
        when("site_up(\"gone\")", action("there", &[], "reversible", false)),
        when("site_up(\"here\") || site_up(\"gone\")", action("anywhere", &[], "reversible", false)),
        when("[\"here\", \"gone\"].all(|site| site_up(site))", action("both", &[], "reversible", false)),
        action("after", &["there", "anywhere", "both"], "none", false),
    ]);
    let model = Gone { from_unix_ms: 0, until_unix_ms: u64::MAX };
    let plan = plan(&steps, &[]);
    let ran = run(&plan, &model, Fault::None, 1);
    let looks = [
        ("there", Work::Forward, "gone", &Sight::Down),
        ("anywhere", Work::Forward, "here", &Sight::Up),
        ("both", Work::Forward, "here", &Sight::Up),
        ("both", Work::Forward, "gone", &Sight::Down),
    ];
    let mut found = seen(&ran);
    found.sort_by_key(|(step, ..)| looks.iter().position(|(known, ..)| known == step));
    assert_eq!(found, looks);
    let states = ["there", "anywhere", "both", "after"].map(|step| state(&ran, step).unwrap());
    assert_eq!((states, ran.status()), (["skipped", "succeeded", "skipped", "succeeded"], Status::Succeeded));
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// A site that nobody knows is no site that is down: the step that asks fails, and says why.
#[test]
fn an_unknown_site_fails_the_step() {
    let steps = json!([when("!site_up(\"misspelt\")", action("late", &[], "reversible", false))]);
    let ran = run(&plan(&steps, &[]), &fine_but_unknown(), Fault::None, 1);
    let late = ran.steps.iter().find(|view| view.step.as_str() == "late").unwrap();
    let why = late.failure.clone().unwrap_or_default();
    assert!(why.contains("site `misspelt`") && why.contains("there is no such site"), "{why}");
    assert_eq!(ran.status(), Status::Failed);
}

fn fine_but_unknown() -> Gone {
    Gone { from_unix_ms: 0, until_unix_ms: 0 }
}

/// What an undo requires of a site is looked at when the undo is due, wherever the controller dies: while the site is gone
/// nothing is undone, and when an operator resumes the run it is looked at once more.
#[test]
fn an_undo_waits_for_its_site() {
    let mut move_there = action("move", &[], "irreversible", false);
    move_there["body"]["action"]["compensate"] = json!({
        "uses": "toy.write@1", "with": { "file": "back" }, "requires": ["${{ site_up(\"gone\") }}"],
    });
    let plan = plan(&json!([move_there, action("broken", &["move"], "reversible", false)]), &[]);
    let gone_when_needed = Gone { from_unix_ms: 30_000, until_unix_ms: 70_000 };
    let ran = run(&plan, &gone_when_needed, Fault::None, 1);
    let down = ("move", Work::Undo, "gone", &Sight::Down);
    assert_eq!(seen(&ran).first(), Some(&down));
    assert_eq!((seen(&ran).last().unwrap().3, ran.status()), (&Sight::Up, Status::Failed));
    let stays_gone = Gone { from_unix_ms: 30_000, until_unix_ms: u64::MAX };
    assert_eq!(run(&plan, &stays_gone, Fault::None, 1).status(), Status::NeedsOperator);
    for write in 1..=ran.records.len() as u64 {
        for side in [Side::Before, Side::After] {
            let ran = run(&plan, &gone_when_needed, Fault::Crash { write, side }, 1);
            assert_eq!(ran.status(), Status::Failed, "{}: {:?}", ran.fault, ran.halt);
            assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), [], "{}", ran.fault);
        }
    }
}
