use super::*;
use crate::source::Source;

fn read(text: &str) -> (Workflow, Vec<String>) {
    let text = format!("apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n{text}");
    let document = Document::parse(&Source::new("w.yaml", &text)).unwrap();
    let (workflow, found) = Workflow::read(&document);
    (workflow, found.iter().map(|one| format!("{} {}", one.code, one.message)).collect())
}

/// Everything of the format that this version executes is read, and notes are ignored.
#[test]
fn a_whole_workflow_is_read() {
    let (workflow, found) = read(
        "x-note: 1\ninputs: { vms: { type: array } }\ndefaults: { timeout: 10m, retry: { max_attempts: 4 } }\n\
         steps:\n  a: { uses: x.y@1, effects: none, pivot: true, timeout: 2s }\n  \
         m:\n    needs: [a]\n    foreach: ${{ inputs.vms }}\n    as: vm\n    max_parallel: 4\n    \
         on_item_failure: continue\n    steps: { b: { uses: x.y@1, x-note: 2 } }\noutputs: { o: 1 }\n",
    );
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((workflow.steps.len(), workflow.inputs.len(), workflow.outputs.len()), (2, 1, 1));
    let Some(BodySpec::Foreach(foreach)) = &workflow.steps[1].body else { panic!("a foreach") };
    assert_eq!((foreach.max_parallel, foreach.steps.len()), (Some(4), 1));
    assert_eq!(workflow.defaults.retry.unwrap().max_attempts, Some(4));
}

/// A misspelt key is suggested, and no mistake hides the others.
#[test]
fn all_mistakes_of_form_are_found() {
    let (_, found) = read(
        "polcy: []\nplugins: []\nsteps:\n  a: { usess: x.y@1 }\n  b: { approve: {} }\n  c: { needs: [a] }\n  \
         d: { uses: x.y@1, as: v }\n  e: { uses: ./other.yaml }\n  f-g: { uses: nope }\n  h: { uses: x.y@1, timeout: 10 }\n",
    );
    let codes: Vec<_> = found.iter().map(|line| &line[..6]).collect();
    let expected = ["LH0008", "LH0010", "LH0008", "LH0009", "LH0013", "LH0013", "LH0011", "LH0010"];
    assert_eq!(codes, expected, "{found:#?}");
}

/// A `${{` that a comment cut off is reported with the way out.
#[test]
fn unclosed_expressions_are_found() {
    let (workflow, found) = read("steps: {}\noutputs:\n  o: ${{ x # y }}\n");
    assert_eq!(found, ["LH0004 `${{` has no closing `}}`"]);
    let (_, diagnostics) = Workflow::read(&workflow.document);
    assert!(diagnostics.iter().next().unwrap().help.as_ref().unwrap().contains("quotes"));
}

/// A key that stands twice in a file that another one uses or includes hides nothing else that is wrong there, and is told once.
#[test]
fn a_key_twice_in_another_file_hides_nothing() {
    let head = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n";
    let texts = [
        ("b.yaml", format!("{head}name: x\npolcy: []\nsteps: {{ c: {{ wait: 1s, nees: [] }} }}\n")),
        ("c.yaml", "apiVersion: longhaul/v1\nkind: Defaults\nkind: Defaults\npolcy: []\n".to_owned()),
        ("d.yaml", "apiVersion: longhaul/v1\nkind: Vm\nkind: Vm\n".to_owned()),
    ];
    let files = Texts(texts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect());
    let text = format!(
        "{head}include: [./c.yaml, ./d.yaml]\nsteps: {{ a: {{ uses: ./b.yaml }}, d: {{ uses: ./b.yaml }} }}\n"
    );
    let document = Document::parse(&Source::new("w.yaml", &text)).unwrap();
    let resolved = Resolved::read(&document, &files);
    let found = resolved.parts.iter().flat_map(|part| part.found.iter());
    let mut lines: Vec<_> = found.map(|one| format!("{} {}", one.source.name(), one.code)).collect();
    lines.sort();
    let expected = [
        "b.yaml LH0002",
        "b.yaml LH0008",
        "b.yaml LH0008",
        "c.yaml LH0002",
        "c.yaml LH0008",
        "d.yaml LH0002",
        "d.yaml LH0007",
    ];
    assert_eq!(lines, expected);
}

/// What would mean nothing is a mistake: an answer in no time, and a retry of no error.
#[test]
fn what_means_nothing_is_a_mistake() {
    let (_, found) = read(
        "defaults: { retry: { errors: [] } }\nsteps:\n  a: { approve: { roles: [x], expires: 0s } }\n  \
         b: { wait: { signal: s, expires: 0.0m } }\n  c: { approve: { roles: [x], expires: 1s } }\n",
    );
    let expected = ["a retry of no error at all", "an answer that may take no time at all"];
    assert_eq!(found, [expected[0], expected[1], expected[1]].map(|what| format!("LH0011 {what}")));
}
