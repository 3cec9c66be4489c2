use std::cell::RefCell;

use longhaul_model::Source;
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Code, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::plugin::Tree;
use longhaul_model::workflow::{Files, Found, Resolved, Texts};
use serde_json::{Value, json};

use crate::plan::{Body, Child, Graph, Plan};
use crate::{check, outline, validate};

const HEAD: &str = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\n";

/// Copies a disk and lowers a TTL.
const COPY: &str = r#"apiVersion: longhaul/v1
kind: Workflow
name: copy
version: 2.0.0
inputs:
  vm: { type: string, format: vm-id }
  ttl: { type: integer, minimum: 1, default: 30 }
steps:
  lower: { uses: gtm.prepare@1, with: { vm: "${{ inputs.vm }}", ttl: "${{ inputs.ttl }}" } }
outputs:
  before: ${{ steps.lower.outputs.previous_ttl }}
  note: "of ${{ inputs.vm }}"
"#;

/// Hands a VM over.
const MOVE: &str = r#"apiVersion: longhaul/v1
kind: Workflow
name: move
version: 1.0.0
steps:
  hand_over:
    uses: vm.move@1
    pivot: true
    with: { vm: vm-a, from: a, to: b, max_pause: 1s }
"#;

fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("../../../../tests/fixtures/workflows/catalogue.json")).unwrap()
}

fn texts(files: &[(&str, &str)]) -> Texts {
    Texts(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

/// The first file with all of them.
fn resolved(files: &[(&str, &str)]) -> Resolved {
    let (name, text) = files[0];
    Resolved::read(&Document::parse(&Source::new(name, text)).unwrap(), &texts(files))
}

fn found(files: &[(&str, &str)]) -> Diagnostics {
    validate(&resolved(files), &catalogue()).err().unwrap_or_default()
}

/// File, line, code and message of each mistake.
fn told(found: &Diagnostics) -> Vec<(String, usize, Code, String)> {
    let tell = |one: &longhaul_model::diagnostic::Diagnostic| {
        let line = one.source.place(one.span.start).line;
        (one.source.name().to_owned(), line, one.code, one.message.clone())
    };
    found.iter().map(tell).collect()
}

fn codes(found: &Diagnostics) -> Vec<Code> {
    found.iter().map(|one| one.code).collect()
}

fn plan(files: &[(&str, &str)], given: &Value) -> Result<Plan, Diagnostics> {
    check(&resolved(files), given.as_object().unwrap(), &catalogue())
}

fn child<'p>(graph: &'p Graph, id: &str) -> &'p Child {
    let step = graph.step(&id.parse().unwrap()).unwrap();
    let Body::Workflow(child) = &step.body else { panic!("{id} runs a workflow") };
    child
}

/// A workflow whose steps are these lines.
fn workflow(steps: &str) -> String {
    format!("{HEAD}steps:\n{steps}")
}

/// A file becomes a step: whole in the plan, with its own digest, and what it puts out is read and typed.
#[test]
fn a_workflow_becomes_a_step() {
    let root = format!(
        "{}outputs: {{ ttl: \"${{{{ steps.one.outputs.before }}}}\" }}\n",
        workflow(
            "  one: { uses: ./lib/copy.yaml, with: { vm: vm-a } }\n  two:\n    uses: gtm.prepare@1\n    \
             with: { vm: vm-a, ttl: \"${{ steps.one.outputs.before }}\" }\n"
        )
    );
    let files = [("root.yaml", root.as_str()), ("lib/copy.yaml", COPY)];
    let plan = plan(&files, &json!({})).unwrap_or_else(|found| panic!("{}", found.render(false)));
    let one = child(&plan.graph, "one");
    assert_eq!((one.workflow.name.as_str(), one.workflow.file.as_str()), ("copy", "lib/copy.yaml"));
    assert_eq!(one.with.source(), &json!({ "vm": "vm-a" }));
    assert_eq!(one.graph.steps[0].line, 9);
    let alone =
        check(&resolved(&files[1..]), json!({ "vm": "vm-a" }).as_object().unwrap(), &catalogue()).unwrap();
    assert_eq!(one.workflow.sha256, alone.workflow.sha256);
    assert_eq!(plan.graph.steps[1].needs, ["one".parse().unwrap()]);
    let read_back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(read_back, plan);
    insta::assert_snapshot!(crate::render_text(&plan, None));
}

