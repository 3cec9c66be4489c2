use std::sync::Arc;

use longhaul_model::Source;
use longhaul_model::action::Finding;
use longhaul_model::document::Document;
use longhaul_model::units::Time;
use serde_json::json;

use super::*;
use crate::plan::{Body, OnItemFailure};

const EVACUATE: &str = include_str!("../../../../workflows/evacuate.yaml");
const HEAD: &str = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n";

fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("../../../../tests/fixtures/workflows/catalogue.json")).unwrap()
}

fn document(text: &str) -> Document {
    Document::parse(&Source::new("w.yaml", text)).unwrap()
}

fn plan(text: &str, given: &Value) -> Result<Plan, Diagnostics> {
    check(&document(text), given.as_object().unwrap(), &catalogue())
}

fn evacuate(given: &Value) -> Result<Plan, Diagnostics> {
    plan(EVACUATE, given)
}

fn order(graph: &Graph) -> Vec<&str> {
    graph.steps.iter().map(|step| step.id.as_str()).collect()
}

fn codes(found: &Diagnostics) -> Vec<(Code, &str)> {
    found.iter().map(|one| (one.code, one.source.slice(one.span))).collect()
}

/// The shipped workflow becomes the plan that an operator expects, defaults filled in, and reads back from a journal.
#[test]
fn evacuate_becomes_a_plan() {
    let plan = evacuate(&json!({"vms": ["vm-a", "vm-b"], "from": "a", "to": "b"})).unwrap();
    assert_eq!(order(&plan.graph), ["preflight", "tunnel", "move"]);
    assert_eq!((&plan.inputs["present"], &plan.inputs["max_pause"]), (&json!(0.99), &json!("300ms")));
    let Body::Foreach(foreach) = &plan.graph.steps[2].body else { panic!("a foreach") };
    assert_eq!(order(&foreach.graph), ["prefetch", "prepare_dns", "gate", "move_vm", "redirect", "settle"]);
    assert_eq!((foreach.max_parallel, foreach.on_item_failure), (1, OnItemFailure::Continue));
    let Body::Action(prefetch) = &foreach.graph.steps[0].body else { panic!("an action") };
    assert_eq!((prefetch.timeout, prefetch.retry.max_attempts), (Time::from_millis(12 * 3_600_000), 4));
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    insta::assert_snapshot!(crate::render_text(&plan, None));
}

/// The digest depends on what the file says and not on how it is laid out.
#[test]
fn the_digest_is_of_the_resolved_document() {
    let given = json!({"vms": ["vm-a"], "from": "a", "to": "b"});
    let digest = |text: &str| plan(text, &given).unwrap().workflow.sha256;
    assert_eq!(digest(EVACUATE), digest(&format!("# a comment\n{EVACUATE}\n\n")));
    assert_ne!(digest(EVACUATE), digest(&EVACUATE.replace("ttl: 5", "ttl: 6")));
    assert_eq!(digest(EVACUATE).len(), 64);
}

/// What only the action can see is told at the parameter it concerns; not where the value is not known yet, and not
/// beside what the schema says already.
#[test]
fn actions_check_their_own_parameters() {
    let finding = |pointer: &str, message: &str| Finding { pointer: pointer.into(), message: message.into() };
    let no_seven = move |params: &Value| match &params["ttl"] {
        seven if *seven == json!(7) => vec![finding("/ttl", "write 8"), finding("/vm", "not this one")],
        _ => vec![finding("/ttl", "anything is wrong")],
    };
    let name = "gtm.prepare@1".parse().unwrap();
    let catalogue = catalogue().with_check(name, Arc::new(no_seven));
    let found = |with: &str| {
        let inputs = "inputs:\n  vm: { type: string, format: vm-id }\n  ttl: { type: integer }\n";
        let step = format!("steps:\n  a:\n    uses: gtm.prepare@1\n    with: {with}\n");
        let document = document(&format!("{HEAD}{inputs}{step}"));
        let said = |found: Result<(), Diagnostics>| {
            let found = found.err().unwrap_or_default();
            found.iter().map(|one| (one.code, one.message.clone())).collect::<Vec<_>>()
        };
        let given = json!({ "vm": "vm-a", "ttl": 7 });
        let planned = check(&document, given.as_object().unwrap(), &catalogue).map(drop);
        (said(validate(&document, &catalogue)), said(planned))
    };
    let of = |place: &str, message: &str| {
        (Code::InvalidParameter, format!("parameter `{place}` of `gtm.prepare@1`: {message}"))
    };
    let both = vec![of("vm", "not this one"), of("ttl", "write 8")];
    let (validated, planned) = found("{ vm: \"${{ inputs.vm }}\", ttl: \"${{ inputs.ttl }}\" }");
    assert_eq!((validated, planned), (vec![], both));
    let (validated, planned) = found("{ vm: \"${{ inputs.vm }}\", ttl: 7 }");
    assert_eq!((validated.len(), planned.len()), (1, 2));
    let (validated, _) = found("{ vm: vm-a, ttl: true }");
    assert!(validated.iter().all(|(_, said)| !said.contains("anything")), "{validated:?}");
}

