//! The plugins that files use, each held against the lock beside the file that names it.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::plugin::{Called, FOLDER, Folder, LOCK, Lock, Locked, PluginPin};
use crate::source::Source;
use crate::workflow::{Files, PluginSpec, PolicySpec, Wanted, beside};

/// The plugins of all files that a workflow is made of.
pub(super) struct Plugins<'f> {
    files: &'f dyn Files,
    /// By the name of the file and what that calls them; nothing for one that is not to be had.
    known: BTreeMap<(String, String), Option<Rc<Plugin>>>,
    /// By their own names; nothing for one that cannot be used.
    locks: BTreeMap<String, Option<Rc<Lock>>>,
}

/// A plugin that is as it is locked.
struct Plugin {
    pin: PluginPin,
    folder: Folder,
}

impl<'f> Plugins<'f> {
    pub(super) fn new(files: &'f dyn Files) -> Self {
        Self { files, known: BTreeMap::new(), locks: BTreeMap::new() }
    }

    /// Finds the plugins that files use, each once, and notes why one is not to be had.
    pub(super) fn add(&mut self, specs: &[PluginSpec], found: &mut Diagnostics) {
        for spec in specs {
            let key = key(&spec.source, &spec.alias);
            if !self.known.contains_key(&key) {
                let plugin = spec.wanted.as_ref().and_then(|wanted| self.find(spec, wanted, found));
                self.known.insert(key, plugin);
            }
        }
    }

    /// Those of the plugins that are to be had.
    pub(super) fn pins(&self, specs: &[PluginSpec]) -> impl Iterator<Item = PluginPin> {
        let known = specs.iter().filter_map(|spec| self.known.get(&key(&spec.source, &spec.alias))?.as_ref());
        known.map(|plugin| plugin.pin.clone())
    }

    /// The script of a policy that comes [from a plugin](PolicySpec::of_plugin).
    pub(super) fn script(&self, policy: &PolicySpec, found: &mut Diagnostics) -> Option<Source> {
        let (alias, file) = policy.of_plugin()?;
        let mistake =
            |message: String| Diagnostic::new(Code::UnknownPlugin, &policy.source, policy.file.span, message);
        let Some(plugin) = self.known.get(&key(&policy.source, alias)) else {
            let message = format!("no plugin is called `{alias}` in this file");
            found.push(mistake(message).help(self.meant(policy, alias, file)));
            return None;
        };
        let Plugin { pin, folder } = plugin.as_deref()?;
        let offered = folder.manifest.policies.iter().map(String::as_str);
        if !offered.clone().any(|other| other == file) {
            let message = format!("{} {} offers no policy `{file}`", pin.name, pin.version);
            let near = nearest(file, offered.clone()).map(|near| format!("did you mean `{alias}/{near}`?"));
            let all = || format!("it offers: {}", offered.collect::<Vec<_>>().join(", "));
            found.push(mistake(message).help(near.unwrap_or_else(all)));
            return None;
        }
        let text = folder.tree.text(file).map_err(|why| found.push(mistake(why))).ok()?;
        Some(Source::new(&format!("{}/{file}", folder.path), text))
    }

    fn meant(&self, policy: &PolicySpec, alias: &str, file: &str) -> String {
        let here = self.known.keys().filter(|(source, _)| source == policy.source.name());
        match nearest(alias, here.map(|(_, alias)| alias.as_str())) {
            Some(near) => format!("did you mean `{near}/{file}`?"),
            None => {
                format!("declare it below `plugins`, or write `./{alias}/{file}` for a file of this folder")
            }
        }
    }

    fn find(&mut self, spec: &PluginSpec, wanted: &Wanted, found: &mut Diagnostics) -> Option<Rc<Plugin>> {
        let beside = Folder::beside(self.files, spec, &wanted.name).map_err(|why| found.append(why)).ok()?;
        let lock = self.lock(spec, wanted, found)?;
        let plugin = self.locked(spec, wanted, &lock, &beside);
        plugin.map_err(|why| found.append(why)).ok().map(Rc::new)
    }

    /// The lock beside a file.
    fn lock(&mut self, spec: &PluginSpec, wanted: &Wanted, found: &mut Diagnostics) -> Option<Rc<Lock>> {
        let from = spec.source.name();
        let name = beside(from, LOCK);
        if let Some(known) = self.locks.get(&name) {
            return known.clone();
        }
        let text = self.files.find(from, &format!("./{LOCK}")).and_then(|file| self.files.read(&file));
        // Each plugin is told to be without a lock; a lock that is broken is told once.
        let text = text
            .map_err(|why| found.push(not_locked(spec, format!("`{}` is not locked: {why}", wanted.name))))
            .ok()?;
        let lock = Lock::read(&Source::new(&name, &text));
        let lock = lock.map_err(|broken| found.append(broken.and_elsewhere(&[spec.elsewhere()]))).ok();
        let lock = lock.map(Rc::new);
        self.locks.insert(name, lock.clone());
        lock
    }

