//! The files that are changed: what Longhaul ships, what the guide shows, and the fixtures of mistakes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longhaul_model::Source;
use longhaul_model::action::Catalogue;
use longhaul_model::document::Document;
use longhaul_model::plugin::{Lock, choose};
use longhaul_model::workflow::{Texts, Workflow};

use crate::guide;

/// A file to change, and what is around it.
#[derive(Debug)]
pub(super) struct Subject {
    /// As others name it.
    pub(super) name: String,
    pub(super) text: String,
    /// Whether it is there to show a mistake.
    pub(super) is_broken: bool,
    /// Every file beside it.
    pub(super) files: Arc<Texts>,
    pub(super) catalogue: Arc<Catalogue>,
}

impl Subject {
    /// What it is before it is changed.
    pub(super) fn kind(&self) -> String {
        let document = Document::parse(&Source::new(&self.name, &self.text));
        document.ok().and_then(|it| it.kind().map(str::to_owned)).unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every one of them, in the same order on every machine.
pub(super) fn all() -> Vec<Subject> {
    let root = root();
    let ours = Arc::new(longhaul_steps::catalogue());
    let fixtures = include_str!("../fixtures/workflows/catalogue.json");
    let of_fixtures: Arc<Catalogue> = Arc::new(serde_json::from_str(fixtures).unwrap());
    let mut all = Vec::new();
    for folder in ["workflows", "engine/cli/src/commands/init", "tests/fixtures/mutations"] {
        all.extend(together(texts(&root.join(folder)), &ours));
    }
    all.extend(together(shown(&root.join("docs/guide")), &ours));
    let broken = together(texts(&root.join("tests/fixtures/workflows")), &of_fixtures);
    all.extend(broken.into_iter().map(|subject| Subject { is_broken: true, ..subject }));
    // Values for inputs, which are no document of their own.
    all.retain(|subject| subject.text.contains("apiVersion:"));
    all
}

/// Files that can name each other.
fn together(texts: Texts, catalogue: &Arc<Catalogue>) -> Vec<Subject> {
    let files = Arc::new(texts);
    let subject = |(name, text): (&String, &String)| Subject {
        name: name.clone(),
        text: text.clone(),
        is_broken: false,
        files: Arc::clone(&files),
        catalogue: Arc::clone(catalogue),
    };
    files.0.iter().map(subject).collect()
}

/// The YAML files of a folder, and what they may name: the shipped policies, and plugins beside them with their lock.
fn texts(folder: &Path) -> Texts {
    let mut all = those_of(folder, "yaml");
    all.extend(those_of(folder, "lock"));
    let below = |name: &str, folder: &Path, ending| {
        let named = |(file, text)| (format!("{name}/{file}"), text);
        those_of(folder, ending).into_iter().map(named).collect::<Vec<_>>()
    };
    all.extend(below("policies", &root().join("workflows/policies"), "rhai"));
    for plugin in std::fs::read_dir(folder.join("plugins")).into_iter().flatten() {
        let plugin = plugin.unwrap();
        let name = format!("plugins/{}", plugin.file_name().to_str().unwrap());
        all.extend(["toml", "rhai"].into_iter().flat_map(|ending| below(&name, &plugin.path(), ending)));
    }
    Texts(all)
}

/// The files of a folder, not of those below it.
fn those_of(folder: &Path, ending: &str) -> BTreeMap<String, String> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
    };
    paths.filter(|path| path.extension().is_some_and(|its| its == ending)).map(named).collect()
}

/// The files that the guide's pages show, by the names they have there.
fn shown(folder: &Path) -> Texts {
    let mut all = texts(&folder.join("../../workflows"));
    all.0.retain(|name, _| name == "evacuate.yaml" || name.starts_with("policies/"));
    all.0.extend(texts(&folder.join("../../engine/cli/src/commands/init")).0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let page = entry.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        all.0.extend(guide::scripts(&text));
        let blocks = guide::blocks(&text);
        let page = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let named = |(number, block): (usize, String)| (guide::name_of(&page, number, &block), block);
        all.0.extend(blocks.into_iter().enumerate().map(named));
    }
    lock(&mut all);
    all
}

/// Locks the plugins of files that stand in one folder, as whoever follows the guide does.
fn lock(files: &mut Texts) {
    let workflow = |(name, text): (&String, &String)| {
        let document = Document::parse(&Source::new(name, text)).ok()?;
        (document.kind() == Some("Workflow")).then(|| Workflow::read(&document).0.plugins)
    };
    let plugins: Vec<_> = files.0.iter().filter_map(workflow).flatten().collect();
    let pins = choose(&plugins, &[], true, &*files).unwrap();
    files.0.insert("longhaul.lock".to_owned(), Lock::text(&pins));
}
