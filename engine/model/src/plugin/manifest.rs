//! `plugin.toml`: what a plugin says of itself.

use semver::Version;

use super::{Called, Tree};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::document::{Document, Node};
use crate::ids::PluginName;
use crate::policy::SCRIPT_ENDING;
use crate::read::{Read as _, Reader};
use crate::source::{Source, Spanned};

/// The name of the file.
pub const MANIFEST: &str = "plugin.toml";

/// The version of what plugins and this program promise each other.
const API: u32 = 1;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: Version,
    /// One line about it.
    pub summary: String,
    /// The scripts that it offers as policies, seen from its folder.
    pub policies: Vec<String>,
}

impl Manifest {
    /// The keys that there are, the outermost ones; there are no others.
    pub const KEYS: [&'static str; 5] = ["name", "version", "api", "summary", "policies"];

    /// Reads the `plugin.toml` of a folder that is called so and has these files.
    ///
    /// # Errors
    /// Every mistake in it, sorted by place.
    pub fn read(source: &Source, called: &Called, tree: &Tree) -> Result<Self, Diagnostics> {
        let document = Document::parse_toml(source)?;
        let root = &document.root;
        let mut reader = Reader::new(source);
        reader.fields(root, "a plugin", &Self::KEYS);
        check_api(root, &mut reader);
        let name: Option<Spanned<PluginName>> = reader.required(root, "name");
        let version: Option<Spanned<Version>> = reader.required(root, "version");
        check_called(called, name.as_ref(), version.as_ref(), &mut reader);
        let summary = reader.required(root, "summary");
        let policies = read_policies(root, tree, &mut reader);
        let manifest = (|| {
            Some(Self { name: name?.value, version: version?.value, summary: summary?, policies: policies? })
        })();
        reader.found.or(manifest)
    }
}

fn check_api(root: &Node, reader: &mut Reader<'_>) {
    let Some(api) = reader.required::<Spanned<u32>>(root, "api").filter(|api| api.value != API) else {
        return;
    };
    let message = format!("version {} of what plugins promise is not known", api.value);
    let one = Diagnostic::new(Code::Version, reader.source, api.span, message);
    reader.found.push(one.help(format!("this program knows `api = {API}`")));
}

/// What stands in a folder is what the folder's name says, or two names would lead to one plugin.
fn check_called(
    called: &Called,
    name: Option<&Spanned<PluginName>>,
    version: Option<&Spanned<Version>>,
    reader: &mut Reader<'_>,
) {
    if let Some(name) = name.filter(|name| name.value != called.name) {
        let message = format!("the plugin `{}` stands in a folder called `{called}`", name.value);
        reader.report(Code::PluginFolder, name.span, message);
    }
    if let (Some(version), Some(said)) = (version, &called.version)
        && version.value != *said
    {
        let message = format!("version {} stands in a folder called `{called}`", version.value);
        reader.report(Code::PluginFolder, version.span, message);
    }
}

/// Each path that can be read, whatever is wrong with the others.
fn read_policies(root: &Node, tree: &Tree, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let items: Vec<Node> = reader.required(root, "policies")?;
    let mut policies = Vec::new();
    for item in &items {
        let Some(policy) = Spanned::<String>::read(item, reader) else { continue };
        check_policy(&policy, tree, reader);
        if policies.contains(&policy.value) {
            reader.report(Code::Malformed, policy.span, format!("`{}` stands twice", policy.value));
        }
        policies.push(policy.value);
    }
    Some(policies)
}

fn check_policy(policy: &Spanned<String>, tree: &Tree, reader: &mut Reader<'_>) {
    let (path, span) = (policy.value.as_str(), policy.span);
    let is_inside = !path.contains('\\') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_inside {
        let message = format!("`{path}` is no path inside the plugin's folder");
        let one = Diagnostic::new(Code::OtherFile, reader.source, span, message);
        reader.found.push(one.help("name it as seen from the folder: `window.rhai`, `policies/window.rhai`"));
    } else if !path.ends_with(SCRIPT_ENDING) {
        let message =
            format!("`{path}` is no script: a policy is a file whose name ends with `{SCRIPT_ENDING}`");
        reader.report(Code::Malformed, span, message);
    } else if let Err(why) = tree.text(path) {
        let one = Diagnostic::new(Code::OtherFile, reader.source, span, why);
        reader.found.push(one.did_you_mean(path, tree.0.keys().map(String::as_str)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "name = 'bigip'\nversion = '1.2.0'\napi = 1\nsummary = 'for F5'\npolicies = ['window.rhai', 'a/b.rhai']\n";

    fn read(folder: &str, text: &str) -> Result<Manifest, Vec<(String, String, String)>> {
        let files =
            [("window.rhai", "x".as_bytes()), ("a/b.rhai", b"y"), ("latin.rhai", b"\xe4"), ("c.txt", b"")];
        let tree = Tree(files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).into());
        let source = Source::new("plugin.toml", text);
        let told = |one: &Diagnostic| {
            (one.code.to_string(), source.slice(one.span).to_owned(), one.help.clone().unwrap_or_default())
        };
        let read = Manifest::read(&source, &Called::of(folder).unwrap(), &tree);
        read.map_err(|found| found.iter().map(told).collect())
    }

    /// A plugin says what it is called, its version, and what it offers.
    #[test]
    fn a_plugin_says_what_it_offers() {
        for folder in ["bigip", "bigip-1.2.0"] {
            let manifest = read(folder, FINE).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.version), ("bigip", Version::new(1, 2, 0)));
            assert_eq!(
                (manifest.summary.as_str(), &manifest.policies[..]),
                ("for F5", &["window.rhai".to_owned(), "a/b.rhai".to_owned()][..])
            );
        }
    }

    /// Every mistake is told where it stands, all of them at once.
    #[test]
    fn every_mistake_is_told() {
        let text = "name = 'Bigip'\nversion = '1.2'\napi = 2\nsumary = 3\npolicies = ['../x.rhai', '/etc/x.rhai', \
                    'a/./b.rhai', 7, 'c.txt', 'windwo.rhai', 'latin.rhai', 'a/b.rhai', 'a/b.rhai', 'a\\b.rhai']\n";
        let found = read("bigip", text).unwrap_err();
        let told: Vec<(&str, &str)> =
            found.iter().map(|(code, at, _)| (code.as_str(), at.as_str())).collect();
        let expected = [
            ("LH0009", "name"),
            ("LH0011", "'Bigip'"),
            ("LH0011", "'1.2'"),
            ("LH0006", "2"),
            ("LH0008", "sumary"),
            ("LH0014", "'../x.rhai'"),
            ("LH0014", "'/etc/x.rhai'"),
            ("LH0014", "'a/./b.rhai'"),
            ("LH0010", "7"),
            ("LH0011", "'c.txt'"),
            ("LH0014", "'windwo.rhai'"),
            ("LH0014", "'latin.rhai'"),
            ("LH0011", "'a/b.rhai'"),
            ("LH0014", "'a\\b.rhai'"),
        ];
        assert_eq!(told, expected);
        assert_eq!(found[10].2, "did you mean `window.rhai`?");
        let outside = found.iter().filter(|(.., help)| help.starts_with("name it as seen from the folder"));
        assert_eq!(outside.count(), 4);
        let types =
            read("bigip", "name = 1\nversion = []\napi = 'x'\nsummary = {}\npolicies = 'a'\n").unwrap_err();
        assert_eq!(types.iter().map(|(code, ..)| code.as_str()).collect::<Vec<_>>(), ["LH0010"; 5]);
        assert_eq!(read("bigip", "").unwrap_err().len(), 5);
    }

    /// A folder that is called otherwise than what stands in it holds nothing that could be asked for.
    #[test]
    fn folders_say_what_is_in_them() {
        for (folder, at) in [("bigip-1.3.0", "'1.2.0'"), ("f5", "'bigip'")] {
            let found = read(folder, FINE).unwrap_err();
            assert_eq!((found[0].0.as_str(), found[0].1.as_str(), found.len()), ("LH0056", at, 1));
        }
    }
}
