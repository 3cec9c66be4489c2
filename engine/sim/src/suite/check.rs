//! From a test file to its cases: everything in it is held against the workflow, the catalogue and itself.

mod mocking;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use longhaul_model::action::{ActionName, Catalogue};
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::policy::{Host, NoHost};
use longhaul_model::source::{Span, Spanned};
use longhaul_model::test::{CaseSpec, EffectsSpec, Invariant, SetupSpec, TestFile};
use longhaul_model::workflow::Resolved;
use serde_json::{Map, Value};

use super::case::{Planning, slug};
use super::mocks::{Mock, Mocks};
use super::shape::{Shape, Step};
use super::{Case, Suite, names, sample};

/// When a run begins if nobody says so: 2026-01-01T00:00:00Z.
const CLOCK_UNIX_MS: u64 = 1_767_225_600_000;

impl Suite {
    /// Holds a test file against the workflow that it names.
    ///
    /// # Errors
    /// Every mistake in the test file, and in a workflow that is no good whatever its inputs are.
    pub fn check<'w>(
        test: &Document,
        workflow: impl Into<Cow<'w, Resolved>>,
        catalogue: &Catalogue,
    ) -> Result<Self, Diagnostics> {
        let (file, mut found) = TestFile::read(test);
        check_names(&file, &mut found);
        let workflow = workflow.into();
        let outline = match longhaul_plan::outline(&*workflow, catalogue) {
            Ok(outline) => outline,
            Err(of_workflow) => {
                found.append(of_workflow);
                return Err(found.sorted());
            }
        };
        let mut checker = Checker {
            file: &file,
            workflow: Arc::new(workflow.into_owned()),
            catalogue: Arc::new(catalogue.clone()),
            shape: Shape::of(&outline),
            plans: BTreeMap::new(),
            plain: Arc::default(),
            found,
        };
        checker.plain = Arc::new(checker.plain_outputs());
        let cases = checker.cases();
        checker.found.or(Some(Self { source: test.source.clone(), cases }))
    }
}

impl Suite {
    /// The same with somebody who carries out the scripts of policies; without, every policy denies.
    #[must_use]
    pub fn with_policies(mut self, host: &Arc<dyn Host>) -> Self {
        self.cases.iter_mut().for_each(|case| case.host = Arc::clone(host));
        self
    }
}

/// No two cases have one name; their snapshots would be one file.
fn check_names(file: &TestFile, found: &mut Diagnostics) {
    let mistake = |code, span, message| Diagnostic::new(code, &file.document.source, span, message);
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for Spanned { value: name, span } in file.cases.iter().map(|case| &case.name) {
        let slug = slug(name);
        if slug.is_empty() {
            let message = "a case's name has at least one letter or digit".to_owned();
            found.push(mistake(Code::Malformed, *span, message));
        } else if let Some(before) = seen.get(&slug) {
            let one = mistake(Code::CaseTwice, *span, format!("there is a case `{name}` already"));
            found.push(one.and_at(*before, "first here"));
        } else {
            seen.insert(slug, *span);
        }
    }
}

/// What the parts of a check share.
struct Checker<'a> {
    file: &'a TestFile,
    workflow: Arc<Resolved>,
    catalogue: Arc<Catalogue>,
    shape: Shape,
    /// Cases that start from the same inputs share their plan.
    plans: BTreeMap<String, Arc<Planning>>,
    plain: Arc<BTreeMap<ActionName, Value>>,
    found: Diagnostics,
}

