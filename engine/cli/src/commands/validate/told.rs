//! What is told of each file, where several files lead to the same mistakes: tests to their workflow's, workflows to those of the
//! files that they use.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::source::Span;

use crate::commands::folders::spelt_alike;

/// What is told of a file.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) file: &'a Path,
    /// The mistakes that are told with it.
    pub(super) found: Diagnostics,
    /// Files whose mistakes it leads to; those are told with another file.
    pub(super) others: BTreeSet<String>,
}

impl Told<'_> {
    /// Whether nothing is wrong, with it or with what it leads to.
    pub(super) fn is_fine(&self) -> bool {
        self.found.is_empty() && self.others.is_empty()
    }
}

/// Every mistake with one file: the one that it is in, if that one was looked at, else the first that leads to it.
pub(super) fn once(checked: Vec<(&Path, Diagnostics)>) -> Vec<Told<'_>> {
    let mut names = Names::default();
    let mut tellers: HashMap<Mistake, usize> = HashMap::new();
    for (at, (file, found)) in checked.iter().enumerate() {
        let own = spelt_alike(file);
        for one in found.iter() {
            let mistake = names.mistake(one);
            let is_own = mistake.file == own;
            let teller = tellers.entry(mistake).or_insert(at);
            *teller = if is_own { at } else { *teller };
        }
    }
    let mut told = Vec::new();
    for (at, (file, found)) in checked.into_iter().enumerate() {
        let mut all = Told { file, found: Diagnostics::new(), others: BTreeSet::new() };
        for one in found {
            if tellers.get(&names.mistake(&one)) == Some(&at) {
                all.found.push(one);
            } else {
                all.others.insert(one.source.name().to_owned());
            }
        }
        told.push(all);
    }
    told
}

/// What makes two mistakes the same one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mistake {
    file: PathBuf,
    place: (usize, usize),
    code: Code,
    message: String,
}

/// The one spelling of each file's name.
#[derive(Debug, Default)]
struct Names(HashMap<String, PathBuf>);

impl Names {
    fn mistake(&mut self, one: &Diagnostic) -> Mistake {
        let name = one.source.name();
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), spelt_alike(Path::new(name)));
        }
        let Span { start, end } = one.span;
        Mistake {
            file: self.0[name].clone(),
            place: (start, end),
            code: one.code,
            message: one.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_model::source::Source;

    use super::*;

    fn mistake(file: &str, message: &str) -> Diagnostic {
        Diagnostic::new(Code::Syntax, &Source::new(file, "x"), Span::new(0, 1), message)
    }

    /// A mistake is told with the file it is in, however that is spelt; one of a file that was not looked at with the first that
    /// leads to it. The others say where.
    #[test]
    fn a_mistake_is_told_once() {
        let all = |list: &[(&str, &str)]| {
            let mut found = Diagnostics::new();
            list.iter().for_each(|(file, message)| found.push(mistake(file, message)));
            found
        };
        let told = once(vec![
            (
                Path::new("a.test.yaml"),
                all(&[("./w.yaml", "bad"), ("a.test.yaml", "own"), ("c.yaml", "far")]),
            ),
            (Path::new("b.test.yaml"), all(&[("./w.yaml", "bad"), ("c.yaml", "far")])),
            (Path::new("w.yaml"), all(&[("w.yaml", "bad"), ("w.yaml", "worse")])),
            (Path::new("z.yaml"), Diagnostics::new()),
        ]);
        let shown: Vec<_> = told
            .iter()
            .map(|one| {
                let messages: Vec<&str> = one.found.iter().map(|one| one.message.as_str()).collect();
                (messages.join(" "), one.others.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
            })
            .collect();
        let expected = [("own far", "./w.yaml"), ("", "./w.yaml c.yaml"), ("bad worse", ""), ("", "")];
        assert_eq!(shown, expected.map(|(found, others)| (found.to_owned(), others.to_owned())));
        assert_eq!(told.iter().map(Told::is_fine).collect::<Vec<_>>(), [false, false, false, true]);
    }
}