/// A data reference makes an edge, and the text says why each edge is there.
#[test]
fn reading_makes_edges() {
    let text = format!(
        "{HEAD}steps:\n  b:\n    uses: gtm.prepare@1\n    with: {{ vm: vm-a, ttl: \"${{{{ steps.a.outputs.previous_ttl + 0 }}}}\" }}\n  \
         a:\n    uses: gtm.prepare@1\n    with: {{ vm: vm-a, ttl: 5 }}\n  each:\n    foreach: ${{{{ [\"x\"] }}}}\n    as: v\n    \
         steps:\n      c:\n        uses: report.write@1\n        with: {{ to: \"${{{{ steps.b.outputs.previous_ttl }}}}-${{{{ v }}}}\" }}\n"
    );
    let plan = plan(&text, &json!({})).unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(order(&plan.graph), ["a", "b", "each"]);
    assert_eq!(plan.graph.steps[2].needs, ["b".parse().unwrap()]);
    let rendered = crate::render_text(&plan, None);
    assert!(rendered.contains("after a (reads steps.a.outputs.previous_ttl in line 8)"), "{rendered}");
    assert!(rendered.contains("after b (reads steps.b.outputs.previous_ttl in line 18)"), "{rendered}");
    assert!(rendered.contains("b: ${{ steps.a.outputs.previous_ttl + 0 }}"), "{rendered}");
}

/// A plan from a journal that knows no reasons is read, and they are told as far as the plan itself shows them.
#[test]
fn a_plan_without_reasons_is_read() {
    let plan = evacuate(&json!({"vms": ["vm-a"], "from": "a", "to": "b"})).unwrap();
    let mut old = serde_json::to_value(&plan).unwrap();
    for step in old["graph"]["steps"].as_array_mut().unwrap() {
        step.as_object_mut().unwrap().remove("reasons");
    }
    let old: Plan = serde_json::from_value(old).unwrap();
    assert!(old.graph.steps.iter().all(|step| step.reasons.is_empty()));
    let rendered = crate::render_text(&old, None);
    assert!(rendered.contains("after preflight (written)\n"), "{rendered}");
}

/// Values that the inputs make known are held against the action's schema before anything starts.
#[test]
fn bound_values_are_checked() {
    let text = format!(
        "{HEAD}inputs: {{ ttl: {{ type: integer }} }}\nsteps:\n  a:\n    uses: gtm.prepare@1\n    \
         with: {{ vm: vm-a, ttl: \"${{{{ inputs.ttl - 10 }}}}\" }}\n"
    );
    assert!(plan(&text, &json!({"ttl": 15})).is_ok());
    let found = plan(&text, &json!({"ttl": 5})).unwrap_err();
    assert_eq!(codes(&found), [(Code::InvalidParameter, "\"${{ inputs.ttl - 10 }}\"")]);
}

/// Wrong inputs are found together, and an item that stands twice before it could be mistaken for itself.
#[test]
fn inputs_are_checked() {
    let found = evacuate(&json!({"vms": ["VM"], "form": "a", "present": 2})).unwrap_err();
    let found: Vec<_> = found.iter().map(|one| one.code).collect();
    let expected =
        [Code::UnknownInput, Code::InvalidInput, Code::MissingInput, Code::MissingInput, Code::InvalidInput];
    assert_eq!(found, expected);
    let text = format!(
        "{HEAD}inputs: {{ l: {{ type: array }} }}\nsteps:\n  e:\n    foreach: ${{{{ inputs.l }}}}\n    as: v\n    \
         steps: {{ r: {{ uses: report.write@1, with: {{ to: r }} }} }}\n"
    );
    let found = plan(&text, &json!({"l": ["x", "y", "x"]})).unwrap_err();
    assert_eq!(codes(&found), [(Code::InvalidInput, "${{ inputs.l }}")]);
}

