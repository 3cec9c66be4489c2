//! `longhaul.lock`: which plugin is meant, byte for byte. Written by `longhaul plugin lock` alone.

use std::fmt::Write as _;

use semver::Version;

use super::PluginPin;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Elsewhere};
use crate::document::{Document, Node};
use crate::ids::PluginName;
use crate::read::{Read, Reader};
use crate::source::{Source, Span, Spanned};

/// The name of the file, beside those whose plugins it holds.
pub const LOCK: &str = "longhaul.lock";

/// The version of its form.
const VERSION: u32 = 1;

const KEYS: [&str; 2] = ["version", "plugin"];
const PLUGIN_KEYS: [&str; 3] = ["name", "version", "sha256"];

/// What a lock holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// What it was read from.
    pub source: Source,
    /// The plugins, each name once.
    pub plugins: Vec<Locked>,
}

/// A plugin in a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// What is meant.
    pub pin: PluginPin,
    /// Where its version stands.
    pub version: Span,
    /// Where its digest stands.
    pub sha256: Span,
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// Every mistake in it; of a lock of another version that alone, for the rest may mean something else there.
    pub fn read(source: &Source) -> Result<Self, Diagnostics> {
        let document = Document::parse_toml(source)?;
        let mut reader = Reader::new(source);
        let version: Option<Spanned<u32>> = reader.required(&document.root, "version");
        if let Some(other) = version.filter(|version| version.value != VERSION) {
            let message = format!("version {} of a lock is not known", other.value);
            let one = Diagnostic::new(Code::Version, source, other.span, message);
            return Err(one.help(format!("this program reads version {VERSION}: use a newer one")).into());
        }
        reader.fields(&document.root, "a lock", &KEYS);
        let plugins: Vec<Locked> = reader.optional(&document.root, "plugin").unwrap_or_default();
        for (index, one) in plugins.iter().enumerate() {
            if plugins[..index].iter().any(|before| before.pin.name == one.pin.name) {
                reader.report(Code::Malformed, one.version, format!("`{}` is locked twice", one.pin.name));
            }
        }
        reader.found.or(Some(Self { source: source.clone(), plugins }))
    }

    /// What is locked under a name.
    #[must_use]
    pub fn of(&self, name: &PluginName) -> Option<&Locked> {
        self.plugins.iter().find(|locked| locked.pin.name == *name)
    }

    /// A place in it, for mistakes elsewhere.
    pub(crate) fn elsewhere(&self, span: Span) -> Elsewhere {
        Elsewhere { source: self.source.clone(), span, text: "locked here".to_owned() }
    }

    /// The text of a lock of these plugins, which stand in the order of their names.
    #[must_use]
    pub fn text(pins: &[PluginPin]) -> String {
        let mut text = format!("# Written by `longhaul plugin lock`.\nversion = {VERSION}\n");
        // Nothing that a name, a version or a digest may hold has a meaning in TOML.
        for PluginPin { name, version, sha256 } in pins {
            write!(text, "\n[[plugin]]\nname = \"{name}\"\nversion = \"{version}\"\nsha256 = \"{sha256}\"\n")
                .expect("writing into a string cannot fail");
        }
        text
    }
}

impl Read for Locked {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "a plugin in a lock", &PLUGIN_KEYS)?;
        let name: Option<PluginName> = reader.required(node, "name");
        let version: Option<Spanned<Version>> = reader.required(node, "version");
        let sha256: Option<Spanned<String>> = reader.required(node, "sha256");
        reader.require(node, "/sha256", is_sha256, "a SHA-256 is 64 digits from 0 to f");
        let (version, sha256) = (version?, sha256?);
        let pin = PluginPin { name: name?, version: version.value, sha256: sha256.value };
        Some(Self { pin, version: version.span, sha256: sha256.span })
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, version: &str) -> PluginPin {
        let (name, version) = (name.parse().unwrap(), version.parse().unwrap());
        PluginPin { name, version, sha256: "0a".repeat(32) }
    }

    fn read(text: &str) -> Result<Lock, Vec<String>> {
        Lock::read(&Source::new("longhaul.lock", text))
            .map_err(|found| found.to_string().lines().map(str::to_owned).collect())
    }

    /// What is written is read again as it was.
    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let pins = [pin("bigip", "1.2.0-rc.1+b"), pin("ontap", "0.1.0")];
        let text = Lock::text(&pins);
        let lock = read(&text).unwrap();
        assert_eq!(lock.plugins.iter().map(|locked| locked.pin.clone()).collect::<Vec<_>>(), pins);
        assert_eq!(lock.source.slice(lock.of(&pins[1].name).unwrap().version), "\"0.1.0\"");
        assert!(read(&Lock::text(&[])).unwrap().plugins.is_empty());
    }

    /// A lock of a later version is refused by that, whatever else is in it; one of this version with every mistake.
    #[test]
    fn mistakes_are_told() {
        let later = read("version = 2\nplugins = { bigip = 1 }\n").unwrap_err();
        assert_eq!(later, ["longhaul.lock:1:11: LH0006 version 2 of a lock is not known"]);
        let text = Lock::text(&[pin("bigip", "1.2.0"), pin("bigip", "1.3.0")]).replacen("0a0a", "0A", 1);
        let found = read(&format!("{text}size = 1\n")).unwrap_err();
        let codes: Vec<&str> = found.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(codes, ["LH0011", "LH0011", "LH0008"], "{found:#?}");
        assert!(read("").unwrap_err()[0].contains("LH0009"));
    }
}
