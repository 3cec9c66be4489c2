use longhaul_model::Source;
use longhaul_model::action::Catalogue;
use longhaul_model::document::Document;
use serde_json::json;

use super::*;
use crate::chart;

const HEAD: &str = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n";
/// 2026-08-30T06:00:00Z.
const BEGINS_UNIX_MS: u64 = 1_788_069_600_000;

fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("../../../../tests/fixtures/workflows/catalogue.json")).unwrap()
}

fn plan(text: &str, given: &Value) -> Plan {
    let document = Document::parse(&Source::new("w.yaml", text)).unwrap();
    crate::check(&document, given.as_object().unwrap(), &catalogue())
        .unwrap_or_else(|found| panic!("{}", found.render(false)))
}

/// A prefetch takes 10 s and a hand-over 3 s; nobody else says anything.
fn estimate(action: &ActionName, _: &Value) -> Expected {
    match action.kind() {
        "storage.prefetch" => {
            Expected { duration_ms: Some(10_000), wire_bytes: Some(1_000_000), pause_ms: None }
        }
        "vm.move" => Expected { duration_ms: Some(3_000), wire_bytes: Some(500), pause_ms: Some(250) },
        _ => Expected::default(),
    }
}

fn forecast(plan: &Plan, facts: &BTreeMap<StepId, Fact>) -> Forecast {
    let begins_unix_ms = BEGINS_UNIX_MS;
    Forecast::of(plan, &Circumstances { facts, estimate: &estimate, begins_unix_ms })
}

fn evacuate(vms: &[&str]) -> Plan {
    let text = include_str!("../../../../workflows/evacuate.yaml");
    plan(text, &json!({"vms": vms, "from": "a", "to": "b"}))
}

/// Items go one after the other, a fact counts as long as it took, and the way that decides the end is the critical one.
#[test]
fn items_wait_for_each_other() {
    let looked = Fact { outputs: json!({"rtt_ms": 50, "memory_bytes": 1}), took_ms: 400 };
    let facts = BTreeMap::from([("preflight".parse().unwrap(), looked)]);
    let forecast = forecast(&evacuate(&["vm-a", "vm-b"]), &facts);
    let times = |path: &str| {
        let step = forecast.steps.iter().find(|step| step.path == path).unwrap();
        (step.start_ms, step.end_ms, step.rests_on, step.is_critical)
    };
    assert_eq!(times("preflight"), (0, 400, RestsOn::Looked, true));
    assert_eq!(times("move/vm-a/prefetch"), (400, 10_400, RestsOn::Estimate, true));
    assert_eq!(times("move/vm-a/prepare_dns"), (400, 400, RestsOn::Nothing, false));
    assert_eq!(times("move/vm-b/move_vm"), (23_400, 26_400, RestsOn::Estimate, true));
    assert_eq!(times("move"), (400, 26_400, RestsOn::Items, false));
    assert_eq!((forecast.total_ms, forecast.wire_bytes, forecast.is_complete), (26_400, 2_001_000, false));
    assert_eq!(forecast.longest_pause_ms, Some(250));
    assert_eq!(forecast.critical_path.first().map(String::as_str), Some("preflight"));
    assert!(forecast.critical_path.contains(&"move/vm-b/prefetch".to_owned()), "{forecast:?}");
    let unknown = forecast.unknown.join("\n");
    assert!(unknown.contains("how long gtm.prepare@1 takes: it gives no estimate (2 steps)"), "{unknown}");
}

/// As many items as may be at once share the time; the shorter ones make room first.
#[test]
fn items_run_beside_each_other() {
    let text = format!(
        "{HEAD}steps:\n  each:\n    foreach: ${{{{ [\"2s\", \"4s\", \"6s\"] }}}}\n    as: long\n    max_parallel: 2\n    \
         steps:\n      pause: {{ wait: \"${{{{ long }}}}\" }}\n"
    );
    let forecast = forecast(&plan(&text, &json!({})), &BTreeMap::new());
    let ends: Vec<_> =
        forecast.steps.iter().map(|step| (step.path.as_str(), step.start_ms, step.end_ms)).collect();
    let expected = [
        ("each", 0, 8_000),
        ("each/2s/pause", 0, 2_000),
        ("each/4s/pause", 0, 4_000),
        ("each/6s/pause", 2_000, 8_000),
    ];
    assert_eq!(ends, expected);
    assert_eq!(forecast.critical_path, ["each/2s/pause", "each/6s/pause"]);
}

