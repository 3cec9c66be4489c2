//! A plugin's folder: what it is called, what is in it, and the digest of that.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use sha2::{Digest, Sha256};

use super::{MANIFEST, Manifest, PluginPin};
use crate::diagnostic::{Code, Diagnostics};
use crate::ids::PluginName;
use crate::source::Source;
use crate::workflow::{Files, PluginSpec, beside};

/// Where plugins stand, as a file beside them names it.
pub const FOLDER: &str = "./plugins";

/// The name of a plugin's folder: `bigip`, or `bigip-1.2.0` where several versions stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Called {
    /// The plugin's name.
    pub name: PluginName,
    /// Its version, if the folder's name says it.
    pub version: Option<Version>,
}

impl Called {
    /// What the name of a folder says; nothing if no plugin's folder has such a name.
    #[must_use]
    pub fn of(folder: &str) -> Option<Self> {
        if let Ok(name) = folder.parse() {
            return Some(Self { name, version: None });
        }
        // A version may hold dashes, and so may a name, but no name goes on with what is a version.
        folder.match_indices('-').find_map(|(at, _)| {
            let name = folder[..at].parse().ok()?;
            Some(Self { name, version: Some(folder[at + 1..].parse().ok()?) })
        })
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}-{version}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// Every file of a folder, by its path from there with `/` between its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Vec<u8>>);

impl Tree {
    /// SHA-256 of a list of all files in the order of their paths' bytes. A file's line is the SHA-256 of its content, two
    /// spaces and its path, as `sha256sum` writes it; so anybody can work it out with what every system has.
    #[must_use]
    pub fn sha256(&self) -> String {
        let line = |(path, bytes): (&String, &Vec<u8>)| format!("{}  {path}\n", hex(bytes));
        hex(self.0.iter().map(line).collect::<String>().as_bytes())
    }

    /// A file as text.
    ///
    /// # Errors
    /// Why it is none: a lower-case fragment that begins with the path.
    pub fn text(&self, path: &str) -> Result<&str, String> {
        let bytes = self.0.get(path).ok_or_else(|| format!("{path} is not there"))?;
        str::from_utf8(bytes).map_err(|_| format!("{path} is no text in UTF-8"))
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plugin that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// Where it stands, for messages and as the name of what is in it.
    pub path: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Everything in it.
    pub tree: Tree,
}

impl Folder {
    /// The folders of all plugins beside the file that asks for one, in the order of their names.
    ///
    /// # Errors
    /// Why they cannot be seen.
    pub fn all_beside(files: &dyn Files, spec: &PluginSpec) -> Result<Vec<Called>, Diagnostics> {
        let names = files.folders(spec.source.name(), FOLDER);
        let names = names.map_err(|why| spec.mistake(Code::PluginFolder, why))?;
        let mut all: Vec<Called> = names.iter().filter_map(|name| Called::of(name)).collect();
        all.sort();
        Ok(all)
    }

    /// The folders of the plugin that a file asks for; at least one.
    ///
    /// # Errors
    /// Why they cannot be seen, or that there is none.
    pub fn beside(
        files: &dyn Files,
        spec: &PluginSpec,
        name: &PluginName,
    ) -> Result<Vec<Called>, Diagnostics> {
        let all = Self::all_beside(files, spec)?;
        if all.iter().any(|called| called.name == *name) {
            return Ok(all.into_iter().filter(|called| called.name == *name).collect());
        }
        let one = spec.mistake(Code::UnknownPlugin, format!("there is no plugin `{name}` below {FOLDER}"));
        Err(one.did_you_mean(name.as_str(), all.iter().map(|called| called.name.as_str())).into())
    }

    /// Reads folders of a plugin that a file asks for, each version of which stands in one of them.
    ///
    /// # Errors
    /// Why one cannot be read, everything that is wrong with a `plugin.toml`, and versions that stand in two.
    pub fn read_all(
        files: &dyn Files,
        spec: &PluginSpec,
        called: &[Called],
    ) -> Result<Vec<Self>, Diagnostics> {
        let (mut all, mut found) = (Vec::<Self>::new(), Diagnostics::new());
        for called in called {
            match Self::read(files, spec, called) {
                Ok(folder) => {
                    let twin = all.iter().find(|other| other.manifest.version == folder.manifest.version);
                    if let Some(twin) = twin {
                        let version = &folder.manifest.version;
                        let message =
                            format!("{} and {} both hold version {version}", twin.path, folder.path);
                        found.push(spec.mistake(Code::PluginFolder, message).help("remove one of them"));
                    }
                    all.push(folder);
                }
                Err(broken) => found.append(broken),
            }
        }
        found.or(Some(all))
    }

    fn read(files: &dyn Files, spec: &PluginSpec, called: &Called) -> Result<Self, Diagnostics> {
        let from = spec.source.name();
        let named = format!("{FOLDER}/{called}");
        let path = beside(from, &named);
        let mistake = |why| spec.mistake(Code::PluginFolder, format!("{path}: {why}"));
        let tree = files.tree(from, &named).map_err(mistake)?;
        let source = Source::new(&format!("{path}/{MANIFEST}"), tree.text(MANIFEST).map_err(mistake)?);
        let manifest = Manifest::read(&source, called, &tree);
        let manifest = manifest.map_err(|found| found.and_elsewhere(&[spec.elsewhere()]))?;
        Ok(Self { path, manifest, tree })
    }

    /// What pins it.
    #[must_use]
    pub fn pin(&self) -> PluginPin {
        let Manifest { name, version, .. } = &self.manifest;
        PluginPin { name: name.clone(), version: version.clone(), sha256: self.tree.sha256() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder's name is the plugin's, or has the version behind it, also one with dashes.
    #[test]
    fn folders_are_called_by_name_or_with_their_version() {
        let said = |folder: &str| {
            Called::of(folder).map(|it| (it.name.to_string(), it.version.map(|version| version.to_string())))
        };
        assert_eq!(said("big-ip"), Some(("big-ip".to_owned(), None)));
        assert_eq!(said("big-ip-1.2.0-rc.1"), Some(("big-ip".to_owned(), Some("1.2.0-rc.1".to_owned()))));
        for other in ["big_ip", "big-ip-1.2", "1.2.0", ".git", "Bigip-1.2.0", "bigip-1.2.0 copy"] {
            assert_eq!(said(other), None, "{other}");
        }
        for name in ["a", "a-b", "a-b-1.0.0-x-y+z"] {
            assert_eq!(Called::of(name).unwrap().to_string(), name);
        }
    }

    /// Whatever is changed of a folder, its digest is another: content, a name, where one file ends and the next begins.
    #[test]
    fn the_digest_is_of_every_byte_and_name() {
        let digest = |files: &[(&str, &str)]| {
            let file = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
            Tree(files.iter().map(file).collect()).sha256()
        };
        // printf 'one' >a; mkdir b; printf 'two' >b/c; sha256sum a b/c | sha256sum
        let known = "2978063142a8ffa542a84cde5ef0261a8ecd99de3dd1186e5d2d020c922f9978";
        assert_eq!(digest(&[("b/c", "two"), ("a", "one")]), known);
        let others: [&[_]; 5] = [
            &[("a", "one")],
            &[("a", "onf"), ("b/c", "two")],
            &[("a", "one"), ("b/d", "two")],
            &[("a", "onet"), ("b/c", "wo")],
            &[("a", "one"), ("b/c", "two"), ("d", "")],
        ];
        assert!(others.into_iter().all(|files| digest(files) != known));
    }
}
