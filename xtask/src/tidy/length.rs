//! Functions have at most 70 lines, files at most 600 that are not tests; both with a ratchet.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::problem::Problem;
use super::ratchet::{self, Measured, Ratchet};
use super::sources::Sources;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

pub(super) fn check(sources: &Sources) -> Result<Vec<Problem>> {
    let ratchet = Ratchet::parse(sources.get(ratchet::PATH).unwrap_or_default())?;
    let mut parsed = Vec::new();
    for (path, text) in sources.rust() {
        parsed.push((path, text, syn::parse_file(text).with_context(|| format!("parse {path}"))?));
    }
    let tests: BTreeSet<_> = parsed.iter().flat_map(|(path, _, file)| test_modules(path, file)).collect();
    let mut functions = Vec::new();
    let mut files = Vec::new();
    for (path, text, file) in &parsed {
        functions.extend(measure_functions(path, file));
        if !is_test(path, &tests) {
            let lines = text.lines().count() - test_lines(file);
            files.push(Measured { path: (*path).to_owned(), line: 0, key: (*path).to_owned(), lines });
        }
    }
    let mut problems = ratchet.check("functions", FUNCTION_LINES_MAX, &functions);
    problems.extend(ratchet.check("files", FILE_LINES_MAX, &files));
    Ok(problems)
}

fn lines_of(node: &impl Spanned) -> usize {
    let span = node.span();
    span.end().line - span.start().line + 1
}

#[derive(Default)]
struct Functions<'a> {
    path: &'a str,
    scope: Vec<String>,
    found: Vec<Measured>,
}

impl Functions<'_> {
    /// Counts from the signature, so that documentation is free.
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.span().start().line, block.span().end().line);
        let name =
            self.scope.iter().chain([&signature.ident.to_string()]).cloned().collect::<Vec<_>>().join("::");
        let key = format!("{}::{name}", self.path);
        self.found.push(Measured { path: self.path.to_owned(), line: start, key, lines: end - start + 1 });
    }

    fn within(&mut self, name: String, work: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        work(self);
        self.scope.pop();
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |inner| visit::visit_item_fn(inner, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |inner| visit::visit_impl_item_fn(inner, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        self.within(item.sig.ident.to_string(), |inner| visit::visit_trait_item_fn(inner, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = match &*item.self_ty {
            syn::Type::Path(of) => {
                of.path.segments.last().map_or_else(String::new, |last| last.ident.to_string())
            }
            _ => String::new(),
        };
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        let scope = of.map_or_else(|| name.clone(), |of| format!("{name}.{}", of.ident));
        self.within(scope, |inner| visit::visit_item_impl(inner, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), |inner| visit::visit_item_trait(inner, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(item.ident.to_string(), |inner| visit::visit_item_mod(inner, item));
    }
}

fn measure_functions(path: &str, file: &syn::File) -> Vec<Measured> {
    let mut functions = Functions { path, ..Functions::default() };
    functions.visit_file(file);
    functions.found
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    let test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    };
    attributes.iter().any(test)
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

/// Lines of items that only tests see.
fn test_lines(file: &syn::File) -> usize {
    file.items.iter().filter(|item| only_for_tests(attributes(item))).map(lines_of).sum()
}

/// Paths, without `.rs`, of the modules a file declares for tests only.
fn test_modules(path: &str, file: &syn::File) -> Vec<String> {
    let path = Path::new(path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default();
    let base =
        if stem == "mod" || stem == "lib" || stem == "main" { folder.to_owned() } else { folder.join(stem) };
    let declared = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(item) if item.content.is_none() && only_for_tests(&item.attrs) => {
            Some(item.ident.to_string())
        }
        _ => None,
    });
    declared.map(|name| base.join(name).display().to_string()).collect()
}

/// Whether a file is a test, a test's module, or lies below one.
fn is_test(path: &str, tests: &BTreeSet<String>) -> bool {
    let below = |module: &String| {
        path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    path.starts_with("tests/") || path.contains("/tests/") || tests.iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
    }

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        check(&Sources::of(files)).unwrap().iter().map(ToString::to_string).collect()
    }

    /// A function one line too long is told with its place; strings that look like its end do not shorten it.
    #[test]
    fn refuses_long_function() {
        assert!(problems(&[("a.rs", &long("f", 70))]).is_empty());
        let found = problems(&[("a.rs", &format!("\nimpl T {{ {} }}", long("f", 71)))]);
        assert_eq!(found, ["a.rs:2: `a.rs::T::f` has 71 lines, 70 are allowed; split it"]);
        let tricky = long("f", 71).replacen("work();", "let x = r\"\n}\n\";", 1);
        assert_eq!(problems(&[("a.rs", &tricky)]).len(), 1);
    }

    /// A file one line too long is told; its tests, inside or in files of their own, do not count.
    #[test]
    fn refuses_long_file() {
        let code = "const A: u8 = 0;\n".repeat(600);
        let more = "const A: u8 = 0;\n".repeat(601);
        assert_eq!(problems(&[("src/a.rs", &more)]).len(), 1);
        let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}}}\n", "const B: u8 = 0;\n".repeat(50));
        assert!(problems(&[("src/a.rs", &tests)]).is_empty());
        let parent = "#[cfg(test)]\nmod checks;\n";
        assert!(problems(&[("src/a.rs", parent), ("src/a/checks.rs", &more)]).is_empty());
        assert_eq!(problems(&[("src/a.rs", "mod checks;\n"), ("src/a/checks.rs", &more)]).len(), 1);
    }
}