/// Waits until a time, steps that are passed over, a deadline that is too early: each comes to what it will be.
#[test]
fn times_and_conditions_count() {
    let text = format!(
        "{HEAD}inputs:\n  at: {{ type: string, format: date-time }}\n\
         deadline: ${{{{ inputs.at }}}}\nsteps:\n  night: {{ wait: {{ until: \"2026-08-30T07:00:00Z\" }} }}\n  \
         repair: {{ needs: [night], if: '${{{{ failed(\"night\") }}}}', wait: 5h }}\n  \
         rest: {{ needs: [repair], wait: \"${{{{ `${{steps.look.outputs.bytes}}s` }}}}\" }}\n  \
         look: {{ uses: storage.prefetch@1, with: {{ vm: vm-a, from: a, to: b, until: {{ present: 1 }} }} }}\n"
    );
    let forecast = forecast(&plan(&text, &json!({"at": "2026-08-30T06:30:00Z"})), &BTreeMap::new());
    assert_eq!(forecast.total_ms, 3_600_000);
    let repair = forecast.steps.iter().find(|step| step.path == "repair").unwrap();
    assert_eq!((repair.rests_on, repair.end_ms), (RestsOn::PassedOver, 3_600_000));
    let deadline = forecast.deadline.unwrap();
    assert_eq!((deadline.after_ms, deadline.verdict), (1_800_000, DeadlineVerdict::DoesNotFit));
    assert!(forecast.unknown.iter().any(|one| one.starts_with("how long rest waits: ")), "{forecast:?}");
}

/// The drawing fits 80 columns, whatever the names and however many steps there are, and each row has its time.
#[test]
fn the_drawing_fits() {
    insta::assert_snapshot!(chart::render(&forecast(&evacuate(&["vm-a", "vm-b"]), &BTreeMap::new())));
    let long: Vec<String> = (0..200).map(|item| format!("a-machine-with-a-long-name-{item}")).collect();
    let many = evacuate(&long.iter().map(String::as_str).collect::<Vec<_>>());
    let drawn = chart::render(&forecast(&many, &BTreeMap::new()));
    let widest = drawn.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(chart::WIDTH), "{drawn}");
    assert!(drawn.contains("more steps"), "{drawn}");
    assert!(drawn.lines().count() < 50, "{drawn}");
}

/// What is claimed is free before a step begins, and the way there goes by who had it.
#[test]
fn claims_are_waited_for() {
    let step = |vm: &str, claims: &str| {
        format!(
            "  {vm}:\n    uses: storage.prefetch@1\n    with: {{ vm: {vm}, from: a, to: b, until: {{ present: 1 }} }}\n    \
             claims: {{ {claims} }}\n"
        )
    };
    let steps = [
        ("a", "wan: 6Mbit/s"),
        ("b", "wan: 6Mbit/s"),
        ("c", "wan: elastic"),
        ("d", "room: { amount: 2GiB, keep: true }"),
    ];
    let steps: String = steps.iter().map(|(vm, claims)| step(vm, claims)).collect();
    let resources = "resources:\n  wan: { kind: bandwidth, capacity: 10Mbit/s }\n  room: { kind: memory, capacity: 3GiB }\n";
    let plan = plan(&format!("{HEAD}{resources}steps:\n{steps}"), &json!({}));
    let forecast = forecast(&plan, &BTreeMap::new());
    let times: Vec<_> = forecast.steps.iter().map(|step| (step.path.as_str(), step.start_ms)).collect();
    assert_eq!(times, [("a", 0), ("b", 10_000), ("c", 0), ("d", 0)]);
    assert_eq!(forecast.critical_path, ["a", "b"]);
    insta::assert_snapshot!("claims", crate::render_text(&plan, Some(&forecast)));
}
