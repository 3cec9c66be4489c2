//! `policy`: which policies hold, when they are asked, and about what.

use super::child::is_path;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::document::{Content, Node};
use crate::ids::StepId;
use crate::policy::{Hook, SCRIPT_ENDING};
use crate::read::Reader;
use crate::source::{Source, Span, Spanned};

/// The most policies of one file: far more than a person can keep in mind.
pub(crate) const POLICIES_MAX: usize = 100;

/// The keys of a policy.
pub(crate) const POLICY_KEYS: [&str; 4] = ["uses", "at", "with", "steps"];

/// A policy that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// Its script: a file as seen from the one that names it, or `ALIAS/FILE` of a plugin.
    pub file: Spanned<String>,
    /// When it is asked; at least one, and each once.
    pub at: Vec<Spanned<Hook>>,
    /// What its script is given besides the view.
    pub with: Option<Node>,
    /// Paths of steps and names of actions that it is about; all steps that use an action if it is not written.
    pub steps: Vec<Spanned<String>>,
    /// The file in which this stands: the workflow, or one that it includes.
    pub source: Source,
}

impl PolicySpec {
    /// The plugin's name here and the file in it; nothing if its script is a file beside the workflow.
    #[must_use]
    pub fn of_plugin(&self) -> Option<(&str, &str)> {
        of_plugin(&self.file.value)
    }

    /// Whether it is asked at this hook.
    #[must_use]
    pub fn is_at(&self, hook: Hook) -> bool {
        self.at.iter().any(|at| at.value == hook)
    }
}

/// The policies of a workflow, or of a file with shared defaults.
pub(super) fn read_all(root: &Node, reader: &mut Reader<'_>) -> Vec<PolicySpec> {
    let Some(node) = root.get("policy") else { return Vec::new() };
    let Content::List(items) = &node.content else {
        reader.wrong_type(node, "a list of policies");
        return Vec::new();
    };
    if items.len() > POLICIES_MAX {
        let message = format!("{} policies: a file has at most {POLICIES_MAX}", items.len());
        reader.report(Code::Malformed, node.span, message);
        return Vec::new();
    }
    items.iter().filter_map(|item| read(item, reader)).collect()
}

fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PolicySpec> {
    reader.fields(node, "a policy", &POLICY_KEYS)?;
    let file: Option<Spanned<String>> = reader.required(node, "uses");
    let at = read_hooks(node, reader);
    let with: Option<Node> = reader.optional(node, "with");
    if let Some(with) = with.as_ref().filter(|with| !matches!(with.content, Content::Map(_))) {
        reader.wrong_type(with, "a map of parameters");
    }
    let steps: Vec<Spanned<String>> = reader.optional(node, "steps").unwrap_or_default();
    if let Some(first) = steps.first()
        && !at.is_empty()
        && !at.iter().any(|at| at.value.is_of_a_step())
    {
        let message = "`steps` of a policy that is asked about no step";
        let one = Diagnostic::new(Code::Malformed, reader.source, first.span, message);
        reader.found.push(one.help("add `before-step` or `after-step` to `at`, or leave `steps` out"));
    }
    let file = file.filter(|file| is_script(file, reader))?;
    let source = reader.source.clone();
    (!at.is_empty()).then_some(PolicySpec { file, at, with, steps, source })
}

fn of_plugin(script: &str) -> Option<(&str, &str)> {
    script.split_once('/').filter(|(alias, _)| alias.parse::<StepId>().is_ok())
}

/// A script stands beside the workflow, as the files of other workflows do, or comes from a plugin.
fn is_script(file: &Spanned<String>, reader: &mut Reader<'_>) -> bool {
    let name = file.value.as_str();
    if !name.ends_with(SCRIPT_ENDING) {
        let message =
            format!("`{name}` is no script: a policy is a file whose name ends with `{SCRIPT_ENDING}`");
        reader.report(Code::Malformed, file.span, message);
        return false;
    }
    if is_path(name) || of_plugin(name).is_some() {
        return true;
    }
    let message = format!("`{name}` is not named from this file's folder");
    let one = Diagnostic::new(Code::OtherFile, reader.source, file.span, message);
    reader.found.push(one.help(format!("write `./{}`", name.trim_start_matches('/'))));
    false
}

fn read_hooks(node: &Node, reader: &mut Reader<'_>) -> Vec<Spanned<Hook>> {
    let Some(at) = node.get("at") else {
        reader.missing(node, "at");
        return Vec::new();
    };
    let one = std::slice::from_ref(at);
    let words = if let Content::List(items) = &at.content { items.as_slice() } else { one };
    if words.is_empty() {
        hook_mistake(at.span, "a policy that is never asked".to_owned(), None, reader);
    }
    let mut hooks: Vec<Spanned<Hook>> = Vec::new();
    for word in words {
        let Some(hook) = read_hook(word, reader) else { continue };
        if hooks.iter().any(|known| known.value == hook) {
            reader.report(Code::Malformed, word.span, format!("`{hook}` stands twice in `at`"));
        } else {
            hooks.push(Spanned { value: hook, span: word.span });
        }
    }
    hooks
}

fn read_hook(node: &Node, reader: &mut Reader<'_>) -> Option<Hook> {
    let Some(word) = node.as_text() else {
        reader.wrong_type(node, "when a policy is asked, a word");
        return None;
    };
    let hook = Hook::of(word);
    if hook.is_none() {
        let near = nearest(word, Hook::ALL.map(Hook::as_str));
        hook_mistake(node.span, format!("a policy is not asked at `{word}`"), near, reader);
    }
    hook
}

fn hook_mistake(span: Span, message: String, near: Option<&str>, reader: &mut Reader<'_>) {
    let one = Diagnostic::new(Code::Malformed, reader.source, span, message);
    let all = || format!("there are: {}", Hook::ALL.map(Hook::as_str).join(", "));
    let help = near.map_or_else(all, |near| format!("did you mean `{near}`?"));
    reader.found.push(one.help(help));
}
