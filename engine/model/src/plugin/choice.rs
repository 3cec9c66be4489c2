//! What a lock is to hold.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use super::{Folder, PluginPin};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ids::PluginName;
use crate::workflow::{Files, PluginSpec, Wanted};

/// The plugins that files of one folder use: for each the highest version that is there and in every range; or the one that
/// is locked, as long as it is both and `is_kept` says so. What others of the folder have locked stays while it is there.
///
/// # Errors
/// Everything that is wrong with the plugins that are there, and each that is not.
pub fn choose(
    specs: &[PluginSpec],
    locked: &[PluginPin],
    is_kept: bool,
    files: &dyn Files,
) -> Result<Vec<PluginPin>, Diagnostics> {
    let mut found = Diagnostics::new();
    let mut chosen = BTreeMap::new();
    let Some(first) = specs.first() else { return Ok(locked.to_vec()) };
    let beside = Folder::all_beside(files, first)?;
    for (name, users) in by_name(specs) {
        let kept = locked.iter().find(|pin| is_kept && pin.name == *name).map(|pin| &pin.version);
        match one(name, &users, kept, files) {
            Ok(pin) => drop(chosen.insert(name.clone(), pin)),
            Err(why) => found.append(why),
        }
    }
    let names: BTreeSet<&PluginName> = beside.iter().map(|called| &called.name).collect();
    for pin in locked.iter().filter(|pin| names.contains(&pin.name)) {
        chosen.entry(pin.name.clone()).or_insert_with(|| pin.clone());
    }
    found.or(Some(chosen.into_values().collect()))
}

type User<'s> = (&'s PluginSpec, &'s Wanted);

fn by_name(specs: &[PluginSpec]) -> BTreeMap<&PluginName, Vec<User<'_>>> {
    let mut all: BTreeMap<&PluginName, Vec<User<'_>>> = BTreeMap::new();
    for spec in specs {
        // What is not well-formed was told when the file was read.
        if let Some(wanted) = &spec.wanted {
            all.entry(&wanted.name).or_default().push((spec, wanted));
        }
    }
    all
}

fn one(
    name: &PluginName,
    users: &[User<'_>],
    kept: Option<&Version>,
    files: &dyn Files,
) -> Result<PluginPin, Diagnostics> {
    let (spec, _) = users[0];
    let folders = Folder::read_all(files, spec, &Folder::beside(files, spec, name)?)?;
    let is_in_all = |version: &Version| users.iter().all(|(_, wanted)| wanted.range.matches(version));
    let fitting = folders.iter().filter(|folder| is_in_all(&folder.manifest.version));
    // The one that is kept stands above all.
    let best =
        fitting.max_by_key(|folder| (kept == Some(&folder.manifest.version), &folder.manifest.version));
    best.map(Folder::pin).ok_or_else(|| none_fits(name, users, &folders).into())
}

fn none_fits(name: &PluginName, users: &[User<'_>], folders: &[Folder]) -> Diagnostic {
    let ranges: Vec<String> = users.iter().map(|(_, wanted)| format!("`{}`", wanted.range)).collect();
    let versions: Vec<String> = folders.iter().map(|folder| folder.manifest.version.to_string()).collect();
    let (last, _) = users[users.len() - 1];
    let others: Vec<_> = users[..users.len() - 1].iter().map(|(spec, _)| spec.elsewhere()).collect();
    let message = format!("no version of `{name}` that is there is in {}", ranges.join(" and in "));
    let one = last.mistake(Code::NotLocked, message).and_elsewhere(&others);
    one.help(format!("there are: {}; a folder has one version for all that use it", versions.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::source::Source;
    use crate::workflow::{Texts, Workflow};

    /// Plugins of these names and versions, each in a folder of its own.
    fn there(plugins: &[(&str, &str)]) -> Texts {
        let text = |(name, version): &(&str, &str)| {
            let text =
                format!("name = '{name}'\nversion = '{version}'\napi = 1\nsummary = ''\npolicies = []\n");
            (format!("w/plugins/{name}-{version}/plugin.toml"), text)
        };
        Texts(plugins.iter().map(text).collect())
    }

    fn specs(file: &str, plugins: &str) -> Vec<PluginSpec> {
        let source = Source::new(file, &format!("plugins: {plugins}"));
        Workflow::read(&Document::parse(&source).unwrap()).0.plugins
    }

    fn told(pins: &[PluginPin]) -> Vec<String> {
        pins.iter().map(|pin| format!("{} {}", pin.name, pin.version)).collect()
    }

    /// The highest version in every range is taken; what is locked is kept while it will do, unless it is not to be kept;
    /// what others have locked stays while it is there.
    #[test]
    fn the_highest_that_will_do_is_chosen() {
        let files = there(&[("a", "1.2.0"), ("a", "1.10.0"), ("a", "2.0.0"), ("b", "0.1.0"), ("c", "1.0.0")]);
        let mut both = specs("w/x.yaml", "{ a: a@^1, b: b@* }");
        assert_eq!(told(&choose(&both, &[], true, &files).unwrap()), ["a 1.10.0", "b 0.1.0"]);
        let mut locked = choose(&specs("w/y.yaml", "{ a: a@=1.2.0, c: c@1 }"), &[], true, &files).unwrap();
        locked.push(PluginPin { name: "gone".parse().unwrap(), ..locked[0].clone() });
        assert_eq!(told(&locked), ["a 1.2.0", "c 1.0.0", "gone 1.2.0"]);
        assert_eq!(told(&choose(&both, &locked, true, &files).unwrap()), ["a 1.2.0", "b 0.1.0", "c 1.0.0"]);
        assert_eq!(told(&choose(&both, &locked, false, &files).unwrap())[0], "a 1.10.0");
        both.extend(specs("w/y.yaml", "{ other: \"a@<1.5\" }"));
        assert_eq!(told(&choose(&both, &[], true, &files).unwrap())[0], "a 1.2.0");
    }

    /// What cannot be chosen is told, each where it is asked for.
    #[test]
    fn what_cannot_be_chosen_is_told() {
        let mut files = there(&[("a", "1.2.0"), ("b", "1.0.0")]);
        let twin = files.0["w/plugins/b-1.0.0/plugin.toml"].clone();
        files.0.insert("w/plugins/b/plugin.toml".to_owned(), twin);
        let mut both = specs("w/x.yaml", "{ a: a@^1, aa: a@^2, b: b@1, c: bb@1 }");
        both.extend(specs("w/y.yaml", "{ d: nobody@1 }"));
        let found = choose(&both, &[], true, &files).unwrap_err();
        let told: Vec<_> = found.iter().map(|one| (one.code.as_str(), one.source.slice(one.span))).collect();
        let expected = [("LH0057", "a@^2"), ("LH0056", "b@1"), ("LH0055", "bb@1"), ("LH0055", "nobody@1")];
        assert_eq!(told, expected, "{found}");
        assert!(found.render(false).contains("did you mean `b`?"), "{}", found.render(false));
    }
}
