//! A workflow with the files it names: those its steps run, and those whose defaults it includes.
//!
//! ```text
//!  a.yaml --uses--> b.yaml --uses--> c.yaml        parts: c, b, a
//!     |                '--include--> shared.yaml          each behind those that it uses
//!     |--uses--> c.yaml                                   each file once, however often it is named
//!     |--policy--> window.rhai
//!     '--plugins-> longhaul.lock, plugins/bigip/        and policies in it
//! ```
//!
//! This does no I/O: the texts come from [`Files`].

mod plugins;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Elsewhere};
use crate::document::Document;
use crate::plugin::PluginPin;
use crate::policy::Host;
use crate::source::{Source, Span, Spanned};
use crate::workflow::{
    BodySpec, ChildSpec, Defaults, Files, Found, NoFiles, PluginSpec, PolicySpec, Shared, StepSpec, Workflow,
    read_shared,
};
use plugins::Plugins;

/// How deep workflows may be nested: far more than a person can follow.
const DEPTH_MAX: usize = 16;

/// The longest script: it stands in every run's first record, and a person has to understand it.
const SCRIPT_BYTES_MAX: usize = 64 * 1024;

/// A workflow and every file that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The workflows, each behind those that it uses. The one that was asked for is the last; there is always one.
    pub parts: Vec<Part>,
}

/// One of the workflows.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What its file says, with the defaults that it includes.
    pub workflow: Workflow,
    /// Places in [`Resolved::parts`], by the text of `uses`. A file that could not be had has none.
    pub children: BTreeMap<String, usize>,
    /// What it includes, by the text of `include`, in file order.
    pub included: Vec<(String, Document)>,
    /// The scripts of its policies, in the order of [`Workflow::policies`]; none of one that could not be had.
    pub scripts: Vec<Option<Source>>,
    /// The plugins that it uses and that are as they are locked, each once, in the order of their names.
    pub plugins: Vec<PluginPin>,
    /// The steps that use it.
    pub users: Vec<Elsewhere>,
    /// What is wrong with its form, with the names of files in it, and with the files that it includes.
    pub found: Diagnostics,
}

impl Resolved {
    /// Reads every file that a workflow names, and those that these name.
    #[must_use]
    pub fn read(document: &Document, files: &dyn Files) -> Self {
        let mut resolving = Resolving::new(files);
        let name = document.source.name();
        resolving.workflow(document, Found { name: name.to_owned(), id: files.id(name) });
        Self { parts: resolving.parts }
    }

    /// The workflow that was asked for.
    #[must_use]
    pub fn root(&self) -> &Part {
        self.parts.last().expect("there is always one")
    }

    /// The plugins that it uses, and those of the workflows that it uses, each once, in the order of their names.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginPin> {
        in_order(self.parts.iter().flat_map(|part| part.plugins.clone()))
    }
}

/// Each once, in order.
fn in_order(pins: impl Iterator<Item = PluginPin>) -> Vec<PluginPin> {
    pins.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The plugins that files use, as they are locked; and why others are not to be had.
#[must_use]
pub fn pinned(specs: &[PluginSpec], files: &dyn Files) -> (Vec<PluginPin>, Diagnostics) {
    let (mut plugins, mut found) = (Plugins::new(files), Diagnostics::new());
    plugins.add(specs, &mut found);
    (in_order(plugins.pins(specs)), found)
}

/// Everything that is wrong with a file of shared defaults, with its plugins, and with the scripts of its policies.
#[must_use]
pub fn check_shared(document: &Document, files: &dyn Files, host: &dyn Host) -> Diagnostics {
    let (shared, mut found) = read_shared(document);
    let mut resolving = Resolving::new(files);
    resolving.plugins.add(&shared.plugins, &mut found);
    let scripts: Vec<_> = shared.policies.iter().map(|policy| resolving.script(policy, &mut found)).collect();
    let mut seen = Vec::new();
    found.append(check_scripts(&shared.policies, &scripts, host, &mut seen));
    found
}

impl Resolved {
    /// The same with everything that is wrong with the scripts of its policies.
    #[must_use]
    pub fn with_scripts_checked(mut self, host: &dyn Host) -> Self {
        let mut seen: Vec<Source> = Vec::new();
        for part in &mut self.parts {
            let found = check_scripts(&part.workflow.policies, &part.scripts, host, &mut seen);
            part.found.append(found);
        }
        self
    }
}

/// What is wrong with scripts that were not seen before.
fn check_scripts(
    policies: &[PolicySpec],
    scripts: &[Option<Source>],
    host: &dyn Host,
    seen: &mut Vec<Source>,
) -> Diagnostics {
    let mut found = Diagnostics::new();
    for (policy, script) in policies.iter().zip(scripts) {
        let Some(script) = script.as_ref().filter(|script| !seen.contains(script)) else { continue };
        seen.push(script.clone());
        let (source, span) = (policy.source.clone(), policy.file.span);
        let user = Elsewhere { source, span, text: "this policy".to_owned() };
        found.append(host.check(script).and_elsewhere(&[user]));
    }
    found
}

impl From<&Document> for Resolved {
    /// The workflow alone: every name of another file is a mistake.
    fn from(document: &Document) -> Self {
        Self::read(document, &NoFiles)
    }
}

impl<'a> From<&'a Document> for Cow<'a, Resolved> {
    fn from(document: &'a Document) -> Self {
        Cow::Owned(Resolved::from(document))
    }
}

