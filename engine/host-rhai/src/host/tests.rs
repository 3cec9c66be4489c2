use longhaul_model::diagnostic::Code;
use longhaul_model::policy::{Hook, RunView, StepView, WorkflowView};
use serde_json::json;

use super::*;

fn view() -> View {
    View {
        version: 1,
        hook: Hook::BeforeStep,
        now: "2026-08-30T21:30:00Z".to_owned(),
        workflow: WorkflowView { name: "evacuate".to_owned(), ..WorkflowView::default() },
        inputs: json!({ "vms": ["vm-a", "vm-b"], "reserve": "2GiB" }).as_object().unwrap().clone(),
        run: Some(RunView::default()),
        plan: None,
        step: Some(StepView {
            uses: "vm.move@1".to_owned(),
            params: json!({ "vm": "vm-a" }),
            ..StepView::default()
        }),
        failure: None,
    }
}

fn script(text: &str) -> Source {
    Source::new("p.rhai", text)
}

fn decide(text: &str, with: &Value) -> Result<Vec<Decision>, String> {
    RhaiHost::default().decide(&script(text), &view(), with)
}

fn mistakes(text: &str) -> Vec<(&'static str, usize, usize, String)> {
    let script = script(text);
    let found = RhaiHost::default().check(&script);
    let told = |one: &longhaul_model::diagnostic::Diagnostic| {
        let place = script.place(one.span.start);
        (one.code.as_str(), place.line, place.column, one.message.clone())
    };
    found.iter().map(told).collect()
}