    /// The plugin as the lock has it.
    fn locked(
        &self,
        spec: &PluginSpec,
        Wanted { name, range }: &Wanted,
        lock: &Lock,
        beside: &[Called],
    ) -> Result<Plugin, Diagnostics> {
        let Some(locked) = lock.of(name) else {
            return Err(not_locked(spec, format!("`{name}` is not in {}", lock.source.name())).into());
        };
        let version = &locked.pin.version;
        let otherwise = |message| not_locked(spec, message).and_elsewhere(&[lock.elsewhere(locked.version)]);
        if !range.matches(version) {
            let message = format!("`{name}` is locked at {version}, which is not in the range `{range}`");
            return Err(otherwise(message).into());
        }
        let may_hold = |called: &&Called| called.version.as_ref().is_none_or(|said| said == version);
        let beside: Vec<Called> = beside.iter().filter(may_hold).cloned().collect();
        let mut folders = Folder::read_all(self.files, spec, &beside)?;
        folders.retain(|folder| folder.manifest.version == *version);
        let Some(mut folder) = folders.pop() else {
            let message =
                format!("`{name}` is locked at {version}, and nothing below {FOLDER} is that version");
            return Err(otherwise(message).into());
        };
        let pin = folder.pin();
        if pin == locked.pin {
            // The rest was needed for the digest alone.
            folder.tree.0.retain(|file, _| folder.manifest.policies.contains(file));
            Ok(Plugin { pin, folder })
        } else {
            Err(changed(spec, lock, locked, &folder).into())
        }
    }
}

fn key(source: &Source, alias: &str) -> (String, String) {
    (source.name().to_owned(), alias.to_owned())
}

/// What another lock would put right.
fn not_locked(spec: &PluginSpec, message: String) -> Diagnostic {
    let help = format!("run `longhaul plugin lock {}`", spec.source.name());
    spec.mistake(Code::NotLocked, message).help(help)
}

