use serde_json::json;

use super::*;
use crate::Root;

fn scope() -> Scope {
    let inputs = json!({"vms": ["vm-a", "vm-b"], "n": 3, "site": "a"});
    let steps = json!({"move": {"status": "succeeded", "outputs": {"pause_ms": 12},
        "items": [{"key": "vm-a", "status": "succeeded"}, {"key": "vm-b", "status": "failed"}]}});
    let vars = json!({"vm": "vm-a"});
    let map = |value: Value| value.as_object().unwrap().clone();
    let now_unix_ms = Some(1_788_000_000_000);
    Scope { inputs: map(inputs), steps: map(steps), vars: map(vars), now_unix_ms, ..Scope::default() }
}

fn value(text: &str) -> Value {
    Expression::parse(text).unwrap().evaluate(&scope()).unwrap()
}

fn refused(text: &str) -> Error {
    Expression::parse(text).unwrap_err()
}

/// Reads of inputs, steps and item variables, arithmetic, closures and defaults have the value Rhai's book promises.
#[test]
fn expressions_evaluate() {
    assert_eq!(value("${{ inputs.vms }}"), json!(["vm-a", "vm-b"]));
    assert_eq!(value(" ${{ inputs.n * 2 }} "), json!(6));
    assert_eq!(value("${{ vm + \"@\" + inputs[\"site\"] }}"), json!("vm-a@a"));
    assert_eq!(value("${{ `${vm}!` }}"), json!("vm-a!"));
    assert_eq!(value("${{ inputs.vms.len() > 1 && true }}"), json!(true));
    assert_eq!(value("${{ #{a: #{b: [1.5, ()]}} }}"), json!({"a": {"b": [1.5, null]}}));
    assert_eq!(value("${{ if inputs.n == 3 { \"x\" } else { \"y\" } }}"), json!("x"));
    let moved = r#"${{ steps.move.items.filter(|i| i.status == "succeeded").map(|i| i.key) }}"#;
    assert_eq!(value(moved), json!(["vm-a"]));
    assert_eq!(value("${{ inputs.vms.filter(|v| v != vm) }}"), json!(["vm-b"]));
}

/// However an expression reads a map, whole or by a name, in a closure or outside, it sees what is there.
#[test]
fn what_is_read_is_there() {
    assert_eq!(value("${{ steps.move.items.map(|item| inputs.n) }}"), json!([3, 3]));
    assert_eq!(value("${{ [1].map(|x| inputs.len()) }}"), json!([3]));
    assert_eq!(value("${{ [inputs.n, inputs.len(), \"site\" in inputs] }}"), json!([3, 3, true]));
    assert_eq!(value("${{ `${inputs.site}${steps.move.outputs.pause_ms}` }}"), json!("a12"));
    assert_eq!(value("${{ [\"n\"].map(|name| inputs[name]) }}"), json!([3]));
    assert_eq!(value("${{ inputs.vms.map(|v| v + inputs.site) }}"), json!(["vm-aa", "vm-ba"]));
    assert_eq!(
        value("${{ inputs.vms.filter(|v| inputs.vms.some(|w| w != v && w != vm)) }}"),
        json!(["vm-a"])
    );
    assert_eq!(value("${{ vm.split(\"-\").map(|part| part + vm) }}"), json!(["vmvm-a", "avm-a"]));
    let items = "${{ steps.move.items.map(|item| steps.move.outputs.pause_ms + steps.move.items.len()) }}";
    assert_eq!(value(items), json!([14, 14]));
}

/// The questions about steps are answered from their statuses, also inside a closure, and are reads of those steps; what
/// must have succeeded for the whole to be true is known.
#[test]
fn questions_are_answered() {
    let mut scope = scope();
    for (id, status) in [("a", "failed"), ("b", "kept"), ("c", "skipped"), ("d", "partial"), ("e", "running")]
    {
        scope.steps.insert(id.to_owned(), json!({ "status": status, "outputs": null }));
    }
    let ask = |question: &str| {
        let yes = |id: &&str| {
            let asked = Expression::parse(&format!("${{{{ [1].some(|x| {question}(\"{id}\")) }}}}")).unwrap();
            asked.evaluate(&scope).unwrap() == json!(true)
        };
        ["move", "a", "b", "c", "d", "e"].into_iter().filter(yes).collect::<String>()
    };
    assert_eq!(["succeeded", "failed", "skipped"].map(ask), ["moveb", "ad", "c"]);
    let text = r#"${{ succeeded("a") && (failed("b") || succeeded("c")) && inputs.n > 1 }}"#;
    let expression = Expression::parse(text).unwrap();
    let asked =
        Asked { failed: vec!["b".into()], succeeded: vec!["a".into()], any: true, ..Asked::default() };
    assert_eq!(expression.asked(), &asked);
    let steps = expression.references().iter().filter(|read| read.root == Root::Steps);
    assert_eq!(
        steps.map(|read| read.path.join(".")).collect::<Vec<_>>(),
        ["a.status", "b.status", "c.status"]
    );
    assert!(Expression::parse("${{ always() || true }}").unwrap().asked().always);
    let unknown = Expression::parse("${{ failed(\"nowhere\") }}").unwrap().evaluate(&scope).unwrap_err();
    assert!(unknown.to_string().contains("how step `nowhere` ended is not known here"), "{unknown}");
    for wrong in
        ["${{ failed(inputs.site) }}", "${{ failed() }}", "${{ failed(\"a\", \"b\") }}", "${{ always(1) }}"]
    {
        assert!(matches!(refused(wrong), Error::Syntax { .. }), "{wrong}");
    }
}

