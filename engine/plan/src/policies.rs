//! Policies: checked, pinned into the plan, and what each is asked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longhaul_expr::{Expression, Scope, Template};
use longhaul_model::action::{ActionName, Effects};
use longhaul_model::diagnostic::{Code, Diagnostic};
use longhaul_model::document::{Content, Node};
use longhaul_model::policy::{
    Hook, Host, PlanView, PlannedStep, RunView, VIEW_VERSION, Verdict, View, WorkflowView,
};
use longhaul_model::source::Source;
use longhaul_model::workflow::{BodySpec, PolicySpec, StepSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::Checker;
use crate::digest::sha256;
use crate::inputs::Declared;
use crate::names::{Names, suggestion};
use crate::plan::{Body, Graph, Plan, Step, WorkflowPin};

/// Stands in a path for the key of an item.
pub const ANY_ITEM: &str = "*";

/// A policy, with all that is needed to ask it: no file is read again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its script: a file as seen from the one that names it, or `ALIAS/FILE` of a plugin.
    pub file: String,
    /// SHA-256 of the script, in hex.
    pub sha256: String,
    /// The script.
    pub script: String,
    /// When it is asked, at least once.
    pub at: Vec<Hook>,
    /// Paths of steps, `*` for the key of an item, and names of actions that it is about; if there are none, every step that
    /// uses an action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// What its script is given besides the view; sees the inputs alone.
    pub with: Template,
}

impl Policy {
    /// Whether it is asked about a step at this hook: the step's path within the workflow of the policy, and its action.
    #[must_use]
    pub fn is_about(&self, hook: Hook, path: &str, uses: &str) -> bool {
        let named = |name: &String| name == path || (!uses.is_empty() && name == uses);
        let is_meant = if self.steps.is_empty() { !uses.is_empty() } else { self.steps.iter().any(named) };
        is_meant && self.at.contains(&hook)
    }

    /// When it is asked and about what: `at plan, before-step of vm.move@1`.
    #[must_use]
    pub fn occasions(&self) -> String {
        let at: Vec<&str> = self.at.iter().map(|hook| hook.as_str()).collect();
        let of = if self.steps.is_empty() { String::new() } else { format!(" of {}", self.steps.join(", ")) };
        format!("at {}{of}", at.join(", "))
    }
}

/// A question to one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Asking {
    /// The policy's file.
    pub policy: String,
    /// Its script.
    pub script: String,
    /// What it sees.
    pub view: View,
    /// What it is given besides; why that has no value if it has none.
    pub with: Result<Value, String>,
}

impl Asking {
    /// Asks. A policy that cannot decide denies.
    #[must_use]
    pub fn verdicts(&self, host: &dyn Host) -> Vec<Verdict> {
        let script = Source::new(&self.policy, &self.script);
        let with = self.with.as_ref().map_err(Clone::clone);
        match with.and_then(|with| host.decide(&script, &self.view, with)) {
            Ok(decisions) => {
                let policy = || self.policy.clone();
                decisions.into_iter().map(|decision| Verdict { policy: policy(), decision }).collect()
            }
            Err(why) => vec![Verdict::failed(&self.policy, &why)],
        }
    }
}

/// A workflow that has policies: the one that is run, or one that runs as a step.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// Its policies.
    pub policies: &'a [Policy],
    /// What it was made from.
    pub workflow: &'a WorkflowPin,
    /// Its inputs.
    pub inputs: &'a Map<String, Value>,
}

