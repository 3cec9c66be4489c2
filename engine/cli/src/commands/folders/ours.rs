//! Which files of a folder are meant for Longhaul; others may stand beside them.
//!
//! Asked of the text and not of the document: a file that is broken, or is no UTF-8, is one that has to be looked at.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use longhaul_model::diagnostic::nearest;
use longhaul_model::plugin::{MANIFEST, Manifest};
use longhaul_model::policy::{DECIDE, SCRIPT_ENDING};
use longhaul_model::read::{API_VERSION, KINDS, kind_meant};

use crate::commands::files::TEXT_BYTES_MAX;

/// How the name of a test file ends.
pub(in crate::commands) const TEST_ENDING: &str = ".test.yaml";

/// What the version of every file begins with.
const OURS: &str = "longhaul";

/// Keys that test files have and few others.
const TEST_KEYS: [&str; 3] = ["workflow", "policy", "cases"];

/// Whether a file of a folder is one that Longhaul reads: a document, a plugin's manifest, or the script of a policy. What cannot
/// be read counts by its name; what is no file, such as a pipe, is never opened.
pub(in crate::commands) fn is_ours(path: &Path) -> bool {
    let Some(looks_at) = Looks::at(path) else { return false };
    match fs::metadata(path) {
        Ok(seen) if !seen.is_file() => false,
        Ok(_) => text(path).is_none_or(|text| looks_at.is_ours(&text)),
        Err(_) => !matches!(looks_at, Looks::Json),
    }
}

/// The same of test files alone.
pub(in crate::commands) fn is_test(path: &Path) -> bool {
    matches!(Looks::at(path), Some(Looks::Test)) && is_ours(path)
}

/// The same of files that are laid out.
pub(in crate::commands) fn is_laid_out(path: &Path) -> bool {
    matches!(Looks::at(path), Some(Looks::Test | Looks::Yaml)) && is_ours(path)
}

/// What a file is by its name.
#[derive(Debug, Clone, Copy)]
enum Looks {
    Manifest,
    Script,
    Test,
    Yaml,
    Json,
}

impl Looks {
    fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        if name == MANIFEST {
            return Some(Self::Manifest);
        }
        if name.ends_with(TEST_ENDING) {
            return Some(Self::Test);
        }
        if name.ends_with(SCRIPT_ENDING) {
            return Some(Self::Script);
        }
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn is_ours(self, text: &str) -> bool {
        match self {
            Self::Manifest => manifest_keys(text).any(|key| Manifest::KEYS.contains(&key)),
            Self::Script => functions(text).any(|name| nearest(DECIDE, [name]).is_some()),
            Self::Yaml | Self::Json => has_our_head(&top(text)),
            Self::Test => is_test_of_ours(&top(text)),
        }
    }
}

/// What can be read of a file. In UTF-16 every second byte of our words is zero.
fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    bytes.retain(|byte| *byte != 0);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names that a TOML file has before its first table.
fn manifest_keys(text: &str) -> impl Iterator<Item = &str> {
    let outermost = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    outermost.filter_map(|line| line.split_once('=')).map(|(key, _)| bare(key))
}

/// The names of the functions of a script.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let behind = text.split("fn ").skip(1).map(str::trim_start);
    behind.filter_map(|text| text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next())
}

/// A version that is ours or nearly so, or a kind of ours that no version makes another's: other programs have workflows too.
fn has_our_head(top: &[(&str, &str)]) -> bool {
    let said = |key: &str| top.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let kind = said("kind").unwrap_or_default();
    match nearest("apiVersion", top.iter().map(|(key, _)| *key)).and_then(said) {
        Some(version) if is_our_version(version) => true,
        Some(version) if version.contains('/') => false,
        Some(_) => KINDS.contains(&kind),
        None => kind_meant(kind).is_some(),
    }
}

fn is_our_version(written: &str) -> bool {
    written.to_lowercase().starts_with(OURS) || nearest(API_VERSION, [written]).is_some()
}

/// What is called as our tests are is one, unless it has keys and none of them is a test's.
fn is_test_of_ours(top: &[(&str, &str)]) -> bool {
    let is_tests = |key: &str| nearest(key, TEST_KEYS).is_some();
    top.is_empty() || has_our_head(top) || top.iter().any(|(key, _)| is_tests(key))
}