impl<'a> From<&'a Resolved> for Cow<'a, Resolved> {
    fn from(resolved: &'a Resolved) -> Self {
        Cow::Borrowed(resolved)
    }
}

struct Resolving<'f> {
    files: &'f dyn Files,
    parts: Vec<Part>,
    /// Workflows that were read, by id; nothing for one that is no good.
    workflows: BTreeMap<String, Option<usize>>,
    /// The same for shared defaults.
    shared: BTreeMap<String, Option<(Document, Shared)>>,
    /// The same for the scripts of policies.
    scripts: BTreeMap<String, Option<Source>>,
    plugins: Plugins<'f>,
    /// From the workflow that was asked for to the one being read.
    way: Vec<Found>,
}

/// Where a file is named.
struct Naming<'n> {
    source: &'n Source,
    named: &'n Spanned<String>,
    text: String,
}

impl Naming<'_> {
    fn elsewhere(&self) -> Elsewhere {
        Elsewhere { source: self.source.clone(), span: self.named.span, text: self.text.clone() }
    }

    fn mistake(&self, code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, self.source, self.named.span, message)
    }
}

impl<'f> Resolving<'f> {
    fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            parts: Vec::new(),
            workflows: BTreeMap::new(),
            shared: BTreeMap::new(),
            scripts: BTreeMap::new(),
            plugins: Plugins::new(files),
            way: Vec::new(),
        }
    }

    fn workflow(&mut self, document: &Document, own: Found) -> usize {
        let (mut workflow, mut found) = Workflow::read(document);
        let source = &document.source;
        self.way.push(own);
        let mut children = BTreeMap::new();
        for (step, spec) in children_of(&workflow) {
            let naming = Naming { source, named: &spec.file, text: format!("step `{}` runs it", step.value) };
            if let Some(at) = self.child(&naming, &mut found) {
                children.insert(spec.file.value.clone(), at);
                self.parts[at].users.push(naming.elsewhere());
            }
        }
        self.way.pop();
        let included = self.included(&mut workflow, &mut found);
        self.plugins.add(&workflow.plugins, &mut found);
        let plugins = in_order(self.plugins.pins(&workflow.plugins));
        let scripts = workflow.policies.iter().map(|policy| self.script(policy, &mut found)).collect();
        self.parts.push(Part { workflow, children, included, scripts, plugins, users: Vec::new(), found });
        self.parts.len() - 1
    }

    fn child(&mut self, naming: &Naming<'_>, found: &mut Diagnostics) -> Option<usize> {
        let file = self.find(naming, found)?;
        if let Some(at) = self.way.iter().position(|open| open.id == file.id) {
            found.push(self.cycle(naming, at));
            return None;
        }
        if let Some(known) = self.workflows.get(&file.id) {
            return *known;
        }
        if self.way.len() >= DEPTH_MAX {
            let message = format!("workflows are nested more than {DEPTH_MAX} deep");
            found.push(naming.mistake(Code::OtherFile, message));
            return None;
        }
        let read = self.document(naming, &file, "Workflow", found);
        let at = read.map(|document| self.workflow(&document, file.clone()));
        self.workflows.insert(file.id, at);
        at
    }

    fn cycle(&self, naming: &Naming<'_>, from: usize) -> Diagnostic {
        let mut names: Vec<&str> = self.way[from..].iter().map(|open| open.name.as_str()).collect();
        names.push(names[0]);
        naming.mistake(
            Code::FileCycle,
            format!("workflows use each other in a circle: {}", names.join(" uses ")),
        )
    }

    /// Takes over the defaults of the files that a workflow includes: its own stand before them, and those of a later file
    /// before those of an earlier one. Policies of all of them hold, with the plugins that they come from.
    fn included(&mut self, workflow: &mut Workflow, found: &mut Diagnostics) -> Vec<(String, Document)> {
        let mut documents = Vec::new();
        let (mut defaults, mut plugins, mut policies) = (Defaults::default(), Vec::new(), Vec::new());
        for named in &workflow.include {
            let naming =
                Naming { source: &workflow.document.source, named, text: "included here".to_owned() };
            if let Some((document, shared)) = self.shared(&naming, found) {
                documents.push((named.value.clone(), document));
                defaults = shared.defaults.or(defaults);
                plugins.extend(shared.plugins);
                policies.extend(shared.policies);
            }
        }
        plugins.append(&mut workflow.plugins);
        workflow.plugins = plugins;
        workflow.defaults = std::mem::take(&mut workflow.defaults).or(defaults);
        policies.append(&mut workflow.policies);
        workflow.policies = policies;
        documents
    }

    fn shared(&mut self, naming: &Naming<'_>, found: &mut Diagnostics) -> Option<(Document, Shared)> {
        let file = self.find(naming, found)?;
        if let Some(known) = self.shared.get(&file.id) {
            return known.clone();
        }
        let read = self.document(naming, &file, "Defaults", found).map(|document| {
            let (shared, mistakes) = read_shared(&document);
            found.append(mistakes.and_elsewhere(&[naming.elsewhere()]));
            (document, shared)
        });
        self.shared.insert(file.id, read.clone());
        read
    }

    fn script(&mut self, policy: &PolicySpec, found: &mut Diagnostics) -> Option<Source> {
        let text = "this policy".to_owned();
        let naming = Naming { source: &policy.source, named: &policy.file, text };
        if policy.of_plugin().is_some() {
            let script = self.plugins.script(policy, found);
            return script.filter(|script| is_short(script, &naming, found));
        }
        let file = self.find(&naming, found)?;
        if let Some(known) = self.scripts.get(&file.id) {
            return known.clone();
        }
        let read = self.files.read(&file);
        let read = read.map_err(|why| found.push(naming.mistake(Code::OtherFile, why))).ok();
        let script = read.map(|text| Source::new(&file.name, &text));
        let script = script.filter(|script| is_short(script, &naming, found));
        self.scripts.insert(file.id, script.clone());
        script
    }

    fn find(&self, naming: &Naming<'_>, found: &mut Diagnostics) -> Option<Found> {
        let named = &naming.named.value;
        let result = if super::child::is_path(named) {
            self.files.find(naming.source.name(), named)
        } else {
            Err(format!("`{named}` is not named from this file's folder: write `./{named}`"))
        };
        result.map_err(|why| found.push(naming.mistake(Code::OtherFile, why))).ok()
    }

    /// A file of this kind; if it is none, everything that is wrong with its form is noted.
    fn document(
        &self,
        naming: &Naming<'_>,
        file: &Found,
        kind: &str,
        found: &mut Diagnostics,
    ) -> Option<Document> {
        let text =
            self.files.read(file).map_err(|why| found.push(naming.mistake(Code::OtherFile, why))).ok()?;
        let parsed = Document::parse_noting(&Source::new(&file.name, &text));
        let document =
            parsed.map_err(|broken| found.append(broken.and_elsewhere(&[naming.elsewhere()]))).ok()?;
        let span: Span = document.root.nearest("/kind").span;
        match document.kind() {
            // What else is wrong with its head is found when it is read.
            Some(other) if other != kind => {
                let message = format!("expected kind `{kind}`, found `{other}`");
                let one = Diagnostic::new(Code::Kind, &document.source, span, message);
                found.append(document.noted.clone().and_elsewhere(&[naming.elsewhere()]));
                found.push(one.did_you_mean(other, [kind]).and_elsewhere(&[naming.elsewhere()]));
                None
            }
            Some(_) | None => Some(document),
        }
    }
}