impl Holder<'_> {
    /// The questions to those of its policies that are meant, at this time. `fill` adds what the hook is about.
    pub fn ask(
        &self,
        hook: Hook,
        now_unix_ms: u64,
        run: Option<RunView>,
        is_meant: impl Fn(&Policy) -> bool,
        fill: impl Fn(&mut View),
    ) -> Vec<Asking> {
        let meant: Vec<&Policy> = self.policies.iter().filter(|policy| is_meant(policy)).collect();
        if meant.is_empty() {
            return Vec::new();
        }
        let mut view = View {
            version: VIEW_VERSION,
            hook,
            now: moment(now_unix_ms),
            workflow: WorkflowView {
                name: self.workflow.name.clone(),
                version: self.workflow.version.clone(),
                sha256: self.workflow.sha256.clone(),
            },
            inputs: self.inputs.clone(),
            run,
            plan: None,
            step: None,
            failure: None,
        };
        fill(&mut view);
        let scope = Scope { inputs: self.inputs.clone(), ..Scope::default() };
        let asking = |policy: &Policy| Asking {
            policy: policy.file.clone(),
            script: policy.script.clone(),
            view: view.clone(),
            with: policy.with.evaluate(&scope).map_err(|error| format!("its `with`: {error}")),
        };
        meant.into_iter().map(asking).collect()
    }

    /// The questions about its plan.
    #[must_use]
    pub fn ask_about_plan(
        &self,
        graph: &Graph,
        deadline: Option<&Expression>,
        now_unix_ms: u64,
        run: Option<RunView>,
    ) -> Vec<Asking> {
        let scope = Scope { inputs: self.inputs.clone(), now_unix_ms: Some(now_unix_ms), ..Scope::default() };
        let deadline = deadline.and_then(|deadline| deadline.evaluate(&scope).ok());
        let deadline = deadline.and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default();
        let fill = |view: &mut View| {
            let mut steps = Vec::new();
            planned(graph, "", &mut steps);
            view.plan = Some(PlanView { steps, deadline: deadline.clone() });
        };
        self.ask(Hook::Plan, now_unix_ms, run, |policy| policy.at.contains(&Hook::Plan), fill)
    }
}

impl Plan {
    /// What its policies are asked about it, before there is a run.
    #[must_use]
    pub fn ask_policies(&self, now_unix_ms: u64) -> Vec<Asking> {
        let holder = Holder { policies: &self.policies, workflow: &self.workflow, inputs: &self.inputs };
        holder.ask_about_plan(&self.graph, self.deadline.as_ref(), now_unix_ms, None)
    }
}

/// A time as policies read it.
#[must_use]
pub fn moment(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{unix_ms} ms"), |moment| moment.to_string())
}

