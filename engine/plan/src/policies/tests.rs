use std::collections::BTreeMap;

use longhaul_model::action::Catalogue;
use longhaul_model::document::Document;
use longhaul_model::plugin::{Lock, choose};
use longhaul_model::policy::{Decision, Hook};
use longhaul_model::workflow::{Resolved, Texts, Workflow};
use serde_json::json;

use super::*;
use crate::{check, render_text};

const SCRIPT: &str = "fn decide(view) { allow() }";

fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("../../../../tests/fixtures/workflows/catalogue.json")).unwrap()
}

fn resolved(policies: &str, shared: &str) -> Resolved {
    let text = format!(
        "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\ninclude: [./shared.yaml]\ninputs:\n  \
         hours: {{ type: string, default: 22-06 }}\n  vms: {{ type: array, items: {{ type: string }} }}\n{policies}\nsteps:\n  \
         look: {{ uses: site.check@1, with: {{ from: a, to: b, vms: \"${{{{ inputs.vms }}}}\" }} }}\n  \
         each:\n    foreach: ${{{{ inputs.vms }}}}\n    as: vm\n    steps:\n      \
         hop: {{ uses: vm.move@1, with: {{ vm: \"${{{{ vm }}}}\", from: a, to: b, max_pause: 300ms }} }}\n"
    );
    let files = Texts(BTreeMap::from([
        ("p.rhai".to_owned(), SCRIPT.to_owned()),
        ("shared.yaml".to_owned(), format!("apiVersion: longhaul/v1\nkind: Defaults\n{shared}")),
    ]));
    Resolved::read(&Document::parse(&Source::new("w.yaml", &text)).unwrap(), &files)
}

fn given() -> Map<String, Value> {
    json!({ "vms": ["vm-a"] }).as_object().unwrap().clone()
}

/// The plan has each policy with its script and digest, those of included files first, and another script is another pin.
#[test]
fn plans_pin_their_policies() {
    let own = "policy:\n  - { uses: ./p.rhai, at: before-step, steps: [vm.move@1, each/*/hop], with: { hours: \"${{ inputs.hours }}\" } }";
    let shared = "policy: [{ uses: ./p.rhai, at: [plan, on-failure], with: { hours: all } }]\n";
    let resolved = resolved(own, shared);
    let plan = check(&resolved, &given(), &catalogue()).unwrap();
    let [first, second] = &plan.policies[..] else { panic!("{:?}", plan.policies) };
    assert_eq!(
        (&first.at[..], &second.at[..]),
        (&[Hook::Plan, Hook::OnFailure][..], &[Hook::BeforeStep][..])
    );
    assert_eq!((first.file.as_str(), first.script.as_str(), first.sha256.len()), ("p.rhai", SCRIPT, 64));
    assert!(second.is_about(Hook::BeforeStep, "each/*/hop", "vm.move@1"));
    assert!(!second.is_about(Hook::AfterStep, "each/*/hop", "vm.move@1"));
    assert!(!second.is_about(Hook::BeforeStep, "look", "site.check@1"));
    let again: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
    let mut other = resolved;
    other.parts[0].scripts[0] = Some(Source::new("p.rhai", "fn decide(view) { deny(`x`) }"));
    assert_ne!(check(&other, &given(), &catalogue()).unwrap().workflow.sha256, plan.workflow.sha256);
}