/// Every mistake of both files at once, each where it stands; one in the file that is used says which step uses it.
#[test]
fn mistakes_of_all_files_are_told_at_once() {
    let root = workflow(
        "  a: { uses: ./copy.yaml, with: { vm: 7, tll: 5 } }\n  b: { uses: ./copy.yaml }\n  \
         c: { uses: ./copy.yaml, with: { vm: vm-a, ttl: 0 } }\n  \
         d: { uses: report.write@1, with: { to: \"${{ steps.a.outputs.befor }}\" } }\n  \
         e: { uses: gtm.prepare@1, with: { vm: vm-a, ttl: \"${{ steps.a.outputs.note }}\" } }\n",
    );
    let broken = COPY
        .replace("ttl: \"${{ inputs.ttl }}\"", "ttl: \"${{ inputs.vm }}\"")
        .replace("note:", "note: ${{ x }}\n  other:");
    let all = found(&[("root.yaml", &root), ("copy.yaml", &broken)]);
    let line = |file: &str, line, code, message: &str| (file.to_owned(), line, code, message.to_owned());
    let expected = [
        line(
            "copy.yaml",
            9,
            Code::TypeMismatch,
            "parameter `ttl` of `gtm.prepare@1` does not take this: it is of type string, integer is needed",
        ),
        line("copy.yaml", 12, Code::UnknownName, "there is nothing called `x` here"),
        line(
            "root.yaml",
            6,
            Code::InvalidParameter,
            "input `vm` of `./copy.yaml`: 7 is not a vm-id: write lower-case letters, digits and dashes, such as `vm-a`",
        ),
        line("root.yaml", 6, Code::InvalidParameter, "`./copy.yaml` takes no input `tll`"),
        line("root.yaml", 7, Code::InvalidParameter, "`./copy.yaml` needs input `vm`"),
        line(
            "root.yaml",
            8,
            Code::InvalidParameter,
            "input `ttl` of `./copy.yaml`: 0 is less than the minimum of 1",
        ),
        line("root.yaml", 9, Code::UnknownOutput, "step `a` (`w`) has no output `befor`"),
    ];
    assert_eq!(told(&all), expected.map(|(f, l, c, m)| (f, l, c, m.replace("(`w`)", "(`copy`)"))));
    let users: Vec<_> = all.iter().next().unwrap().elsewhere.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(users, ["step `a` runs it", "step `b` runs it", "step `c` runs it"]);
    let text = all.render(false);
    for part in [
        "[copy.yaml:9:",
        "[root.yaml:6:14]",
        "step `a` runs it",
        "did you mean `ttl`?",
        "did you mean `before`?",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(all.to_json()[0]["elsewhere"][0]["line"], 6);
}

/// The types of outputs are known across files: text is none where a number is needed.
#[test]
fn outputs_have_types() {
    let step = "  a: { uses: ./copy.yaml, with: { vm: vm-a } }\n  \
                b: { uses: gtm.prepare@1, with: { vm: vm-a, ttl: \"${{ steps.a.outputs.note }}\" } }\n";
    assert_eq!(codes(&found(&[("root.yaml", &workflow(step)), ("copy.yaml", COPY)])), [Code::TypeMismatch]);
    let step = step.replace("outputs.note", "outputs.before");
    assert_eq!(codes(&found(&[("root.yaml", &workflow(&step)), ("copy.yaml", COPY)])), []);
}

/// What the inputs make known of a step's inputs is held against the files it runs, however deep.
#[test]
fn known_inputs_go_down() {
    let root = format!(
        "{HEAD}inputs: {{ ttl: {{ type: integer }} }}\nsteps:\n  one: {{ uses: ./mid.yaml, with: {{ ttl: \"${{{{ inputs.ttl }}}}\" }} }}\n"
    );
    let mid = format!(
        "{HEAD}inputs: {{ ttl: {{ type: integer }} }}\nsteps:\n  two:\n    uses: ./copy.yaml\n    \
         with: {{ vm: vm-a, ttl: \"${{{{ inputs.ttl - 10 }}}}\" }}\n"
    );
    let files = [("root.yaml", root.as_str()), ("mid.yaml", mid.as_str()), ("copy.yaml", COPY)];
    assert!(plan(&files, &json!({ "ttl": 15 })).is_ok());
    let found = plan(&files, &json!({ "ttl": 5 })).unwrap_err();
    let told = told(&found);
    assert_eq!(told.len(), 1, "{}", found.render(false));
    assert_eq!((told[0].0.as_str(), told[0].1, told[0].2), ("mid.yaml", 9, Code::InvalidParameter));
    assert_eq!(found.iter().next().unwrap().elsewhere[0].text, "with these inputs");
}

/// Files that use each other are told with the way round, and those that are not there where they are named.
#[test]
fn circles_and_missing_files_are_told() {
    let uses = |file: &str| workflow(&format!("  s: {{ uses: {file} }}\n"));
    let (a, b, c) = (uses("./x/b.yaml"), uses("../c.yaml"), uses("./a.yaml"));
    let found_in = found(&[("a.yaml", &a), ("x/b.yaml", &b), ("c.yaml", &c)]);
    let way = "workflows use each other in a circle: a.yaml uses x/b.yaml uses c.yaml uses a.yaml";
    assert_eq!(told(&found_in), [("c.yaml".to_owned(), 6, Code::FileCycle, way.to_owned())]);
    let own = uses("./a.yaml");
    let way = "workflows use each other in a circle: a.yaml uses a.yaml";
    assert_eq!(told(&found(&[("a.yaml", &own)]))[0].3, way);
    let two = workflow("  s: { uses: ./none.yaml }\n  t: { uses: ./none.yaml }\n  u: { uses: none.yaml }\n");
    let found_in = found(&[("a.yaml", &two)]);
    assert_eq!(codes(&found_in), [Code::OtherFile, Code::OtherFile, Code::Malformed]);
    assert!(found_in.render(false).contains("`./none.yaml`"), "{}", found_in.render(false));
}

/// What a file says it is is looked at before anything else in it.
#[test]
fn a_used_file_is_a_workflow() {
    let root = workflow("  s: { uses: ./b.yaml }\n");
    let codes_of = |text: &str| codes(&found(&[("a.yaml", root.as_str()), ("b.yaml", text)]));
    assert_eq!(codes_of("apiVersion: longhaul/v1\nkind: Vm\nid: vm-a\n"), [Code::Kind]);
    assert_eq!(codes_of(&MOVE.replace("longhaul/v1", "longhaul/v7")), [Code::Version]);
    assert_eq!(codes_of("a: [\n"), [Code::Syntax]);
    assert_eq!(codes_of(MOVE), []);
}

/// However many steps use a file, and under whatever names: it is read once.
#[test]
fn a_file_is_read_once() {
    struct Counting(Texts, RefCell<Vec<String>>);
    impl Files for Counting {
        fn id(&self, name: &str) -> String {
            self.0.id(name)
        }
        fn find(&self, from: &str, named: &str) -> Result<Found, String> {
            self.0.find(from, named)
        }
        fn read(&self, found: &Found) -> Result<String, String> {
            self.1.borrow_mut().push(found.name.clone());
            self.0.read(found)
        }
        fn folders(&self, from: &str, named: &str) -> Result<Vec<String>, String> {
            self.0.folders(from, named)
        }
        fn tree(&self, from: &str, named: &str) -> Result<Tree, String> {
            self.0.tree(from, named)
        }
    }
    let root =
        workflow("  a: { uses: ./mid.yaml }\n  b: { uses: ./move.yaml }\n  c: { uses: ./x/../move.yaml }\n");
    let mid = workflow("  m: { uses: ./move.yaml }\n");
    let files = [("root.yaml", root.as_str()), ("mid.yaml", &mid), ("move.yaml", MOVE)];
    let counting = Counting(texts(&files), RefCell::default());
    let document = Document::parse(&Source::new("root.yaml", &root)).unwrap();
    assert_eq!(validate(&Resolved::read(&document, &counting), &catalogue()), Ok(()));
    assert_eq!(*counting.1.borrow(), ["mid.yaml", "move.yaml"]);
}

/// A pivot inside counts on the branch of the step that runs it.
#[test]
fn pivots_inside_are_counted() {
    let step = |id: &str, needs: &str| format!("  {id}: {{ needs: [{needs}], uses: ./mid.yaml }}\n");
    let mid = workflow("  m: { uses: ./move.yaml }\n");
    let codes_of = |steps: String| {
        let root = workflow(&steps);
        let found = found(&[("root.yaml", &root), ("mid.yaml", &mid), ("move.yaml", MOVE)]);
        (codes(&found), found.render(false))
    };
    assert_eq!(codes_of([step("a", ""), step("b", "")].concat()).0, []);
    let (codes, text) = codes_of([step("a", ""), step("b", "a")].concat());
    assert_eq!(codes, [Code::Pivots]);
    assert!(text.contains("the pivot in it") && text.contains("[mid.yaml:6:"), "{text}");
    let always = "  a: { uses: ./mid.yaml, if: \"${{ always() }}\" }\n".to_owned();
    assert_eq!(codes_of(always).0, [Code::Pivots]);
}

/// Keys that speak of one effect have no meaning beside a workflow, and each says where it belongs.
#[test]
fn keys_of_actions_are_refused() {
    let root = workflow(
        "  s:\n    uses: ./move.yaml\n    timeout: 1h\n    retry: { max_attempts: 3 }\n    pivot: true\n    max_parallel: 2\n    wait: 3s\n",
    );
    let found = found(&[("root.yaml", &root), ("move.yaml", MOVE)]);
    assert_eq!(codes(&found), [Code::StepBody; 5]);
    let text = found.render(false);
    assert!(text.contains("below `defaults`") && text.contains("at the step of `./move.yaml`"), "{text}");
    let last = format!("{}always:\n  s: {{ uses: ./move.yaml }}\n", workflow("  a: { wait: 1s }\n"));
    assert_eq!(codes(&self::found(&[("root.yaml", &last), ("move.yaml", MOVE)])), [Code::Pivots]);
}

/// The digest is of everything that runs: it changes with every file, and not with where the files lie.
#[test]
fn the_digest_covers_all_files() {
    let root = format!("{}include: [./shared.yaml]\n", workflow("  s: { uses: ./move.yaml }\n"));
    let shared = "apiVersion: longhaul/v1\nkind: Defaults\ndefaults: { timeout: 1m }\n";
    let digest = |folder: &str, moving: &str, shared: &str| {
        let name = |file: &str| format!("{folder}{file}");
        let (a, b, c) = (name("root.yaml"), name("move.yaml"), name("shared.yaml"));
        plan(&[(&a, &root), (&b, moving), (&c, shared)], &json!({})).unwrap().workflow.sha256
    };
    let first = digest("", MOVE, shared);
    assert_eq!(first, digest("elsewhere/", MOVE, shared));
    assert_eq!(first, digest("", &format!("# a note\n{MOVE}"), shared));
    assert_ne!(first, digest("", &MOVE.replace("1s", "2s"), shared));
    assert_ne!(first, digest("", MOVE, &shared.replace("1m", "2m")));
}

/// A workflow's own defaults stand before those it includes, a later file before an earlier one, and a file's mistakes are
/// told where they stand.
#[test]
fn included_defaults_are_merged() {
    let shared = |text: &str| format!("apiVersion: longhaul/v1\nkind: Defaults\n{text}");
    let first = shared("x-note: 1\ndefaults: { timeout: 1m, heartbeat: 2s, retry: { max_attempts: 9 } }\n");
    let second = shared("summary: ours\ndefaults: { heartbeat: 3s, retry: { max_attempts: 5 } }\n");
    let root = format!(
        "{}include: [./one.yaml, ./x/two.yaml]\ndefaults: {{ retry: {{ errors: [conflict] }} }}\n",
        workflow("  s: { uses: gtm.prepare@1, with: { vm: vm-a, ttl: 5 } }\n  t: { uses: ./move.yaml }\n")
    );
    let files =
        [("root.yaml", root.as_str()), ("one.yaml", &first), ("x/two.yaml", &second), ("move.yaml", MOVE)];
    let plan = plan(&files, &json!({})).unwrap_or_else(|found| panic!("{}", found.render(false)));
    let Body::Action(own) = &plan.graph.steps[0].body else { panic!("an action") };
    assert_eq!(
        (own.timeout.to_string(), own.heartbeat.unwrap().to_string()),
        ("1m".to_owned(), "3s".to_owned())
    );
    assert_eq!((own.retry.max_attempts, own.retry.errors.as_slice()), (1, &["conflict".to_owned()][..]));
    let Body::Action(inside) = &child(&plan.graph, "t").graph.steps[0].body else { panic!("an action") };
    assert_eq!((inside.timeout.to_string(), inside.heartbeat), ("10m".to_owned(), None));

    let broken = shared("defaults: { timeout: 10, retires: 1 }\ninclude: []\n");
    let found = found(&[files[0], ("one.yaml", &broken), ("x/two.yaml", MOVE), files[3]]);
    let told: Vec<_> = told(&found).into_iter().map(|(file, line, code, _)| (file, line, code)).collect();
    let one = |line, code| ("one.yaml".to_owned(), line, code);
    let expected = [
        one(3, Code::WrongType),
        one(3, Code::UnknownKey),
        one(4, Code::UnknownKey),
        ("x/two.yaml".to_owned(), 2, Code::Kind),
    ];
    assert_eq!(told, expected, "{}", found.render(false));
    assert!(found.iter().all(|one| one.elsewhere[0].text == "included here"));
}

/// A few lines cannot ask for more steps than a journal holds, nor for more files within each other than a person follows.
#[test]
fn copies_of_copies_are_bounded() {
    let names: Vec<String> = (0..12).map(|n| format!("w{n}.yaml")).collect();
    let text = |n: usize| {
        let uses = |s| format!("  s{s}: {{ uses: ./w{}.yaml }}\n", n + 1);
        if n == 11 { MOVE.to_owned() } else { workflow(&(0..8).map(uses).collect::<String>()) }
    };
    let all: Vec<(String, String)> = names.into_iter().enumerate().map(|(n, name)| (name, text(n))).collect();
    let files: Vec<(&str, &str)> = all.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found_in = found(&files);
    assert!(found_in.iter().any(|one| one.message.contains("more than 100000 steps")), "{}", found_in);
    let deep: Vec<(String, String)> = (0..20)
        .map(|n| (format!("d{n}.yaml"), workflow(&format!("  s: {{ uses: ./d{}.yaml }}\n", n + 1))))
        .collect();
    let files: Vec<(&str, &str)> = deep.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(told(&found(&files))[0].3, "workflows are nested more than 16 deep");
}

/// The pictures are as reviewed: what is inside is a frame, its last blocks among it.
#[test]
fn pictures() {
    let mid = format!(
        "{}on_failure:\n  ring: {{ uses: report.write@1, with: {{ to: f }} }}\nalways:\n  tell: {{ uses: report.write@1, with: {{ to: r }} }}\n",
        workflow(
            "  copy: { uses: ./copy.yaml, with: { vm: vm-a } }\n  give: { needs: [copy], uses: ./move.yaml }\n"
        )
    );
    let root = workflow(
        "  look: { uses: site.check@1, with: { from: a, to: b, vms: [vm-a] } }\n  one: { needs: [look], uses: ./mid.yaml }\n  \
         two: { needs: [one], wait: 1s }\n",
    );
    let files = [("root.yaml", root.as_str()), ("mid.yaml", &mid), ("copy.yaml", COPY), ("move.yaml", MOVE)];
    let outline =
        outline(&resolved(&files), &catalogue()).unwrap_or_else(|found| panic!("{}", found.render(false)));
    insta::assert_snapshot!("terminal", crate::terminal(&outline));
    insta::assert_snapshot!("dot", crate::dot(&outline));
    insta::assert_snapshot!("mermaid", crate::mermaid(&outline));
    insta::assert_snapshot!("plan", crate::render_text(&plan(&files, &json!({})).unwrap(), None));
}