/// Two pivots are refused on one branch and accepted on two.
#[test]
fn pivots_are_counted_by_branch() {
    let step = |id: &str, needs: &str| {
        format!(
            "  {id}:\n    needs: [{needs}]\n    uses: vm.move@1\n    pivot: true\n    with: {{ vm: vm-a, from: a, to: b, max_pause: 1s }}\n"
        )
    };
    let two = format!("{HEAD}steps:\n{}{}", step("a", ""), step("b", ""));
    assert!(plan(&two, &json!({})).is_ok());
    let one = format!("{HEAD}steps:\n{}{}", step("a", ""), step("b", "a"));
    assert_eq!(plan(&one, &json!({})).unwrap_err().iter().next().unwrap().code, Code::Pivots);
}

/// A cycle is named with every step that is part of it, once.
#[test]
fn cycles_are_named() {
    let step = |id: &str, needs: &str| {
        format!("  {id}: {{ needs: [{needs}], uses: report.write@1, with: {{ to: r }} }}\n")
    };
    let text =
        format!("{HEAD}steps:\n{}{}{}{}", step("a", "c"), step("b", "a"), step("c", "b, d"), step("d", ""));
    let found = plan(&text, &json!({})).unwrap_err();
    let messages: Vec<_> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["steps wait for each other: a needs c needs b needs a"]);
}

mod order {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever edges lead back in the file: a plan's steps come after all they need, and none is lost.
        #[test]
        fn needs_come_first(edges in proptest::collection::btree_set((0..12usize, 0..12usize), 0..40)) {
            // Every edge from the smaller number to the larger; the file lists the steps backwards.
            let needs = |at: usize| {
                let all: BTreeSet<_> = edges.iter().filter(|(a, b)| a != b && *a.max(b) == at).map(|(a, b)| a.min(b)).collect();
                all.into_iter().map(|at| format!("s{at}")).collect::<Vec<_>>().join(", ")
            };
            let steps: String = (0..12).rev()
                .map(|at| format!("  s{at}: {{ needs: [{}], uses: report.write@1, with: {{ to: r }} }}\n", needs(at)))
                .collect();
            let plan = plan(&format!("{HEAD}steps:\n{steps}"), &json!({})).unwrap();
            prop_assert_eq!(plan.graph.steps.len(), 12);
            for (at, step) in plan.graph.steps.iter().enumerate() {
                for needed in &step.needs {
                    prop_assert!(plan.graph.steps[..at].iter().any(|before| before.id == *needed));
                }
            }
        }
    }
}

/// A workflow of `gtm.prepare@1` steps, each with an `if` or none and what it takes for its TTL, and blocks after them.
fn conditional(steps: &[(&str, &str, &str)], rest: &str) -> String {
    let step = |(id, condition, ttl): &(&str, &str, &str)| {
        let condition = if condition.is_empty() { String::new() } else { format!("    if: {condition}\n") };
        format!("  {id}:\n{condition}    uses: gtm.prepare@1\n    with: {{ vm: vm-a, ttl: \"{ttl}\" }}\n")
    };
    let steps: String = steps.iter().map(step).collect();
    format!("{HEAD}steps:\n{steps}{rest}")
}

/// Asking how a step ended is a need; a condition is exactly one expression that is true or false.
#[test]
fn conditions_make_edges() {
    let steps = [("b", "${{ failed(\"a\") }}", "${{ 5 }}"), ("a", "", "${{ 5 }}")];
    let plan =
        plan(&conditional(&steps, ""), &json!({})).unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(order(&plan.graph), ["a", "b"]);
    let rendered = crate::render_text(&plan, None);
    let expected = "    only if ${{ failed(\"a\") }}\n    after a (reads steps.a.status in line 7)\n";
    assert!(rendered.contains(expected), "{rendered}");
    for (condition, code) in [
        ("yes", Code::NotOneExpression),
        ("${{ 1 + 1 }} or so", Code::NotOneExpression),
        ("${{ \"yes\" }}", Code::TypeMismatch),
        ("${{ failed(\"nobody\") }}", Code::UnknownStep),
        ("${{ failed(\"a\") }}", Code::ForwardRead),
    ] {
        let found = validate(&document(&conditional(&[("a", condition, "${{ 5 }}")], "")), &catalogue());
        let found = found.err().unwrap_or_default();
        assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), [code], "{condition}");
    }
}