/// The outermost keys and what stands behind them in their line, of a block or of a map in braces. Of what is broken it is a guess.
fn top(text: &str) -> Vec<(&str, &str)> {
    let text = text.trim_start_matches(['\u{feff}', char::REPLACEMENT_CHARACTER]);
    let is_content = |line: &&str| {
        let said = line.trim();
        !said.is_empty() && !["#", "---", "%"].iter().any(|other| said.starts_with(other))
    };
    let Some(first) = text.lines().find(is_content) else { return Vec::new() };
    if first.trim_start().starts_with('{') {
        return in_braces(text).into_iter().filter_map(entry).collect();
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outermost = text.lines().filter(|line| indent(line) == indent(first) && is_content(line));
    outermost.filter_map(entry).collect()
}

/// The entries of the outermost map in braces.
fn in_braces(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut from) = (0_u32, false, 0);
    let mut pieces = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => {
                depth += 1;
                from = if depth == 1 { at + 1 } else { from };
            }
            '}' | ']' | ',' => {
                if depth == 1 {
                    pieces.push(&text[from..at]);
                    from = at + 1;
                }
                depth = depth.saturating_sub(u32::from(letter != ','));
            }
            _ => {}
        }
    }
    pieces
}

fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    Some((bare(key), bare(value.split(" #").next().unwrap_or_default())))
}

/// Without quotes.
fn bare(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_meant(name: &str, bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        is_ours(&path)
    }

    /// What is broken is ours all the same: a misspelt version, no version, a test by its name, letters that are no UTF-8.
    #[test]
    fn broken_files_are_ours() {
        for (name, text) in [
            ("w.yaml", "# w\n---\napiVersion: longhual/v1  # ?\n"),
            ("w.yml", "  name: a\n  apiversion: \"longhaul/v9\"\n"),
            ("w.yaml", "kind: Workflow\nsteps: [\n"),
            ("w.yaml", "kind: Workfow\n"),
            ("w.yaml", "apiVersion: v1\nkind: Sites\n"),
            ("w.yaml", "{ x: { kind: Pod }, kind: Workflow,\n"),
            ("w.json", "{\"a\": [\"}\", 1], \"apiVersion\":\"longhaul/v1\"}"),
            ("x.test.yaml", ""),
            ("x.test.yaml", "[[["),
            ("x.test.yaml", "workflw: w.yaml\n"),
            ("p.rhai", "fn decide(x) { ((( }"),
            ("p.rhai", "private fn  deside(x) {}"),
            ("plugin.toml", "api = 1\n[x"),
        ] {
            assert!(is_meant(name, text.as_bytes()), "{name}: {text}");
        }
        let utf_16: Vec<u8> = "\u{feff}kind: Test\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(is_meant("w.yaml", &utf_16));
        assert!(is_meant("w.yaml", b"name: caf\xe9\nkind: Test\n") && is_meant("x.test.yaml", b"\xff\xfe"));
    }

    /// Other programs' files are left alone, also where they speak of ours.
    #[test]
    fn files_of_others_are_not_ours() {
        for (name, text) in [
            ("w.yaml", "services: {}\n"),
            ("w.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"),
            ("w.yaml", "apiVersion: v1\nkind: List\n"),
            ("w.yaml", "kind: ConfigMap\ndata:\n  w: |\n    apiVersion: longhaul/v1\n"),
            ("w.json", "{\"a\": {\"kind\": \"Test\"}}"),
            ("x.test.yaml", "services: {}\n"),
            ("p.rhai", "fn helper() { decide() }"),
            ("plugin.toml", "[package]\nname = \"x\"\n"),
            ("a.txt", "apiVersion: longhaul/v1\n"),
        ] {
            assert!(!is_meant(name, text.as_bytes()), "{name}: {text}");
        }
    }

    /// A link that leads nowhere is told of; a pipe is passed over, for whoever opens it waits for a writer.
    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("nowhere", at("w.yaml")).unwrap();
        assert!(is_ours(&at("w.yaml")));
        let made = std::process::Command::new("mkfifo").arg(at("pipe.yaml")).status().unwrap();
        assert!(made.success() && !is_ours(&at("pipe.yaml")));
    }
}
