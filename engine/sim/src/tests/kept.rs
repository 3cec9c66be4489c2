//! States that are kept beside the records: going on from one is going on from the records.

use longhaul_saga::{Entry, Event, Fold, Record, Saga};

use super::random;

/// The plan of a run, out of its first record.
fn plan(records: &[Record]) -> longhaul_plan::Plan {
    match &records[0].entry {
        Entry::Event(Event::RunCreated(created)) => created.plan.clone(),
        other => panic!("{other:?}"),
    }
}

/// In random runs with everything that the format can say, cut anywhere between two batches: the state comes back from its text as
/// it was, and makes of the records behind it what the state makes that has seen them all.
#[test]
fn a_kept_state_goes_on_as_it_would_have() {
    let given = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("LONGHAUL_SEED={first} and the 150 from it");
    let mut kept = 0;
    for seed in first..first + 150 {
        let (_, ran) = random::run(seed);
        let whole = Saga::fold(&ran.records).unwrap().saga.keep();
        let step = 1 + ran.records.len() / 6;
        for cut in (1..ran.records.len()).step_by(step) {
            let fold = Saga::fold(&ran.records[..cut]).unwrap();
            // In the middle of a batch nobody keeps anything.
            let (true, Some(text)) = (fold.unrecorded.is_empty(), fold.saga.keep()) else { continue };
            let saga = Saga::recall(&text, plan(&ran.records)).unwrap();
            assert_eq!(saga.keep().as_ref(), Some(&text), "LONGHAUL_SEED={seed}, record {cut}");
            let mut again = Fold { saga, unrecorded: Vec::new() };
            let went = again.go_on(&ran.records[cut..]);
            assert_eq!(went, Ok(()), "LONGHAUL_SEED={seed}, record {cut}");
            assert_eq!(again.saga.keep(), whole, "LONGHAUL_SEED={seed}, record {cut}");
            kept += 1;
        }
    }
    assert!(kept > 150, "only {kept} states were kept");
}

/// A text that is of another plan, or no state at all, is refused.
#[test]
fn a_state_of_another_plan_is_refused() {
    let (_, one) = random::run(1);
    let (_, other) = random::run(2);
    let text = Saga::fold(&one.records).unwrap().saga.keep().unwrap();
    assert!(Saga::recall(&text, plan(&other.records)).is_err());
    assert!(Saga::recall("{}", plan(&one.records)).is_err());
}

/// What a state looks like as text. When this changes, or what it means does, `KEPT_FORM` has to be raised.
#[test]
fn the_form_is_as_it_was() {
    let (_, ran) = random::run(5);
    let text = Saga::fold(&ran.records).unwrap().saga.keep().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut names = Vec::new();
    collect(&value, "", &mut names);
    names.sort();
    names.dedup();
    insta::assert_snapshot!(format!("form {}\n{}", longhaul_saga::KEPT_FORM, names.join("\n")));
}

/// The names of all fields, each with those around it; what stands inside values of users is left out.
fn collect(value: &serde_json::Value, around: &str, names: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, inner) in fields {
                let path = format!("{around}.{name}");
                names.push(path.clone());
                if !matches!(name.as_str(), "params" | "outputs" | "value" | "inputs" | "signals" | "own") {
                    collect(inner, &path, names);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, around, names)),
        _ => {}
    }
}