/// An output is read with a default wherever its step may not have run, and nowhere else is one asked for.
#[test]
fn what_may_not_have_run_is_read_with_a_default() {
    let read = |default: &str| format!("${{{{ steps.a.outputs.previous_ttl{default} }}}}");
    let (bare, safe) = (read(""), read(" ?? 60"));
    let last = |block: &str, condition: &str, text: &str| {
        format!("{block}:\n  z:\n{condition}    uses: report.write@1\n    with: {{ to: \"r-{text}\" }}\n")
    };
    let only = "    if: ${{ succeeded(\"a\") }}\n";
    let outputs = |text: &str| format!("outputs:\n  o: {text}\n");
    let (yes, no) = (true, false);
    let cases: [(&str, (&str, &str), String, bool); 12] = [
        ("", ("", &bare), String::new(), yes),
        ("${{ true }}", ("", &bare), String::new(), no),
        ("${{ true }}", ("", &safe), String::new(), yes),
        ("${{ true }}", ("${{ succeeded(\"a\") && true }}", &bare), String::new(), yes),
        ("", ("${{ skipped(\"a\") }}", &bare), String::new(), no),
        ("", ("${{ always() }}", &safe), String::new(), yes),
        ("", ("${{ failed(\"a\") }}", "${{ 5 }}"), outputs(&bare), no),
        ("", ("${{ failed(\"a\") }}", "${{ 5 }}"), outputs(&safe), yes),
        ("", ("", "${{ 5 }}"), outputs(&bare), yes),
        ("", ("", "${{ 5 }}"), last("always", "", &bare), no),
        ("", ("", "${{ 5 }}"), last("always", only, &bare), yes),
        ("", ("", "${{ 5 }}"), last("on_failure", "", &safe), yes),
    ];
    for (condition, (reader_condition, reader), rest, passes) in cases {
        let text = conditional(&[("a", condition, "${{ 5 }}"), ("b", reader_condition, reader)], &rest);
        let found = validate(&document(&text), &catalogue()).err().unwrap_or_default();
        let expected: &[Code] = if passes { &[] } else { &[Code::MayNotHaveRun] };
        assert_eq!(
            found.iter().map(|one| one.code).collect::<Vec<_>>(),
            expected,
            "{text}{}",
            found.render(false)
        );
    }
}

/// The outputs that are read with a default are noted with their step, for nothing is read of them when it did not run.
#[test]
fn defaulted_outputs_are_noted() {
    let read = "${{ steps.a.outputs.previous_ttl ?? 60 }}";
    let plan =
        plan(&conditional(&[("a", "${{ false }}", "${{ 5 }}"), ("b", "", read)], ""), &json!({})).unwrap();
    let Body::Action(action) = &plan.graph.steps[0].body else { panic!("an action") };
    assert_eq!(action.defaulted, ["previous_ttl"]);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["graph"]["steps"][0]["if"], "${{ false }}");
    assert_eq!(serde_json::from_value::<Plan>(json).unwrap(), plan);
}

