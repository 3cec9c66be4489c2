//! The JSON Schemas say what the readers say, wherever a schema can tell.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use longhaul_host_rhai::RhaiHost;
use longhaul_model::Source;
use longhaul_model::diagnostic::{Code, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::plugin::{Lock, choose};
use longhaul_model::schema::Kind;
use longhaul_model::workflow::{Resolved, Texts, read_shared};
use longhaul_model::{parse_site, parse_sites, parse_vm};
use longhaul_sim::PolicySuite;
use longhaul_sim::suite::Suite;
use serde_json::{Value, json};

/// Mistakes that a schema finds, too.
const TOLD: &[Code] = &[
    Code::Version,
    Code::Kind,
    Code::UnknownKey,
    Code::MissingKey,
    Code::WrongType,
    Code::Malformed,
    Code::StepBody,
    Code::NotOneExpression,
];

/// Mistakes that no schema finds: it reads no YAML, no expression, no other file, and knows no actions.
const BEYOND: &[Code] = &[
    Code::Syntax,
    Code::DuplicateKey,
    Code::UnquotedExpression,
    Code::UnclosedExpression,
    Code::Document,
    Code::OtherFile,
    Code::FileCycle,
    Code::Expression,
    Code::UnknownFunction,
    Code::UnknownName,
    Code::UnknownInput,
    Code::UnknownStep,
    Code::UnknownOutput,
    Code::InvalidSchema,
    Code::MissingInput,
    Code::InvalidInput,
    Code::UnknownAction,
    Code::InvalidParameter,
    Code::TypeMismatch,
    Code::Cycle,
    Code::ReservedName,
    Code::Pivots,
    Code::Effects,
    Code::CompensationReads,
    Code::ForwardRead,
    Code::MayNotHaveRun,
    Code::NeverUndone,
    Code::NotAskedHere,
    Code::NotEvaluated,
    Code::NoUndo,
    Code::IdleAnswer,
    Code::OtherEngine,
    Code::Trigger,
    Code::UnknownResource,
    Code::Amount,
    Code::PolicyScript,
    Code::NoDecide,
    Code::TestedPolicy,
    Code::UnusedMock,
    Code::MockOutputs,
    Code::TestedWorkflow,
    Code::CaseTwice,
    Code::UnknownPlugin,
    Code::PluginFolder,
    Code::NotLocked,
    Code::PluginChanged,
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn validator(kind: Kind) -> Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&kind.schema()).unwrap_or_else(|error| panic!("{kind:?}: {error}"))
}

/// What the readers find, with the codes; nothing if the text is not even YAML.
fn read(kind: Kind, text: &str, tested: &Document) -> Option<Diagnostics> {
    let source = Source::new("t.yaml", text);
    let document = Document::parse(&source).ok()?;
    let found = match kind {
        Kind::Workflow => {
            let files = beside_it();
            longhaul_plan::validate(&Resolved::read(&document, &files), &longhaul_steps::catalogue())
        }
        Kind::Defaults => {
            let (_, found) = read_shared(&document);
            return Some(found);
        }
        Kind::PolicyTest => {
            let script = Source::new("window.rhai", WINDOW);
            PolicySuite::check(&document, &script, &RhaiHost::default()).map(drop)
        }
        Kind::Test => Suite::check(&document, tested, &longhaul_steps::catalogue()).map(drop),
        Kind::Sites => parse_sites(&source).map(drop),
        Kind::Site => parse_site(&source).map(drop),
        Kind::Vm => parse_vm(&source).map(drop),
    };
    Some(found.err().unwrap_or_default())
}

/// The files that stand beside each workflow, its plugin locked.
fn beside_it() -> Texts {
    let files = [
        ("tested.yaml", TESTED),
        ("shared.yaml", SHARED),
        ("window.rhai", WINDOW),
        ("plugins/bigip/plugin.toml", PLUGIN),
        ("plugins/bigip/window.rhai", WINDOW),
    ];
    let mut files = Texts(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let shared = read_shared(&Document::parse(&Source::new("shared.yaml", SHARED)).unwrap()).0;
    let pins = choose(&shared.plugins, &[], true, &files).unwrap();
    files.0.insert("longhaul.lock".to_owned(), Lock::text(&pins));
    files
}

/// Why the two do not agree; none if they do.
fn disagreement(validator: &Validator, kind: Kind, text: &str, tested: &Document) -> Option<String> {
    let found = read(kind, text, tested)?;
    let value = Document::parse(&Source::new("t.yaml", text)).unwrap().root.to_json();
    let refused: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    let told = found.iter().any(|one| TOLD.contains(&one.code));
    match (refused.is_empty(), told, found.is_empty()) {
        (true, true, _) => Some(format!("only the reader refuses:\n{found}")),
        (false, _, true) => Some(format!("only the schema refuses: {refused:?}")),
        _ => None,
    }
}

fn kind_of(document: &Document) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| document.kind() == Some(kind.name()))
}