/// A script reads the view and its `with`, has statements and the quantities of expressions, and answers once or in a list.
#[test]
fn scripts_decide() {
    let text = r#"
        fn most(list) { let most = 0; for n in list { if n > most { most = n } } most }
        fn decide(view, given) {
            let answers = [];
            if hour(view.now) >= given.from { answers.push(warn("late: " + view.step.params.vm)) }
            if size(view.inputs.reserve) < size("4GiB") { answers.push(deny("too little")) }
            if now() - time("2026-08-30T20:00:00Z") > duration("1h") {
                answers.push(require_approval(#{ roles: ["duty-officer"], quorum: most([1, 2]), expires: "2h" }));
            }
            answers
        }"#;
    let answers = decide(text, &json!({ "from": 21 })).unwrap();
    let said: Vec<String> = answers.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["warns: late: vm-a", "denies it: too little", "wants 2 approvals by duty-officer, within 2h"]
    );
    assert_eq!(decide("fn decide(view) { allow() }", &json!({})).unwrap(), [Decision::Allow]);
    let days =
        "fn decide(v) { if weekday(v.now) == 7 && minute(v.now) == 30 { allow() } else { deny(`no`) } }";
    assert_eq!(decide(days, &json!({})).unwrap(), [Decision::Allow]);
}

/// What goes wrong while a script decides is told with the script's own line and column, and so is every bound it meets.
#[test]
fn failures_name_their_place() {
    let cases = [
        ("fn decide(v) {\n  let n = 0;\n  loop { n += 1; }\n}", "p.rhai:1:4", "too many operations"),
        (
            "fn decide(v) {\n  range(0, 3000).map(|x| range(0, 3000).map(|y| x + y)); allow()\n}",
            "p.rhai:",
            "too many operations",
        ),
        ("fn f(n) { f(n + 1) }\nfn decide(v) { f(0) }", "p.rhai:2:4", "stack overflow"),
        ("fn decide(v) { let s = `x`; loop { s += s } }", "p.rhai:1:", "length of string too large"),
        ("fn decide(v) { let a = [1]; loop { a.append(a) } }", "p.rhai:1:", "size of array"),
        ("fn decide(v) {\n  v.inputs.vmz\n}", "p.rhai:2:12", "vmz"),
        ("fn decide(v) {\n\n  throw \"broken\"\n}", "p.rhai:3:3", "broken"),
        ("fn decide(v) { deny(` `) }", "p.rhai:1:16", "`deny` needs a reason"),
        ("fn decide(v) { require_approval(#{ roles: [] }) }", "p.rhai:1:16", "at least one"),
        ("fn decide(v) { require_approval(#{ role: `a` }) }", "p.rhai:1:16", "has no `role`"),
        ("fn decide(v) { }", "p.rhai", "hands back nothing"),
        ("fn decide(v) { [] }", "p.rhai", "0 answers"),
        ("fn decide(v) { [allow(), 3] }", "p.rhai", "a list with something else"),
        ("fn decide(v) { true }", "p.rhai", "hands back bool"),
    ];
    for (text, place, why) in cases {
        let said = decide(text, &json!({})).unwrap_err();
        assert!(said.starts_with(place) && said.contains(why), "{text}: {said}");
    }
}

/// What is wrong with a script is seen before it is asked: syntax, functions and names that there are not, no `decide`.
#[test]
fn mistakes_are_found_before() {
    let none = Vec::<(&str, usize, usize, String)>::new();
    assert_eq!(mistakes("// a comment\nfn decide(view) { let f = |x| x + 1; [1].map(f); allow() }"), none);
    let cases = [
        ("fn decide(view) {\n  allow(\n}", Code::PolicyScript, 3, "unexpected"),
        ("fn decide(view) { alow() }", Code::PolicyScript, 1, "no function `alow`"),
        ("fn decide(view) { let x = eval(`1`); allow() }", Code::PolicyScript, 1, "eval"),
        ("fn decide(view) { import `x` as y; allow() }", Code::PolicyScript, 1, "import"),
        ("fn decide(view) {\n timestamp(); allow() }", Code::PolicyScript, 2, "no function `timestamp`"),
        ("fn decide(view) { if succeeded(`a`) { allow() } }", Code::PolicyScript, 1, "`succeeded`"),
        ("fn decide(view) { if wiev.hook == `plan` { } allow() }", Code::PolicyScript, 1, "wiev"),
        (
            "fn decide(view) {\n  if view.step.usess == 1 { }\n allow() }",
            Code::PolicyScript,
            2,
            "`step` of a view has no `usess`",
        ),
        (
            "fn decide(view) { if view.stepp.uses == 1 { } allow() }",
            Code::PolicyScript,
            1,
            "a view has no `stepp`",
        ),
        ("fn decided(view) { allow() }", Code::NoDecide, 1, "no function `decide`"),
        ("fn decide() { allow() }", Code::NoDecide, 1, "takes 0 things"),
        ("private fn decide(view) { allow() }", Code::NoDecide, 1, "private"),
        ("let a = 1;\nfn decide(view) { allow() }", Code::NoDecide, 1, "outside of functions"),
    ];
    for (text, code, line, said) in cases {
        let found = mistakes(text);
        assert!(
            matches!(found.as_slice(), [one] if (one.0, one.1) == (code.as_str(), line) && one.3.contains(said)),
            "{text}: {found:?}"
        );
    }
}

/// Every function that a script may call is there, and closures see what is around them.
#[test]
fn what_may_be_called_is_there() {
    let text = "fn decide(view, given) {
        let far = view.inputs.vms.filter(|vm| vm != view.step.params.vm && given.hosts.contains(vm));
        let count = 0;
        for vm in far { count += 1; }
        warn(far.sort().join(`, `) + ` ` + count + ` ` + [1, 2].sum() + ` ` + format_size(2048))
    }";
    let said = decide(text, &json!({ "hosts": ["vm-b", "vm-a"] })).unwrap();
    assert_eq!(said[0].to_string(), "warns: vm-b 1 3 2 KiB");
    let changed =
        "fn decide(view) { let n = 0; let add = |x| n += x; add.call(2); add.call(3); warn(`${n}`) }";
    assert_eq!(decide(changed, &json!({})).unwrap()[0].to_string(), "warns: 5");
}