fn changed(spec: &PluginSpec, lock: &Lock, locked: &Locked, folder: &Folder) -> Diagnostic {
    let PluginPin { name, version, sha256 } = folder.pin();
    let message = format!("{name} {version} is not what was locked: {} has the digest {sha256}", folder.path);
    let one = spec.mistake(Code::PluginChanged, message).and_elsewhere(&[lock.elsewhere(locked.sha256)]);
    let file = spec.source.name();
    one.help(format!(
        "put back what it was; or review what it is now, and then run `longhaul plugin lock {file}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::ids::PluginName;
    use crate::plugin::{Tree, choose};
    use crate::workflow::{Resolved, Texts, Workflow};

    const HEAD: &str = "apiVersion: longhaul/v1\nkind: Workflow\nname: w\nversion: 1.0.0\nsteps: {}\n";

    /// Version 1.2.0 of `bigip`, which offers a policy, in a folder beside `w/a.yaml`; and that with a lock.
    fn locked(keys: &str) -> (Texts, Document) {
        let files = [
            (
                "w/plugins/bigip/plugin.toml",
                "name = 'bigip'\nversion = '1.2.0'\napi = 1\nsummary = ''\npolicies = ['a/b.rhai']\n",
            ),
            ("w/plugins/bigip/a/b.rhai", "fn decide(view) { allow() }"),
            ("w/plugins/bigip/notes.txt", "not offered"),
        ];
        let mut files = Texts(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let document = Document::parse(&Source::new("w/a.yaml", &format!("{HEAD}{keys}"))).unwrap();
        let (workflow, _) = Workflow::read(&document);
        let pins = choose(&workflow.plugins, &[], true, &files).unwrap();
        files.0.insert("w/longhaul.lock".to_owned(), Lock::text(&pins));
        (files, document)
    }

    fn found(files: &Texts, document: &Document) -> Vec<String> {
        let resolved = Resolved::read(document, files);
        let line = |one: &Diagnostic| format!("{} {}", one.code, one.source.slice(one.span));
        resolved.root().found.iter().map(line).collect()
    }

    const USED: &str = "plugins: { f5: bigip@^1 }\npolicy: [{ uses: f5/a/b.rhai, at: plan }]\n";

    /// A script comes from the folder that is locked, and is called by its place there.
    #[test]
    fn scripts_come_from_locked_plugins() {
        let (files, document) = locked(USED);
        let resolved = Resolved::read(&document, &files);
        assert_eq!(resolved.root().found, Diagnostics::new());
        let script = resolved.root().scripts[0].as_ref().unwrap();
        assert_eq!(
            (script.name(), script.text()),
            ("w/plugins/bigip/a/b.rhai", "fn decide(view) { allow() }")
        );
        let [pin] = &resolved.plugins()[..] else { panic!("one plugin") };
        let name: PluginName = "bigip".parse().unwrap();
        let tree: Tree = files.tree("w/a.yaml", "./plugins/bigip").unwrap();
        assert_eq!(
            (&pin.name, pin.version.to_string(), &pin.sha256),
            (&name, "1.2.0".to_owned(), &tree.sha256())
        );
    }

    /// What is not as it is locked is refused: any file changed, added or removed, another version, no lock, no entry.
    #[test]
    fn what_is_not_as_locked_is_refused() {
        let (files, document) = locked(USED);
        let with = |name: &str, text: Option<&str>| {
            let mut files = files.clone();
            match text {
                Some(text) => drop(files.0.insert(name.to_owned(), text.to_owned())),
                None => drop(files.0.remove(name)),
            }
            found(&files, &document)
        };
        let lock = &files.0["w/longhaul.lock"];
        let manifest = &files.0["w/plugins/bigip/plugin.toml"];
        for (name, text, said) in [
            ("w/plugins/bigip/a/b.rhai", Some("fn decide(view) { deny(``) }"), "LH0058 bigip@^1"),
            ("w/plugins/bigip/notes.txt", None, "LH0058 bigip@^1"),
            ("w/plugins/bigip/more", Some(""), "LH0058 bigip@^1"),
            ("w/plugins/bigip/plugin.toml", None, "LH0056 bigip@^1"),
            ("w/plugins/bigip/plugin.toml", Some(&manifest.replace("1.2.0", "1.3.0")), "LH0057 bigip@^1"),
            ("w/plugins/bigip-1.2.0/plugin.toml", Some(manifest), "LH0014 'a/b.rhai'"),
            ("w/longhaul.lock", None, "LH0057 bigip@^1"),
            ("w/longhaul.lock", Some("version = 1\n"), "LH0057 bigip@^1"),
            ("w/longhaul.lock", Some(&lock.replace("1.2.0", "2.2.0")), "LH0057 bigip@^1"),
            ("w/longhaul.lock", Some("version = 2\n"), "LH0006 2"),
            ("w/longhaul.lock", Some("version = 1\nplugin = 1\n"), "LH0010 1"),
        ] {
            assert_eq!(with(name, text), [said], "{name}: {text:?}");
        }
        assert!(
            with("w/plugins/bigip-2.0.0/plugin.toml", Some("of another version, so not looked at"))
                .is_empty()
        );
        let text = document.source.text().replace("bigip@^1", "bigip@^1.3");
        let narrower = Document::parse(&Source::new("w/a.yaml", &text)).unwrap();
        assert_eq!(found(&files, &narrower), ["LH0057 bigip@^1.3"]);
    }

    /// Names that lead nowhere are told where they stand, and a plugin that is broken is told once.
    #[test]
    fn unknown_names_are_told() {
        let (mut files, document) = locked(
            "plugins: { f5: bigip@^1, unused: bigip@* }\npolicy: [{ uses: f6/a/b.rhai, at: plan }, { uses: f5/window.rhai, at: plan }, \
             { uses: f5/../bigip/a/b.rhai, at: plan }, { uses: other/b.rhai, at: plan }]\n",
        );
        let expected = ["f6/a/b.rhai", "f5/window.rhai", "f5/../bigip/a/b.rhai", "other/b.rhai"]
            .map(|at| format!("LH0055 {at}"));
        assert_eq!(found(&files, &document), expected);
        let helps: Vec<String> = Resolved::read(&document, &files)
            .root()
            .found
            .iter()
            .filter_map(|one| one.help.clone())
            .collect();
        let said = [
            "did you mean `f5/a/b.rhai`?",
            "it offers: a/b.rhai",
            "it offers: a/b.rhai",
            "declare it below `plugins`",
        ];
        assert!(helps.iter().zip(said).all(|(help, said)| help.starts_with(said)), "{helps:?}");
        files.0.remove("w/longhaul.lock");
        assert_eq!(found(&files, &document)[..2], ["LH0057 bigip@^1", "LH0057 bigip@*"]);
        let text = document.source.text().replace("f5: bigip@^1", "f5: big_ip@^1");
        let broken = Document::parse(&Source::new("w/a.yaml", &text)).unwrap();
        assert_eq!(found(&files, &broken)[..2], ["LH0011 big_ip", "LH0057 bigip@*"]);
    }

    /// Files that others include or run have plugins of their own, and a lock beside them.
    #[test]
    fn shared_files_have_plugins_of_their_own() {
        let (mut files, _) = locked(USED);
        let shared = format!("apiVersion: longhaul/v1\nkind: Defaults\n{USED}");
        files.0.insert("w/ours.yaml".to_owned(), shared);
        let document = Document::parse(&Source::new(
            "a.yaml",
            &format!("{HEAD}include: [./w/ours.yaml]\npolicy: [{{ uses: f5/a/b.rhai, at: plan }}]\n"),
        ));
        let document = document.unwrap();
        assert_eq!(
            found(&files, &document),
            ["LH0055 f5/a/b.rhai"],
            "what others call their plugins is theirs"
        );
        let resolved = Resolved::read(&document, &files);
        assert_eq!((resolved.plugins().len(), resolved.root().scripts[0].is_some()), (1, true));
        files.0.insert("w/a.yaml".to_owned(), format!("{HEAD}{USED}"));
        let text = HEAD.replace("steps: {}", "steps: { a: { uses: ./w/a.yaml } }");
        let around = Resolved::read(&Document::parse(&Source::new("a.yaml", &text)).unwrap(), &files);
        assert_eq!((around.plugins(), around.root().plugins.len()), (resolved.plugins(), 0));
    }
}