fn planned(graph: &Graph, above: &str, all: &mut Vec<PlannedStep>) {
    for step in &graph.steps {
        let path = format!("{above}{}", step.id);
        all.push(planned_step(step, path.clone()));
        match &step.body {
            Body::Foreach(foreach) => planned(&foreach.graph, &format!("{path}/{ANY_ITEM}/"), all),
            Body::Workflow(child) => planned(&child.graph, &format!("{path}/"), all),
            Body::Action(_) | Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

fn planned_step(step: &Step, path: String) -> PlannedStep {
    PlannedStep {
        path,
        uses: step.body.uses().map_or_else(String::new, ToString::to_string),
        does: step.body.word().to_owned(),
        effects: effects(&step.body).to_owned(),
        pivot: matches!(&step.body, Body::Action(action) if action.pivot),
        needs: step.needs.iter().map(ToString::to_string).collect(),
    }
}

/// What a step leaves behind, as files write it.
#[must_use]
pub fn effects(body: &Body) -> &'static str {
    match body.effects() {
        Effects::None => "none",
        Effects::Reversible => "reversible",
        Effects::Irreversible => "irreversible",
    }
}

/// The paths of a workflow's steps and the actions they use.
#[derive(Default)]
struct Steps {
    names: BTreeSet<String>,
    /// Something in it could not be read, so there may be more.
    is_cut: bool,
}

impl Checker<'_> {
    /// The policies of the workflow.
    pub(crate) fn policies(&mut self, declared: &[Declared<'_>], scripts: &[Option<Source>]) -> Vec<Policy> {
        let workflow = self.workflow;
        if workflow.policies.is_empty() {
            return Vec::new();
        }
        self.refuse_ids_of_questions();
        let mut steps = Steps::default();
        self.collect(&workflow.steps, "", &mut steps);
        let pairs = workflow.policies.iter().zip(scripts);
        pairs.filter_map(|(spec, script)| self.policy(spec, script.as_ref(), declared, &steps)).collect()
    }

    fn policy(
        &mut self,
        spec: &PolicySpec,
        script: Option<&Source>,
        declared: &[Declared<'_>],
        steps: &Steps,
    ) -> Option<Policy> {
        self.check_steps(spec, steps);
        let with = self.policy_with(spec, declared)?;
        let script = script?;
        Some(Policy {
            // As it is named, not as it is reached: the same wherever somebody stands.
            file: spec.file.value.trim_start_matches("./").to_owned(),
            sha256: sha256(script.text()),
            script: script.text().to_owned(),
            at: spec.at.iter().map(|at| at.value).collect(),
            steps: spec.steps.iter().map(|step| step.value.clone()).collect(),
            with,
        })
    }

    fn policy_with(&mut self, spec: &PolicySpec, declared: &[Declared<'_>]) -> Option<Template> {
        let Some(node) = &spec.with else { return Template::parse(Value::Object(Map::new())).ok() };
        if spec.source != self.workflow.document.source {
            return self.values_alone(spec, node);
        }
        let names = Names::root(declared, &[], self.uses);
        let before = self.found.len();
        let template = self.template(node, &names)?.template;
        let scope = self.scope.as_ref().filter(|_| self.found.len() == before);
        if let Some(Err(error)) = scope.map(|scope| template.evaluate(scope)) {
            self.report(Code::Expression, node.span, error.to_string());
        }
        Some(template)
    }

    /// A file that others include does not know which inputs they have.
    fn values_alone(&mut self, spec: &PolicySpec, node: &Node) -> Option<Template> {
        if !holds_expression(node) {
            return Template::parse(node.to_json()).ok();
        }
        let message = "a file that others include knows no inputs: `with` of its policies holds values alone";
        let one = Diagnostic::new(Code::UnknownInput, &spec.source, node.span, message);
        self.found.push(one.help("write the policy into the workflow"));
        None
    }

    fn check_steps(&mut self, spec: &PolicySpec, steps: &Steps) {
        if steps.is_cut {
            return;
        }
        for step in spec.steps.iter().filter(|step| !steps.names.contains(&step.value)) {
            let message = format!("the workflow has no step `{0}` and uses no action `{0}`", step.value);
            let mut one = Diagnostic::new(Code::UnknownStep, &spec.source, step.span, message);
            one.help = suggestion(&step.value, steps.names.iter().map(String::as_str), "there are");
            self.found.push(one);
        }
    }

    fn collect(&self, specs: &[StepSpec], above: &str, all: &mut Steps) {
        for spec in specs {
            let path = format!("{above}{}", spec.id.value);
            match &spec.body {
                None => all.is_cut = true,
                Some(BodySpec::Action(action)) => {
                    let uses = action.uses.as_ref().filter(|uses| uses.value.parse::<ActionName>().is_ok());
                    all.is_cut |= uses.is_none();
                    all.names.extend(uses.map(|uses| uses.value.clone()));
                }
                Some(BodySpec::Foreach(foreach)) => {
                    self.collect(&foreach.steps, &format!("{path}/{ANY_ITEM}/"), all);
                }
                Some(BodySpec::Workflow(child)) => match self.uses.child(&child.file.value) {
                    Some(child) => {
                        all.is_cut |= child.is_broken;
                        let mut inside = Vec::new();
                        planned(&child.parts.graph, &format!("{path}/"), &mut inside);
                        let names = inside.into_iter().flat_map(|step| [step.path, step.uses]);
                        all.names.extend(names.filter(|name| !name.is_empty()));
                    }
                    None => all.is_cut = true,
                },
                Some(BodySpec::Wait(_) | BodySpec::Question(_)) => {}
            }
            all.names.insert(path);
        }
    }

    /// People answer under these names what a policy asks of them.
    fn refuse_ids_of_questions(&mut self) {
        let workflow = self.workflow;
        for spec in workflow.steps.iter().chain(&workflow.on_failure).chain(&workflow.always) {
            let id = spec.id.value.as_str();
            if [Plan::PLAN_APPROVAL, Plan::UNDO_APPROVAL].iter().any(|name| id.starts_with(name)) {
                let message = format!("`{id}` is the id of what a policy may ask of people");
                self.report(Code::ReservedName, spec.id.span, message);
            }
        }
    }
}

fn holds_expression(node: &Node) -> bool {
    match &node.content {
        Content::Text(text) => text.contains("${{"),
        Content::List(items) => items.iter().any(holds_expression),
        Content::Map(entries) => entries.iter().any(|entry| holds_expression(&entry.value)),
        Content::Null | Content::Bool(_) | Content::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