/// Every code is told by schemas or is beyond them.
#[test]
fn every_code_is_told_or_beyond() {
    for code in Code::ALL {
        assert!(TOLD.contains(code) != BEYOND.contains(code), "{code:?}");
    }
}

/// Every file of the tree, right or wrong, is judged alike.
#[test]
fn files_are_judged_alike() {
    let mut judged = 0;
    let text = std::fs::read_to_string(repository().join("workflows/evacuate.yaml")).unwrap();
    let evacuate = Document::parse(&Source::new("evacuate.yaml", &text)).unwrap();
    for folder in ["tests/fixtures/workflows", "workflows", "engine/cli/src/commands/init"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let Ok(document) = Document::parse(&Source::new("t.yaml", &text)) else { continue };
            let Some(kind) = kind_of(&document) else { continue };
            let disagreement = disagreement(&validator(kind), kind, &text, &evacuate);
            assert!(disagreement.is_none(), "{}: {}", path.display(), disagreement.unwrap());
            judged += 1;
        }
    }
    assert!(judged > 30, "{judged}");
}

const WORKFLOW: &str = "\
apiVersion: longhaul/v1
kind: Workflow
name: everything
version: 1.0.0
summary: all there is
include: [./shared.yaml]
inputs:
  vms: { type: array, items: { type: string, format: vm-id }, default: [vm-a] }
  at: { type: string, format: date-time }
