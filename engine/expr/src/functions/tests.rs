use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::{Expression, Scope};

fn value(text: &str, scope: &Scope) -> Result<Value, crate::Error> {
    Expression::parse(&format!("${{{{ {text} }}}}")).unwrap().evaluate(scope)
}

/// Every example has the value that stands beside it, calls the function that it is an example of, and has the type that the
/// checker takes it to have.
#[test]
fn examples_have_their_values() {
    let scope = example_scope();
    for function in FUNCTIONS {
        let Function { name, example, value: expected, shape, .. } = function;
        let expected: Value = serde_json::from_str(expected).unwrap_or_else(|_| panic!("{name}: {expected}"));
        assert_eq!(value(example, &scope).unwrap(), expected, "{example}");
        assert!(example.contains(&format!("{name}(")), "{name}: {example}");
        let fits = match shape {
            Shape::Boolean => expected.is_boolean(),
            Shape::Integer => expected.is_i64(),
            Shape::Number => expected.is_number(),
            Shape::Text => expected.is_string(),
            Shape::List => expected.is_array(),
            Shape::Map => expected.is_object(),
            Shape::Any => true,
            Shape::Reference(_) => false,
        };
        assert!(fits, "{name}: {expected} is not {shape:?}");
    }
    assert_eq!(value("now()", &scope).unwrap(), json!(EXAMPLE_NOW));
}

/// Each function stands in the table once, with types and a sentence, in the order of its group.
#[test]
fn functions_are_described_whole() {
    let names: BTreeSet<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(names.len(), FUNCTIONS.len());
    for Function { name, signatures, means, .. } in FUNCTIONS {
        assert!(
            signatures.iter().all(|it| it.contains(&format!("{name}(")) && it.contains(" -> ")),
            "{name}"
        );
        assert!(means.ends_with('.') && means.starts_with(char::is_uppercase), "{name}: {means}");
    }
    for group in Group::ALL {
        let of_group: Vec<&str> = FUNCTIONS
            .iter()
            .filter(|function| function.group == group)
            .map(|function| function.name)
            .collect();
        assert!(!of_group.is_empty() && of_group.is_sorted(), "{of_group:?}");
    }
}

/// What a function cannot take is an error that says so, and nothing is changed by being asked about.
#[test]
fn functions_refuse_what_they_cannot_take() {
    let scope = example_scope();
    for (text, said) in [
        ("[1, \"a\"].sort()", "`sort` takes items of one kind"),
        ("[size(\"1GiB\"), duration(\"1s\")].sort()", "`sort` takes items of one kind"),
        ("[[1]].sort()", "`sort` takes numbers, text and quantities"),
        ("[1, \"a\"].sum()", "`sum` takes items of one kind"),
        ("[\"a\", \"b\"].sum()", "`sum` takes items of one kind"),
        ("[9223372036854775807, 1].sum()", "the sum is too large"),
        ("[[1]].join(\"\")", "`join` takes text"),
        ("\"a\".replace(\"\", \"b\")", "something to look for"),
        ("format_duration(-1)", "no length of time"),
        ("format_size(-1)", "no amount"),
        ("[|x| x].unique()", "not a value that JSON has"),
    ] {
        let error = value(text, &scope).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    for (text, expected) in [
        ("[].sum()", json!(0)),
        ("[].sort()", json!([])),
        ("[0.5, 1].sum()", json!(1.5)),
        ("[duration(\"1m\"), duration(\"30s\")].sum()", json!("90s")),
        ("[duration(\"2m\"), duration(\"30s\")].sort()", json!(["30s", "2m"])),
        ("[\"b\", \"a\"].sort()", json!(["a", "b"])),
        ("[inputs.vms.sort().len(), inputs.vms.unique().len(), inputs.vms.len()]", json!([3, 3, 3])),
        ("[1, 1.0, \"1\", 1].unique()", json!([1, 1.0, "1"])),
        ("[size(\"1GiB\"), 2, true].join(\" \")", json!("1GiB 2 true")),
        (
            "[0.25, 9.96, 59.6, 60, 86399, 90000].map(|s| format_duration(s)).join(\", \")",
            json!("0.3s, 10s, 1m, 1m, 23h 59m, 1d 1h"),
        ),
        ("format_size(size(\"1TiB\") * 3000) + \", \" + format_size(999)", json!("3000 TiB, 999 B")),
        ("format_rate(rate(\"100Mbit/s\"))", json!("100 Mbit/s")),
    ] {
        assert_eq!(value(text, &scope).unwrap(), expected, "{text}");
    }
}