/// A script stands in every run's first record.
fn is_short(script: &Source, naming: &Naming<'_>, found: &mut Diagnostics) -> bool {
    let bytes = script.text().len();
    if bytes > SCRIPT_BYTES_MAX {
        let message = format!("the script has {bytes} bytes: a policy has at most {SCRIPT_BYTES_MAX}");
        found.push(naming.mistake(Code::OtherFile, message));
    }
    bytes <= SCRIPT_BYTES_MAX
}

/// The steps of a workflow that run others, in file order.
fn children_of(workflow: &Workflow) -> Vec<(Spanned<String>, ChildSpec)> {
    let mut all = Vec::new();
    for steps in [&workflow.steps, &workflow.on_failure, &workflow.always] {
        collect(steps, &mut all);
    }
    all
}

fn collect(steps: &[StepSpec], all: &mut Vec<(Spanned<String>, ChildSpec)>) {
    for step in steps {
        match &step.body {
            Some(BodySpec::Workflow(child)) => {
                let id = Spanned { value: step.id.value.to_string(), span: step.id.span };
                all.push((id, child.clone()));
            }
            Some(BodySpec::Foreach(foreach)) => collect(&foreach.steps, all),
            Some(BodySpec::Action(_) | BodySpec::Wait(_) | BodySpec::Question(_)) | None => {}
        }
    }
}
