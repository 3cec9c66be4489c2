use std::sync::Arc;

use longhaul_model::Source;
use longhaul_model::action::Finding;
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
    assert_eq!(order(&foreach.graph), ["prefetch", "prepare_dns", "move_vm", "redirect", "settle"]);
    assert_eq!((foreach.max_parallel, foreach.on_item_failure), (1, OnItemFailure::Continue));
    let Body::Action(prefetch) = &foreach.graph.steps[0].body else { panic!("an action") };
    assert_eq!((prefetch.timeout, prefetch.retry.max_attempts), (Time::from_millis(12 * 3_600_000), 4));
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    insta::assert_snapshot!(crate::render_text(&plan));
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
    let rendered = crate::render_text(&plan);
    assert!(rendered.contains("after a (data: steps.a.outputs.previous_ttl)"), "{rendered}");
    assert!(rendered.contains("b: ${{ steps.a.outputs.previous_ttl + 0 }}"), "{rendered}");
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
