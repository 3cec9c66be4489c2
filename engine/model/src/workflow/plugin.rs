//! `plugins`: what a file calls the plugins that it uses, and which versions of them it can work with.

use semver::VersionReq;

use crate::diagnostic::{Code, Diagnostic, Elsewhere};
use crate::document::{Entry, Node};
use crate::ids::{PluginName, StepId};
use crate::read::{Read as _, Reader};
use crate::source::{Source, Span};
use crate::workflow::entries;

/// The form of what a file calls a plugin: that of a step's id.
const ALIAS: &str = "lower-case letters, digits and underscores, starting with a letter, at most 40";

/// The most plugins of one file: each is read whole whenever the file is.
pub(crate) const PLUGINS_MAX: usize = 100;

/// A plugin that a file uses.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSpec {
    /// What it is called in the file.
    pub alias: String,
    /// What is meant; nothing if that is not well-formed.
    pub wanted: Option<Wanted>,
    /// Where the file says what is meant.
    pub span: Span,
    /// The file in which this stands: the workflow, or one that it includes.
    pub source: Source,
}

/// A plugin and the versions of it that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: PluginName,
    /// Its versions.
    pub range: VersionReq,
}

impl PluginSpec {
    /// A mistake about the plugin that is meant.
    #[must_use]
    pub fn mistake(&self, code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, &self.source, self.span, message)
    }

    /// The place in it, for mistakes elsewhere.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere { source: self.source.clone(), span: self.span, text: "used here".to_owned() }
    }
}

/// The plugins of a workflow, or of a file with shared defaults.
pub(super) fn read_all(root: &Node, reader: &mut Reader<'_>) -> Vec<PluginSpec> {
    let plugins = entries(root, "plugins", reader);
    if plugins.len() > PLUGINS_MAX {
        let message = format!("{} plugins: a file uses at most {PLUGINS_MAX}", plugins.len());
        reader.report(Code::Malformed, root.nearest("/plugins").span, message);
        return Vec::new();
    }
    plugins.into_iter().map(|entry| read(entry, reader)).collect()
}

fn read(entry: &Entry, reader: &mut Reader<'_>) -> PluginSpec {
    let Entry { key, value } = entry;
    if key.value.parse::<StepId>().is_err() {
        let message = format!("`{}` cannot be what a file calls a plugin: {ALIAS}", key.value);
        let one = Diagnostic::new(Code::Malformed, reader.source, key.span, message);
        reader
            .found
            .push(or_meant(one, tidied(&key.value, '_').filter(|name| name.parse::<StepId>().is_ok())));
    }
    let wanted = String::read(value, reader).and_then(|text| read_wanted(&text, value, reader));
    PluginSpec { alias: key.value.clone(), wanted, span: value.span, source: reader.source.clone() }
}

fn read_wanted(text: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Wanted> {
    let (name, range) = text.split_once('@').unwrap_or((text, ""));
    let mistake = |start, end, message| {
        Diagnostic::new(Code::Malformed, reader.source, node.span_within(reader.source, start, end), message)
    };
    let name = name.parse::<PluginName>().map_err(|why| {
        let meant = tidied(name, '-').filter(|name| name.parse::<PluginName>().is_ok());
        or_meant(mistake(0, name.len(), why.to_string()), meant)
    });
    let range = range.parse::<VersionReq>().map_err(|why| {
        let message = if range.is_empty() {
            "which versions of the plugin will do is not said".to_owned()
        } else {
            format!("`{range}` is no range of versions: {why}")
        };
        let at = if range.is_empty() { 0 } else { text.len() - range.len() };
        mistake(at, text.len(), message)
            .help("write a name and a range: `bigip@^1`, `bigip@~1.2`, `bigip@>=1.2, <3`")
    });
    let wanted = name.as_ref().ok().cloned().zip(range.as_ref().ok().cloned());
    name.err().into_iter().chain(range.err()).for_each(|one| reader.found.push(one));
    wanted.map(|(name, range)| Wanted { name, range })
}

fn or_meant(one: Diagnostic, meant: Option<String>) -> Diagnostic {
    match meant {
        Some(meant) => one.help(format!("did you mean `{meant}`?")),
        None => one,
    }
}

/// The text as a name would be written.
fn tidied(text: &str, joint: char) -> Option<String> {
    let letter = |letter: char| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { joint };
    let tidied: String = text.chars().map(letter).collect();
    (tidied != text).then_some(tidied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(plugins: &str) -> (Vec<PluginSpec>, Vec<(String, String, String)>) {
        let source = Source::new("w.yaml", &format!("plugins: {plugins}"));
        let document = Document::parse(&source).unwrap();
        let mut reader = Reader::new(&source);
        let read = read_all(&document.root, &mut reader);
        let told = |one: &Diagnostic| {
            (one.code.to_string(), source.slice(one.span).to_owned(), one.help.clone().unwrap_or_default())
        };
        (read, reader.found.iter().map(told).collect())
    }

    /// A plugin has a name in the file, a name of its own, and a range.
    #[test]
    fn plugins_are_read() {
        let (read, found) = read("{ f5: bigip@^1, net_app: \"ontap@>=0.3, <2\", x-note: 1, all: a@* }");
        assert_eq!(found, []);
        let told = |spec: &PluginSpec| {
            let wanted = spec.wanted.clone().unwrap();
            format!("{}: {} {}", spec.alias, wanted.name, wanted.range)
        };
        let told: Vec<String> = read.iter().map(told).collect();
        assert_eq!(told, ["f5: bigip ^1", "net_app: ontap >=0.3, <2", "all: a *"]);
    }

    /// Every mistake is told at its place, with what was meant if that can be known.
    #[test]
    fn mistakes_are_told() {
        let (read, found) = read("{ F-5: Big_IP@^x, b: bigip, c: 1, d: bigip@, 9: a@1.2.3.4 }");
        let said = |code: &str, at: &str, help: &str| (code.to_owned(), at.to_owned(), help.to_owned());
        let ranges = "write a name and a range: `bigip@^1`, `bigip@~1.2`, `bigip@>=1.2, <3`";
        let expected = [
            said("LH0011", "F-5", "did you mean `f_5`?"),
            said("LH0011", "Big_IP", "did you mean `big-ip`?"),
            said("LH0011", "^x", ranges),
            said("LH0011", "bigip", ranges),
            said("LH0010", "1", ""),
            said("LH0011", "bigip@", ranges),
            said("LH0011", "9", ""),
            said("LH0011", "1.2.3.4", ranges),
        ];
        assert_eq!(found, expected);
        assert!(read.len() == 5 && read.iter().all(|spec| spec.wanted.is_none()));
        let many: String = (0..=PLUGINS_MAX).map(|n| format!("p{n}: a@1, ")).collect();
        for (plugins, code) in [("[f5]", "LH0010"), (&format!("{{ {many} }}"), "LH0011")] {
            let (none, found) = self::read(plugins);
            assert_eq!((none.len(), found[0].0.as_str(), found.len()), (0, code, 1));
        }
    }
}