/// Text in single quotes is told as that, and a function of another engine with the one that says the same.
#[test]
fn what_was_meant_is_told() {
    let Error::Syntax { at, help, .. } = refused("${{ inputs.site == 'yes' }}") else {
        panic!("no syntax error")
    };
    assert_eq!((at, help.unwrap()), (19..24, "text stands in double quotes: `\"yes\"`".to_owned()));
    for (call, meant) in [("success()", "succeeded(\"STEP\")"), ("inputs.vms.fliter(|v| true)", "filter")] {
        let Error::UnknownFunction { suggestion, .. } = refused(&format!("${{{{ {call} }}}}")) else {
            panic!("{call}")
        };
        assert_eq!(suggestion, Some(meant), "{call}");
    }
}

/// Moments, durations, sizes and rates have the arithmetic of their kind, compare with text of their form, and are that text
/// outside.
#[test]
fn quantities_have_their_arithmetic() {
    for (text, expected) in [
        ("now()", json!("2026-08-29T10:40:00Z")),
        ("now() + duration(\"20m\")", json!("2026-08-29T11:00:00Z")),
        ("\"2026-08-30T18:00:00Z\" - duration(\"30m\")", json!("2026-08-30T17:30:00Z")),
        ("\"1h\" - duration(\"30m\")", json!("30m")),
        ("time(\"2026-08-30T18:00:00Z\") - now() < \"1d\"", json!(false)),
        ("now() < \"2026-08-30T18:00:00Z\"", json!(true)),
        ("duration(\"90s\") == \"1.5m\"", json!(true)),
        ("2 * duration(\"45s\") + \"30s\"", json!("2m")),
        ("size(\"2GiB\") / 4", json!("512MiB")),
        ("size(\"125MiB\") / rate(\"100Mbit/s\")", json!("10486ms")),
        ("rate(\"80Mbit/s\") * duration(\"10s\")", json!("100000000B")),
        ("bytes(size(\"1KiB\") * 1.5) + bits_per_second(rate(\"1kbit/s\"))", json!(2536)),
        ("seconds(duration(\"1500ms\"))", json!(1.5)),
        ("`until ${time(\"2026-08-30T18:00:00Z\")}`", json!("until 2026-08-30T18:00:00Z")),
    ] {
        assert_eq!(value(&format!("${{{{ {text} }}}}")), expected, "{text}");
    }
    let no_value = |text: &str| Expression::parse(text).unwrap().evaluate(&scope()).unwrap_err().to_string();
    assert!(no_value("${{ duration(\"1m\") - \"2m\" }}").contains("the duration would be negative"));
    assert!(no_value("${{ now() < \"soon\" }}").contains("`soon` is not a time"));
    let outside = Scope { now_unix_ms: None, ..scope() };
    let now = Expression::parse("${{ now() }}").unwrap();
    assert!(now.asked().time && now.evaluate(&outside).is_err());
}

/// A read before `??` has a default; the default itself, and a read beside it, have none.
#[test]
fn defaults_are_seen() {
    let text = "${{ (steps.a.outputs.x ?? steps.b.outputs.x) + steps.c.outputs.x }}";
    let expression = Expression::parse(text).unwrap();
    let found: Vec<_> = expression.references().iter().map(|r| (r.path[0].as_str(), r.has_default)).collect();
    assert_eq!(found, [("a", true), ("b", false), ("c", false)]);
    let mut scope = scope();
    scope.steps.insert("a".to_owned(), json!({ "status": "skipped", "outputs": { "x": null } }));
    let read = Expression::parse("${{ steps.a.outputs.x ?? 7 }}").unwrap();
    assert_eq!(read.evaluate(&scope).unwrap(), json!(7));
}

/// What an expression reads is found with its path, through closures too; closure parameters are not references.
#[test]
fn references_are_found() {
    let text = r#"${{ steps.move.outputs.x + inputs["n"] + vm.len() + inputs.vms.filter(|v| v != vm && v != run.id).len() }}"#;
    let expression = Expression::parse(text).unwrap();
    let mut found: Vec<_> = expression
        .references()
        .iter()
        .map(|r| (r.root.clone(), r.path.join("."), text[r.at.clone()].to_owned()))
        .collect();
    found.sort();
    found.dedup();
    let variable = || Root::Variable("vm".into());
    let expected = [
        (Root::Inputs, "n", "inputs"),
        (Root::Inputs, "vms", "inputs.vms"),
        (Root::Steps, "move.outputs.x", "steps.move.outputs.x"),
        (Root::Run, "id", "run.id"),
        (variable(), "", "vm"),
    ];
    assert_eq!(found, expected.map(|(root, path, at)| (root, path.to_owned(), at.to_owned())));
}