impl Checker<'_> {
    fn mistake(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, &self.file.document.source, span, message)
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        let one = self.mistake(code, span, message);
        self.found.push(one);
    }

    /// What each action puts out if no mock says so.
    fn plain_outputs(&self) -> BTreeMap<ActionName, Value> {
        let used = self.shape.actions().into_iter();
        used.filter_map(|name| Some((name.clone(), sample::of(&self.catalogue.get(name)?.outputs)))).collect()
    }

    fn cases(&mut self) -> Vec<Case> {
        let file = self.file;
        let defaults = self.mocks(&file.defaults);
        let clock = self.clock(&file.defaults).unwrap_or(CLOCK_UNIX_MS);
        file.cases.iter().map(|spec| self.case(spec, clock, &defaults)).collect()
    }

    fn case(&mut self, spec: &CaseSpec, clock_unix_ms: u64, defaults: &[Arc<Mock>]) -> Case {
        let own = self.mocks(&spec.setup);
        self.check_paths(spec);
        let inputs = self.inputs(spec);
        let planning = self.planning(&inputs);
        let outages = spec.setup.outages.as_ref().or(self.file.defaults.outages.as_ref());
        let invariants = spec.setup.invariants.as_ref().or(self.file.defaults.invariants.as_ref());
        Case {
            source: self.file.document.source.clone(),
            name: spec.name.clone(),
            planning,
            clock_unix_ms: self.clock(&spec.setup).unwrap_or(clock_unix_ms),
            mocks: Mocks {
                mocks: own.into_iter().chain(defaults.iter().cloned()).collect(),
                plain: Arc::clone(&self.plain),
                inputs,
            },
            outages: outages.cloned().unwrap_or_default(),
            resumes: spec.resumes.unwrap_or(0),
            expect: spec.expect.clone(),
            invariants: invariants.map_or_else(
                || Invariant::ALL.to_vec(),
                |listed| listed.iter().map(|one| one.value).collect(),
            ),
            sweep: spec.sweep.clone(),
            names: names::of(spec, self.file),
            host: Arc::new(NoHost),
            judged: OnceLock::new(),
        }
    }

    /// The inputs of the file, and over them those of the case.
    fn inputs(&self, spec: &CaseSpec) -> Map<String, Value> {
        let of = |setup: &SetupSpec| setup.inputs.as_ref().map(longhaul_model::document::Node::to_json);
        let mut inputs = Map::new();
        for given in [of(&self.file.defaults), of(&spec.setup)].into_iter().flatten() {
            inputs.extend(given.as_object().cloned().unwrap_or_default());
        }
        inputs
    }

    fn planning(&mut self, inputs: &Map<String, Value>) -> Arc<Planning> {
        let key = Value::Object(inputs.clone()).to_string();
        let new = || {
            let (workflow, catalogue) = (Arc::clone(&self.workflow), Arc::clone(&self.catalogue));
            Arc::new(Planning { workflow, catalogue, inputs: inputs.clone(), planned: OnceLock::new() })
        };
        Arc::clone(self.plans.entry(key).or_insert_with(new))
    }

    fn clock(&mut self, setup: &SetupSpec) -> Option<u64> {
        let clock = setup.clock.as_ref()?;
        let read = clock.value.parse::<jiff::Timestamp>().ok();
        let read = read.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        if read.is_none() {
            let message =
                format!("`{}` is no time after 1970: write one such as 2026-08-30T06:00:00Z", clock.value);
            self.report(Code::Malformed, clock.span, message);
        }
        read
    }

    /// Every step and action that an expectation or a sweep names is one of the workflow's.
    fn check_paths(&mut self, spec: &CaseSpec) {
        let expect = &spec.expect;
        for order in &expect.orders {
            self.check_step(&order.first);
            self.check_step(&order.then);
        }
        let left: &[_] = if let Some(EffectsSpec::Each(each)) = &expect.effects { each } else { &[] };
        let failed = expect.failed.iter().flat_map(|failed| &failed.value);
        let struck = spec.sweep.error.iter().flat_map(|sweep| sweep.at.iter().flatten());
        for path in left.iter().map(|(path, _)| path).chain(struck) {
            self.check_action_step(path);
        }
        for path in failed {
            self.check_single_step(path);
        }
        for (name, _) in &expect.at_once {
            self.check_action(name);
        }
    }

    fn check_step(&mut self, path: &Spanned<String>) -> bool {
        if self.shape.find(&path.value).is_some() {
            return true;
        }
        let message = format!("the workflow has no step `{}`", path.value);
        let mut one = self.mistake(Code::UnknownStep, path.span, message);
        one.help = self.shape.near(&path.value).map(|near| format!("did you mean `{near}`?"));
        self.found.push(one);
        false
    }

    /// A step that can fail by itself: an action, a wait or a question.
    fn check_single_step(&mut self, path: &Spanned<String>) {
        if self.check_step(path) && self.shape.find(&path.value).is_some_and(Step::holds_steps) {
            let message = format!("`{}` fails by the steps in it: name one of them", path.value);
            self.report(Code::UnknownStep, path.span, message);
        }
    }

    /// A step that uses an action, and that action.
    fn check_action_step(&mut self, path: &Spanned<String>) -> Option<ActionName> {
        if !self.check_step(path) {
            return None;
        }
        let uses = self.shape.find(&path.value).and_then(|step| step.uses.clone());
        if uses.is_none() {
            let message = format!("`{}` uses no action: name a step within it", path.value);
            self.report(Code::UnknownStep, path.span, message);
        }
        uses
    }

    /// An action that the workflow uses.
    fn check_action(&mut self, name: &Spanned<String>) -> Option<ActionName> {
        let used = self.shape.actions();
        if let Some(used) = used.iter().find(|used| used.to_string() == name.value) {
            return Some((*used).clone());
        }
        let names: Vec<String> = used.iter().map(ToString::to_string).collect();
        let message = format!("the workflow does not use the action `{}`", name.value);
        let one = self.mistake(Code::UnusedMock, name.span, message);
        let near = longhaul_model::diagnostic::nearest(&name.value, names.iter().map(String::as_str));
        let help = near.map_or_else(
            || format!("it uses: {}", names.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        self.found.push(one.help(help));
        None
    }
}