/// A policy is asked about the plan with what it sees; what cannot decide denies; the plan's text says who said what.
#[test]
fn plans_are_judged() {
    struct Says;
    impl Host for Says {
        fn check(&self, _: &Source) -> longhaul_model::diagnostic::Diagnostics {
            longhaul_model::diagnostic::Diagnostics::new()
        }
        fn decide(&self, _: &Source, view: &View, with: &Value) -> Result<Vec<Decision>, String> {
            let paths: Vec<&str> =
                view.plan.iter().flat_map(|it| &it.steps).map(|it| it.path.as_str()).collect();
            if with["hours"] == "22-06" {
                Ok(vec![Decision::Warn(format!("{} at {}", paths.join(" "), view.now))])
            } else {
                Err("p.rhai:1:1: broken".to_owned())
            }
        }
    }
    let own = "policy:\n  - { uses: ./p.rhai, at: plan, with: { hours: \"${{ inputs.hours }}\" } }\n  \
               - { uses: ./p.rhai, at: plan }";
    let mut plan = check(&resolved(own, ""), &given(), &catalogue()).unwrap();
    plan.verdicts = plan.ask_policies(1_000).iter().flat_map(|asking| asking.verdicts(&Says)).collect();
    let warned = plan.verdicts[0].warning().unwrap();
    assert_eq!(warned, "look each each/*/hop at 1970-01-01T00:00:01Z");
    let denied = Verdict::denials(&plan.verdicts).unwrap();
    assert_eq!(
        denied,
        "p.rhai denies it: it could not decide, and what cannot decide denies: p.rhai:1:1: broken"
    );
    let text = render_text(&plan, None);
    assert!(text.contains("p.rhai at plan") && text.contains("    denies it: it could not decide"), "{text}");
}

/// Every mistake of a policy is told: steps that there are not, what `with` reads, and reserved ids.
#[test]
fn mistakes_are_told() {
    let own = "policy:\n  - { uses: ./p.rhai, at: before-step, steps: [each/hop, vm.mvoe@1, look] }\n  \
               - { uses: ./p.rhai, at: plan, with: { hours: \"${{ steps.look.outputs.x }}\" } }";
    let shared = "policy: [{ uses: ./p.rhai, at: plan, with: { hours: \"${{ inputs.hours }}\" } }]\n";
    let found = check(&resolved(own, shared), &given(), &catalogue()).unwrap_err();
    let told: Vec<(&str, &str, &str)> =
        found.iter().map(|one| (one.code.as_str(), one.source.name(), one.source.slice(one.span))).collect();
    assert_eq!(
        told,
        [
            ("LH0024", "shared.yaml", "{ hours: \"${{ inputs.hours }}\" }"),
            ("LH0025", "w.yaml", "each/hop"),
            ("LH0025", "w.yaml", "vm.mvoe@1"),
            ("LH0025", "w.yaml", "steps.look.outputs.x"),
        ]
    );
}

/// What a plugin's folder holds is part of what a run is pinned to, and of the plan, which shows it; its script is in the plan.
#[test]
fn plans_pin_their_plugins() {
    let planned = |notes: &str| {
        let manifest = "name = 'bigip'\nversion = '1.2.0'\napi = 1\nsummary = ''\npolicies = ['p.rhai']\n";
        let files = [("plugin.toml", manifest), ("p.rhai", SCRIPT), ("notes.txt", notes)];
        let named = |(name, text): (&str, &str)| (format!("plugins/bigip/{name}"), text.to_owned());
        let mut files = Texts(files.map(named).into());
        let text = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\nplugins: { f5: bigip@^1 }\n\
                    policy: [{ uses: f5/p.rhai, at: plan }]\nsteps: { w: { wait: 1s } }\n";
        let document = Document::parse(&Source::new("w.yaml", text)).unwrap();
        let (workflow, _) = Workflow::read(&document);
        let pins = choose(&workflow.plugins, &[], true, &files).unwrap();
        files.0.insert("longhaul.lock".to_owned(), Lock::text(&pins));
        check(&Resolved::read(&document, &files), &Map::new(), &catalogue()).unwrap()
    };
    let plan = planned("one");
    assert_eq!((plan.policies[0].file.as_str(), plan.policies[0].script.as_str()), ("f5/p.rhai", SCRIPT));
    let text = render_text(&plan, None);
    let line = format!("  bigip 1.2.0  (sha256 {})", &plan.plugins[0].sha256[..12]);
    assert!(text.contains(&format!("plugins, as they are locked:\n{line}\n")), "{text}");
    let again: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
    let other = planned("other");
    assert_ne!(other.plugins, plan.plugins);
    assert_ne!(other.workflow.sha256, plan.workflow.sha256);
    assert_eq!(other.policies, plan.policies);
}
