//! How runs go on from where they are.

use longhaul_model::action::Catalogue;
use longhaul_model::policy::NoHost;
use longhaul_saga::event::Observation;
use longhaul_saga::{Entry, Event, Intent, Record, Status};
use serde_json::json;

use super::{action, fine, plan, run};
use crate::{Fault, Forked, Ran, Setup, simulate};

/// When the run is looked at: its copy has been under way for so long.
const NOW_MS: u64 = 40_000;

/// What is under way takes what is left of what was expected, what is to come all of it; with half of the link what claims it takes
/// twice as long from now on, and nothing else does. What nothing says is named.
#[test]
fn what_is_left_takes_longer_with_less() {
    let mut copy = action("copy", &[], "reversible", false);
    copy["body"]["action"]["claims"] = json!([{ "resource": "wan", "elastic": {} }]);
    let plan = plan(&json!([copy, action("go", &["copy"], "none", false)]), &[]);
    let whole = run(&plan, &fine, Fault::None, 1);
    let begins = |record: &Record| matches!(&record.entry, Entry::Intent(Intent::Start(it)) if it.step.as_str() == "copy");
    let at = whole.records.iter().position(begins).unwrap();
    let mut past = whole.records[..=at].to_vec();
    let payload = json!({ "steps": { "copy": { "duration_ms": 100_000 }, "go": { "duration_ms": 10_000 } } });
    let expected = Event::Observation(Observation { source: "estimate".to_owned(), payload });
    past.push(Record { seq: past.len() as u64 + 1, entry: Entry::Event(expected), ..past[at].clone() });

    let catalogue = Catalogue::default();
    let world = || Forked::of(&past, &plan, NOW_MS, &catalogue, &NoHost);
    let go_on = |world: &Forked<'_>| -> Ran {
        let run = "run-sim".parse().unwrap();
        let fault = Fault::None;
        simulate(Setup {
            plan: &plan,
            run,
            past: &past,
            clock_unix_ms: NOW_MS,
            seed: 1,
            model: world,
            fault,
            resumes: 0,
        })
    };
    let took = |ran: &Ran| ran.records.last().unwrap().at_unix_ms - NOW_MS;
    let as_it_is = world();
    let before = go_on(&as_it_is);
    assert_eq!((before.status(), as_it_is.guessed()), (Status::Succeeded, vec!["report".to_owned()]));
    let with = world().with("wan", "500kbit/s").unwrap();
    let after = go_on(&with);
    assert_eq!(after.status(), Status::Succeeded);
    // Sixty seconds of the copy are left, and become twice as many.
    assert_eq!(took(&after) - took(&before), 60_000);
    assert!((70_000..75_000).contains(&took(&before)), "{}", took(&before));

    let more = go_on(&world().with("wan", "2Gbit/s").unwrap());
    assert_eq!(took(&more), took(&before));
    for (resource, amount, said) in [
        ("lan", "1Mbit/s", "the workflow has no resource `lan`; it has wan, slots"),
        ("wan", "0", "nothing that claims it would ever end"),
        ("wan", "much", "much"),
    ] {
        let error = world().with(resource, amount).err().unwrap();
        assert!(error.contains(said), "{error}");
    }
}