plugins: { f5: bigip@^1, big_ip: \"bigip@>=1.2, <2\" }
resources:
  wan: { kind: bandwidth, capacity: 1Gbit/s, reserve: 20%, between: [a, b] }
  room: { kind: memory, capacity: 4GiB, reserve: 1GiB, site: b }
  slots: { kind: count, capacity: 4 }
defaults:
  timeout: 1h
  heartbeat: 30s
  retry: { max_attempts: 4, backoff: { initial: 2s, factor: 2, max: 1m, jitter: full }, errors: [transient] }
deadline: ${{ inputs.at }}
triggers:
  - manual: {}
  - schedule: { cron: 30 2 * * *, time_zone: Europe/Berlin, inputs: { at: 2026-08-30T18:00:00Z } }
  - webhook: { path: /hooks/storm, schema: { type: object }, inputs: { at: 2026-08-30T18:00:00Z } }
policy:
  - { uses: ./window.rhai, at: plan, with: { until: \"${{ inputs.at }}\" } }
  - { uses: ./window.rhai, at: [before-step, on-failure], steps: [look, each/*/move, vm.move@1] }
  - { uses: f5/window.rhai, at: plan }
steps:
  look:
    uses: site.check@1
    with: { from: a, to: b, vms: \"${{ inputs.vms }}\" }
    effects: none
    heartbeat: 5s
  night: { wait: 10m }
  later: { wait: { until: \"${{ inputs.at }}\" } }
  soon: { wait: { for: 1s } }
  storm: { wait: { signal: storm, payload: { type: object }, expires: 2h, on_expire: continue } }
  gate:
    approve: { roles: [operator], quorum: 2, forbid_self: true, message: go?, expires: 2h, on_expire: skip }
  other: { needs: [gate], uses: ./tested.yaml, with: { vms: \"${{ inputs.vms }}\", from: a, to: b } }
  each:
    needs: [look]
    if: ${{ succeeded(\"look\") }}
    foreach: ${{ inputs.vms }}
    as: vm
    max_parallel: 2
    on_item_failure: continue
    steps:
      prepare:
        uses: gtm.prepare@1
        with: { vm: \"${{ vm }}\", ttl: 5 }
        timeout: 5m
        scope: false
        compensate: { uses: gtm.prepare@1, with: { vm: \"${{ vm }}\", ttl: 60 }, requires: [\"${{ true }}\"] }
        claims: { wan: elastic, room: { amount: 1GiB, keep: true }, slots: 1 }
      move:
        uses: vm.move@1
        with: { vm: \"${{ vm }}\", from: a, to: b, max_pause: 300ms }
        pivot: true
        claims: { wan: { at_least: 1Mbit/s, at_most: 1Gbit/s } }
outputs: { moved: 1 }
on_failure:
  tell: { uses: report.write@1, with: { to: r } }
always:
  report: { uses: report.write@1, with: { to: r }, pivot: false }
";

/// What workflows include.
const SHARED: &str = "\
apiVersion: longhaul/v1
kind: Defaults
summary: ours
defaults:
  timeout: 1h
  heartbeat: 30s
  retry: { max_attempts: 4, backoff: { initial: 2s, factor: 2, max: 1m, jitter: full }, errors: [transient] }
plugins: { f5: bigip@1 }
policy:
  - { uses: ./window.rhai, at: [plan, after-step], with: { until: 6h } }
  - { uses: f5/window.rhai, at: plan }
";

/// A plugin.
const PLUGIN: &str = "\
name = 'bigip'
version = '1.2.0'
api = 1
summary = 'a policy'
policies = ['window.rhai']
";

/// A policy.
const WINDOW: &str = "fn decide(view) { allow() }";

/// What the test file is for.
const TESTED: &str = "\
apiVersion: longhaul/v1
kind: Workflow
name: tested
version: 1.0.0
inputs:
  vms: { type: array, items: { type: string, format: vm-id } }
  from: { type: string }
  to: { type: string }
resources:
  wan: { kind: bandwidth, capacity: 1Gbit/s }
steps:
  preflight: { uses: site.check@1, with: { from: a, to: b, vms: \"${{ inputs.vms }}\" } }
  tunnel: { needs: [preflight], wait: 1s }
  move:
    foreach: ${{ inputs.vms }}
    as: vm
    steps:
      move_vm:
        uses: vm.move@1
        with: { vm: \"${{ vm }}\", from: a, to: b, max_pause: 300ms }
        pivot: true
        claims: { wan: elastic }
";

const TEST: &str = "\
apiVersion: longhaul/v1
kind: Test
name: all
workflow: evacuate.yaml
defaults:
  clock: 2026-08-30T06:00:00Z
  inputs: { vms: [vm-a], from: a, to: b }
  mocks:
    vm.move@1: { takes: 3m, moves: { wan: 2GiB }, undo: { takes: 1s, error: { class: auth, message: m, code: c } } }
    site.check@1: [{ error: { class: transient } }, { unknown: done }]
  invariants: [ends]
cases:
  - name: one
    resumes: 1
    expect:
      status: [succeeded, failed]
      before: { preflight: tunnel }
      effects: { move/vm-a/move_vm: there }
      failed: []
      within: 5h
      at_once: { vm.move@1: 1 }
    sweep:
      error: { at: every-step, classes: [transient], times: 1 }
      crash: { at: every-journal-write }
      twice: every-action
  - name: two
    expect: { refused: LH0029 }
  - name: three
    expect: { plan: denied, because: night }
  - name: four
    expect: { plan: allowed, status: succeeded }
";

const POLICY_TEST: &str = "\
apiVersion: longhaul/v1
kind: PolicyTest
name: all
policy: window.rhai
defaults:
  at: plan
  now: 2026-08-30T06:00:00Z
  with: { hours: 6 }
  view: { inputs: { vms: [vm-a] } }
cases:
  - name: one
    at: before-step
    now: 2026-08-30T07:00:00Z
    with: { hours: 7 }
    view: { step: { path: move } }
    expect: { decision: deny, because: late }
  - name: two
    expect: { decision: allow }
";

const SITES: &str = "\
apiVersion: longhaul/v1
kind: Sites
sites: [{ id: a, address: \"10.0.0.1:7700\" }]
pki: { ca: ca.pem, certificate: c.pem, key: c.key }
";

const SITE: &str = "\
apiVersion: longhaul/v1
kind: Site
id: a
listen: [\"10.0.0.1:7700\"]
state: /var/lib/longhaul
pki: { ca: ca.pem, certificate: a.pem, key: a.key }
peers: [{ id: b, address: \"10.0.1.1:7700\" }]
edge: { interface: eth0, gateway: 10.0.0.1, gateway_mac: \"52:54:00:00:00:01\" }
dns: { zone: lab.test, listen: \"10.0.0.1:53\", ttl_seconds: 60 }
disk_reserve: 10GiB
";

const VM: &str = "\
apiVersion: longhaul/v1
kind: Vm
id: vm-a
uuid: 6f0c3b0e-6d0c-4b5e-9c77-0c7f3c1f2a10
home: a
machine: pc-q35-10.0
cpu: host
vcpus: 2
memory: 128MiB
disk: { size: 64MiB }
nic: { mac: \"52:54:00:00:00:02\", address: 10.1.2.3, service: [{ site: b, address: 10.9.2.3 }] }
boot: { kernel: KERNEL, initrd: KERNEL, cmdline: quiet }
";

/// Values that stand somewhere in place of what was there.
fn samples() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(101),
        json!(""),
        json!("text"),
        json!("10m"),
        json!("2GiB"),
        json!("${{ inputs.vms }}"),
        json!("x ${{ 1 }}"),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({ "x": 1 }),
    ]
}

/// JSON pointers of everything in a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The document with one thing changed, every way there is.
fn changed(whole: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let mut found = Vec::new();
    places(whole, "", &mut found);
    for place in found.iter().filter(|place| !place.is_empty()) {
        for sample in samples() {
            let mut value = whole.clone();
            *value.pointer_mut(place).unwrap() = sample;
            all.push(value);
        }
        let (above, key) = place.rsplit_once('/').unwrap();
        let mut value = whole.clone();
        if let Some(map) = value.pointer_mut(above).and_then(Value::as_object_mut) {
            map.remove(&key.replace("~1", "/").replace("~0", "~"));
            all.push(value);
        }
    }
    for place in &found {
        for extra in ["zzz", "x-zzz"] {
            let mut value = whole.clone();
            if let Some(map) = value.pointer_mut(place).and_then(Value::as_object_mut) {
                map.insert(extra.to_owned(), json!(1));
                all.push(value);
            }
        }
    }
    all
}

/// A file in which all keys of its kind stand, with one thing changed at a time: keys taken out, put in, every value
/// replaced by values of each type. Schema and reader judge each alike, so neither can learn something that the other
/// does not know.
#[test]
fn changed_files_are_judged_alike() {
    let vm = VM.replace("KERNEL", &"a".repeat(64));
    let all = [
        (Kind::Workflow, WORKFLOW),
        (Kind::Defaults, SHARED),
        (Kind::Test, TEST),
        (Kind::PolicyTest, POLICY_TEST),
        (Kind::Sites, SITES),
        (Kind::Site, SITE),
        (Kind::Vm, &vm),
    ];
    let tested = Document::parse(&Source::new("tested.yaml", TESTED)).unwrap();
    let mut wrong = Vec::new();
    for (kind, text) in all {
        let validator = validator(kind);
        let right = read(kind, text, &tested).unwrap();
        assert!(right.is_empty(), "{kind:?}:\n{right}");
        assert_eq!(disagreement(&validator, kind, text, &tested), None, "{kind:?}");
        let whole = Document::parse(&Source::new("t.yaml", text)).unwrap().root.to_json();
        let changed = changed(&whole);
        assert!(changed.len() > 100, "{kind:?}");
        for value in changed {
            let why = disagreement(&validator, kind, &value.to_string(), &tested);
            wrong.extend(why.map(|why| format!("{kind:?}: {why}\n{value}")));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Names and ranges of plugins are judged alike, whatever form of them somebody writes.
#[test]
fn ranges_of_plugins_are_judged_alike() {
    let validator = validator(Kind::Defaults);
    let ranges = "^1 ~1.2 =1.2.3 1 >=1.2,<3 >=1.2, <3|* x 1.* 1.x.X 1.*.* 1.*.3 *.1 >* ^1.2.3-rc.1+b ~1.2-rc 01.2 1.2.3.4 \
                  one ^ ,|1,|^1 ^2|> 1|> =1|1.2.3-|1.2.3-01|1.2.3- a|1 . 2|=|=1 , <2|1.2.3+b,2";
    let texts = ranges.split(['|', ' ']).map(|range| format!("bigip@{range}"));
    let texts = texts.chain(ranges.split('|').map(|range| format!("bigip@{range}")));
    let others = [
        "bigip", "bigip@", "@1", "bigip @1", "Bigip@1", "big-ip@1", "big-@1", "a@1@2", "bigip@ 1", "bigip@1 ",
    ];
    let mut fine = 0;
    for text in texts.chain(others.map(str::to_owned)).chain([format!("{}@1", "a".repeat(41))]) {
        let file = format!(
            "apiVersion: longhaul/v1\nkind: Defaults\nplugins: {{ p: {} }}\n",
            Value::from(text.as_str())
        );
        let document = Document::parse(&Source::new("t.yaml", &file)).unwrap();
        let (_, found) = read_shared(&document);
        assert_eq!(validator.is_valid(&document.root.to_json()), found.is_empty(), "{text}: {found}");
        fine += usize::from(found.is_empty());
    }
    assert!(fine > 10, "{fine}");
}

/// The command prints what is in the tree, and editors find it from the first line of a new project's files.
#[test]
fn the_published_schemas_are_current() {
    for kind in Kind::ALL {
        let path = repository().join("workflows/schema").join(kind.file());
        let published: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(published, kind.schema(), "{}: `cargo xtask gen` writes it", path.display());
        let name = kind.name().to_lowercase();
        let output = std::process::Command::new(crate::moves::binary())
            .args(["schema", "--kind", &name])
            .output()
            .unwrap();
        assert_eq!(output.stdout, std::fs::read(&path).unwrap());
    }
}