/// A scope is something that can be taken away, no pivot, and nothing that a hand-over stands on.
#[test]
fn scopes_can_be_closed() {
    let codes = |step: &str| {
        let text = format!("{HEAD}steps:\n  a:\n    scope: true\n{step}");
        let found = validate(&document(&text), &catalogue()).err().unwrap_or_default();
        found.iter().map(|one| one.code).collect::<Vec<_>>()
    };
    let moving = "    uses: vm.move@1\n    with: { vm: vm-a, from: a, to: b, max_pause: 1s }\n";
    let undo = "    compensate: { uses: gtm.prepare@1, with: { vm: vm-a, ttl: 5 } }\n";
    assert_eq!(codes("    uses: gtm.prepare@1\n    with: { vm: vm-a, ttl: 5 }\n"), []);
    assert_eq!(codes("    uses: site.check@1\n    with: { from: a, to: b, vms: [] }\n"), [Code::Effects]);
    assert_eq!(codes(moving), [Code::Effects]);
    assert_eq!(codes(&format!("{moving}{undo}")), [Code::NeverUndone]);
    assert_eq!(codes(&format!("{moving}    pivot: true\n")), [Code::StepBody, Code::Effects]);
    let copy =
        "    uses: storage.prefetch@1\n    with: { vm: vm-a, from: a, to: b, until: { present: 1 } }\n";
    let then =
        |needs: &str| format!("{copy}  b: {{ needs: [a], wait: 1s }}\n  c:\n    needs: [{needs}]\n{moving}");
    assert_eq!(codes(copy), []);
    assert_eq!(codes(&then("")), [], "beside it");
    assert_eq!(codes(&then("b")), [Code::Pivots], "through another step");
    let before_both = "    uses: gtm.prepare@1\n    with: { vm: vm-a, ttl: 5 }\n  c:\n    needs: [a]\n";
    assert_eq!(codes(&format!("{before_both}{moving}")), [], "nothing stands on that");
}

/// What nothing can undo is a pivot unless one stands before it.
#[test]
fn what_cannot_be_undone_is_a_pivot() {
    let moving = |keys: &str| {
        format!("{{ uses: vm.move@1, with: {{ vm: vm-a, from: a, to: b, max_pause: 1s }}, {keys} }}")
    };
    let text = format!(
        "{HEAD}steps:\n  first: {}\n  second: {}\n  beside: {}\n  each:\n    \
         foreach: ${{{{ [\"n\"] }}}}\n    needs: [beside]\n    as: n\n    steps: {{ inside: {} }}\n  alone:\n    \
         foreach: ${{{{ [\"n\"] }}}}\n    as: n\n    steps: {{ inside: {} }}\n",
        moving(""),
        moving("needs: [first]"),
        moving(""),
        moving(""),
        moving(""),
    );
    let plan = check(&document(&text), &Map::new(), &catalogue()).unwrap_or_else(|found| panic!("{found}"));
    let mut pivots = Vec::new();
    for step in &plan.graph.steps {
        match &step.body {
            Body::Action(action) => pivots.push((step.id.to_string(), action.pivot)),
            Body::Foreach(foreach) => {
                let Body::Action(action) = &foreach.graph.steps[0].body else { panic!() };
                pivots.push((step.id.to_string(), action.pivot));
            }
            Body::Workflow(_) | Body::Wait(_) | Body::Question(_) => {}
        }
    }
    let expected = [("first", true), ("second", false), ("beside", true), ("each", false), ("alone", true)];
    assert_eq!(pivots, expected.map(|(id, is_pivot)| (id.to_owned(), is_pivot)));
}

/// A wait is a duration or a time; what is known of it is checked before the run begins.
#[test]
fn waits_are_checked() {
    let inputs =
        "inputs:\n  at: { type: string, format: date-time }\n  vm: { type: string, format: vm-id }\n";
    let (yes, no) = (true, false);
    for (wait, passes) in [
        ("10m", yes),
        ("ten minutes", no),
        ("{ for: 10m }", yes),
        ("{ until: 10m }", no),
        ("{ until: \"${{ inputs.at }}\" }", yes),
        ("{ until: \"${{ inputs.at - duration('1h') }}\" }", no),
        ("{ until: \"${{ inputs.vm }}\" }", no),
        ("{ for: 10m, until: \"${{ inputs.at }}\" }", no),
        ("{ so_long: 10m }", no),
        ("[10m]", no),
    ] {
        let text = format!("{HEAD}{inputs}steps:\n  a:\n    wait: {wait}\n");
        let found = validate(&document(&text), &catalogue()).err().unwrap_or_default();
        assert_eq!(found.is_empty(), passes, "{wait}: {}", found.render(false));
    }
    let text = format!(
        "{HEAD}{inputs}steps:\n  a:\n    wait: {{ until: \"${{{{ inputs.at - duration(`30m`) }}}}\" }}\n"
    );
    let plan = plan(&text, &json!({"at": "2026-08-30T18:00:00Z", "vm": "vm-a"})).unwrap();
    let rendered = crate::render_text(&plan, None);
    assert!(rendered.contains("a: waits until ${{ inputs.at - duration(`30m`) }}\n"), "{rendered}");
    let Body::Wait(crate::Wait::Until(_)) = &plan.graph.steps[0].body else { panic!("a wait") };
}

