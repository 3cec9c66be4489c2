//! No file is forgotten: one that no `mod x;` leads to is not compiled, and its tests never run.
//!
//! Follows the declarations from the roots that Cargo knows, through every folder, below `tests/` and every `src/`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::problem::Problem;
use super::sources::Sources;

/// The one test binary.
const MAIN: &str = "tests/main.rs";

pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let files: BTreeSet<&str> = sources.rust().map(|(path, _)| path).filter(|path| is_ours(path)).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> =
        files.iter().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        let Some(text) = sources.get(&path) else { continue };
        if reached.insert(path.clone()) {
            open.extend(declared(text).iter().flat_map(|module| module.files(&path)));
        }
    }
    files.into_iter().filter(|path| !reached.contains(*path)).map(forgotten).collect()
}

fn forgotten(path: &str) -> Problem {
    let folders = |path: &Path| path.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    let (module, above) = match path.strip_suffix("/mod.rs") {
        Some(folder) => (Path::new(folder).file_name(), folders(Path::new(folder))),
        None => (Path::new(path).file_stem(), folders(Path::new(path))),
    };
    let module = module.unwrap_or_default().display();
    Problem::new(path, 0, format!("never compiled: write `mod {module};` into the module of {above}/"))
}

/// Below `tests/` or a crate's `src/`; examples and build scripts are found by Cargo, one by one.
fn is_ours(path: &str) -> bool {
    path.starts_with("tests/") || path.split('/').any(|folder| folder == "src")
}

/// Where Cargo begins to compile.
fn is_root(path: &str) -> bool {
    let of_crate = |file: &str| path.ends_with(&format!("/src/{file}"));
    path == MAIN || of_crate("lib.rs") || of_crate("main.rs") || path.contains("/src/bin/")
}

/// A declaration whose body is in another file.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    name: String,
    /// What a `path` attribute says.
    path: Option<String>,
}

impl Module {
    /// Where the body may be, as seen from the file that declares it.
    fn files(&self, parent: &str) -> Vec<String> {
        let parent = Path::new(parent);
        let folder = parent.parent().unwrap_or(Path::new(""));
        if let Some(path) = &self.path {
            return vec![plain(&folder.join(path))];
        }
        let is_top = is_root(&parent.to_string_lossy()) || parent.ends_with("mod.rs");
        let own = if is_top { folder.to_owned() } else { parent.with_extension("") };
        vec![plain(&own.join(format!("{}.rs", self.name))), plain(&own.join(&self.name).join("mod.rs"))]
    }
}

/// The path without `..`.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain.to_string_lossy().into_owned()
}

/// Every `mod x;` of a file that is not in a comment, a text or a macro; inline modules hold none in this tree.
fn declared(text: &str) -> Vec<Module> {
    let items = syn::parse_file(text).map(|file| file.items).unwrap_or_default();
    let module = |item| match item {
        syn::Item::Mod(module) if module.content.is_none() => {
            Some(Module { name: module.ident.to_string(), path: module.attrs.iter().find_map(path_of) })
        }
        _ => None,
    };
    items.into_iter().filter_map(module).collect()
}

fn path_of(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgotten(files: &[(&str, &str)]) -> Vec<String> {
        check(&Sources::of(files)).into_iter().map(|problem| problem.path).collect()
    }

    /// A file and a folder that the main file does not name are told.
    #[test]
    fn finds_what_the_root_does_not_name() {
        let files = [
            (MAIN, "//! x\nmod named;\n"),
            ("tests/named.rs", "pub(crate) mod part;"),
            ("tests/named/part.rs", ""),
            ("tests/lost.rs", ""),
            ("tests/gone/a.rs", ""),
        ];
        assert_eq!(forgotten(&files), ["tests/gone/a.rs", "tests/lost.rs"]);
    }

    /// Every parent must name its child: a file in a folder that is named is not named by that, and a comment or a text
    /// names nothing.
    #[test]
    fn finds_what_no_parent_names() {
        let files = [
            ("engine/x/src/lib.rs", "#[cfg(test)]\nmod tests;\nmod other;\n"),
            ("engine/x/src/other.rs", "// mod lost;\nconst TEXT: &str = \"\nmod lost;\n\";"),
            ("engine/x/src/other/lost.rs", "mod below;"),
            ("engine/x/src/other/lost/below.rs", ""),
            ("engine/x/src/tests/mod.rs", "mod one;"),
            ("engine/x/src/tests/one.rs", ""),
            ("engine/x/src/tests/new.rs", ""),
            (MAIN, "mod moves;"),
            ("tests/moves.rs", "mod known;"),
            ("tests/moves/known.rs", ""),
            ("tests/moves/new.rs", ""),
        ];
        let lost = [
            "engine/x/src/other/lost.rs",
            "engine/x/src/other/lost/below.rs",
            "engine/x/src/tests/new.rs",
            "tests/moves/new.rs",
        ];
        assert_eq!(forgotten(&files), lost);
    }

    /// What is found by Cargo itself needs no declaration, and a `path` attribute is followed.
    #[test]
    fn follows_cargo_and_paths() {
        let files = [
            ("engine/x/src/main.rs", "#[path = \"../../y/src/shared.rs\"]\nmod pattern;\n"),
            ("engine/x/src/bin/tool.rs", ""),
            ("engine/x/build.rs", ""),
            ("engine/x/tests/own.rs", ""),
            ("engine/y/src/shared.rs", ""),
        ];
        assert_eq!(forgotten(&files), [""; 0]);
    }

    /// The message says what to write and where.
    #[test]
    fn says_what_to_write() {
        let told = |path| super::forgotten(path).text;
        let wanted = |name| format!("never compiled: write `mod {name};` into the module of tests/moves/");
        assert_eq!(told("tests/moves/new.rs"), wanted("new"));
        assert_eq!(told("tests/moves/part/mod.rs"), wanted("part"));
    }
}