/// Only a plain chain of names counts as a reference whose type is known; constants and comparisons have their own.
#[test]
fn shapes_are_what_can_be_said() {
    let shape = |text: &str| Expression::parse(text).unwrap().shape();
    assert!(matches!(shape("${{ inputs.n }}"), Shape::Reference(r) if r.path == ["n"]));
    assert!(matches!(shape("${{ vm }}"), Shape::Reference(_)));
    assert_eq!(shape("${{ inputs.n == 1 }}"), Shape::Boolean);
    assert_eq!(shape("${{ \"a\" }}"), Shape::Text);
    assert_eq!(shape("${{ 2 }}"), Shape::Integer);
    assert_eq!(shape("${{ inputs.n + 1 }}"), Shape::Any);
    assert_eq!(shape("${{ inputs.vms.len() }}"), Shape::Integer);
    assert_eq!(shape("${{ inputs.site.split(\",\") }}"), Shape::List);
    assert_eq!(shape("${{ duration(\"1m\") }}"), Shape::Text);
    assert_eq!(shape("${{ inputs.vms.filter(|v| true) }}"), Shape::Any);
    for unsure in ["inputs?.vms.len()", "inputs.vms.len() + 1", "inputs.site.split(\",\")[0]", "inputs.f.len"]
    {
        assert!(!matches!(shape(&format!("${{{{ {unsure} }}}}")), Shape::Integer | Shape::List), "{unsure}");
    }
}

/// What is not one expression, and what the language does not have, is refused with its place.
#[test]
fn mistakes_are_refused_with_their_place() {
    assert!(matches!(refused("a ${{ 1 }}"), Error::NotOneExpression { .. }));
    assert!(matches!(refused("plain"), Error::NotOneExpression { .. }));
    assert!(matches!(refused("${{ 1 }"), Error::Unclosed { .. }));
    assert!(matches!(refused("${{  }}"), Error::Empty { .. }));
    let text = "${{ inputs.vms.fliter(|v| true) }}";
    let Error::UnknownFunction { name, suggestion, at } = refused(text) else { panic!("unknown function") };
    assert_eq!((name.as_str(), suggestion, &text[at]), ("fliter", Some("filter"), "fliter"));
    for no in [
        "eval(\"1\")",
        "print(1)",
        "timestamp()",
        "let x = 1",
        "Fn(\"x\")",
        "1 +",
        "sleep(1)",
        "while true {}",
    ] {
        assert!(Expression::parse(&format!("${{{{ {no} }}}}")).is_err(), "{no}");
    }
}

/// A missing name or property, a type mismatch and an endless computation are errors and not values.
#[test]
fn what_has_no_value_is_an_error() {
    for none in ["inputs.absent", "nobody", "steps.skipped.outputs.x", "1 + #{}", "|x| x", "1 / 0"] {
        let expression = Expression::parse(&format!("${{{{ {none} }}}}")).unwrap();
        assert!(matches!(expression.evaluate(&scope()), Err(Error::NoValue { .. })), "{none}");
    }
}

/// Every limit stops what would go beyond it, and lets through what stays below.
#[test]
fn limits_hold() {
    let nested =
        |levels: usize| (0..levels).fold("1".to_owned(), |inside, _| format!("[1].map(|x| {inside})"));
    let brackets = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    let joined = |bytes: usize| format!("[`{0}`, `{0}`].join(\"\").len()", "x".repeat(bytes));
    let replaced = |letters: usize| format!("`{}`.replace(\"x\", \"1234567890\").len()", "x".repeat(letters));
    let doubled = |times: usize| format!("range(0, {times}).reduce(|all, n| all + all, range(0, 10)).len()");
    let products =
        |rows: usize| format!("range(0, {rows}).map(|x| range(0, 1000).map(|y| x * y).len()).len()");
    let summed = |times: usize| format!("range(0, {times}).map(|x| range(0, 100000).len()).sum()");
    for (within, beyond, said) in [
        (nested(3), nested(20), "expression exceeds maximum complexity"),
        (brackets(10), brackets(60), "expression exceeds maximum complexity"),
        (joined(500_000), joined(600_000), "length of string too large"),
        (replaced(100_000), replaced(110_000), "length of string too large"),
        ("range(0, 100000).len()".into(), "range(0, 100001).len()".into(), "size of array/BLOB too large"),
        (doubled(13), doubled(14), "size of array/BLOB too large"),
        (products(100), products(1_000), "too many operations"),
        (summed(5), summed(11), "too many operations"),
    ] {
        let asked = |text: &str| Expression::parse(&format!("${{{{ {text} }}}}"))?.evaluate(&scope());
        let start = &within[..within.len().min(60)];
        assert!(asked(&within).is_ok(), "{start}: {:?}", asked(&within));
        let error = asked(&beyond).map(drop).expect_err(start).to_string();
        let end = &error[error.len().saturating_sub(100)..];
        assert!(end.contains(said), "{start}: {end}");
    }
}