/// A deadline is one expression of the inputs and the time, and a time.
#[test]
fn deadlines_are_checked() {
    let codes = |deadline: &str, id: &str| {
        let text = format!(
            "{HEAD}inputs:\n  at: {{ type: string, format: date-time }}\n  vm: {{ type: string, format: vm-id }}\n\
             deadline: {deadline}\nsteps:\n  {id}:\n    wait: 10m\n"
        );
        let found = validate(&document(&text), &catalogue()).err().unwrap_or_default();
        found.iter().map(|one| one.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("${{ inputs.at - duration(\"30m\") }}", "a"), []);
    assert_eq!(codes("${{ now() + duration(\"12h\") }}", "a"), []);
    assert_eq!(codes("2026-08-30T18:00:00Z", "a"), [Code::NotOneExpression]);
    assert_eq!(codes("${{ inputs.vm }}", "a"), [Code::TypeMismatch]);
    assert_eq!(codes("${{ steps.a.status }}", "a"), [Code::UnknownStep]);
    assert_eq!(codes("${{ inputs.at }}", "deadline"), [Code::ReservedName]);
}

/// A pivot, or a step that holds one, cannot run while what stands before it is undone.
#[test]
fn a_pivot_does_not_run_always() {
    let moving = "uses: vm.move@1, pivot: true, with: { vm: vm-a, from: a, to: b, max_pause: 1s }";
    let codes = |steps: String| {
        let found =
            validate(&document(&format!("{HEAD}steps:\n{steps}")), &catalogue()).err().unwrap_or_default();
        found.iter().map(|one| one.code).collect::<Vec<_>>()
    };
    let always = "if: \"${{ always() }}\"";
    let items = |condition: &str| {
        format!(
            "  e: {{ {condition}foreach: \"${{{{ ['x'] }}}}\", as: v, steps: {{ a: {{ {moving} }} }} }}\n"
        )
    };
    assert_eq!(codes(format!("  a: {{ {always}, {moving} }}\n")), [Code::Pivots]);
    assert_eq!(codes(format!("  a: {{ if: \"${{{{ true }}}}\", {moving} }}\n")), []);
    assert_eq!(codes(items(&format!("{always}, ")).replace("'x'", "`x`")), [Code::Pivots]);
    assert_eq!(codes(items("").replace("'x'", "`x`")), []);
}

/// A chain or a circle of thousands of steps, and a step that needs them all, is as good as a short one: nothing calls
/// itself once for each, and the order is the file's.
#[test]
fn thousands_of_steps_are_planned() {
    const STEPS: usize = 8_000;
    let all: Vec<String> = (0..STEPS).map(|step| format!("s{step}")).collect();
    let chain = |first: &str| {
        let step = |(at, id): (usize, &String)| {
            let needed = at.checked_sub(1).map_or_else(|| first.to_owned(), |before| all[before].clone());
            format!("  {id}: {{ needs: [{needed}], uses: gtm.prepare@1, with: {{ vm: vm-a, ttl: 5 }} }}\n")
        };
        all.iter().enumerate().map(step).collect::<String>()
    };
    let last = format!("  last: {{ needs: [{}], wait: 1s }}\n  first: {{ wait: 1s }}\n", all.join(", "));
    let plan = plan(&format!("{HEAD}steps:\n{}{last}", chain("first")), &json!({})).unwrap();
    let order = order(&plan.graph);
    assert_eq!((order[0], order[1], order[STEPS], order[STEPS + 1]), ("first", "s0", "s7999", "last"));
    assert_eq!(plan.graph.steps[STEPS + 1].reasons.len(), STEPS);
    let circle = format!("{HEAD}steps:\n{}{last}", chain("s7999"));
    let found = validate(&document(&circle), &catalogue()).unwrap_err();
    assert_eq!(codes(&found), [(Code::Cycle, "s0")]);
}
