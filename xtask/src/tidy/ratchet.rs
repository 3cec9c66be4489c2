//! What was too long on the day the rule came: it may stay, it may shrink, it may not grow.
//!
//! The file is a subset of TOML: `[section]`, `"key" = number`, comments.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::problem::Problem;

/// Where the ratchet is kept.
pub(super) const PATH: &str = "xtask/tidy-ratchet.toml";

/// Lengths allowed past a limit, by section and key.
#[derive(Debug, Default)]
pub(super) struct Ratchet {
    sections: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Something that has a length: a function or a file.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) lines: usize,
}

impl Ratchet {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut ratchet = Self::default();
        let mut section = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(ratchet.sections.entry(name.to_owned()).or_default());
                continue;
            }
            let (key, lines) =
                entry(line).with_context(|| format!("{PATH}:{}: read `{line}`", number + 1))?;
            match &mut section {
                Some(section) => section.insert(key, lines),
                None => bail!("{PATH}:{}: an entry before any section", number + 1),
            };
        }
        Ok(ratchet)
    }

    /// What breaks the limit, or the ratchet, in one section.
    pub(super) fn check(&self, section: &str, limit: usize, measured: &[Measured]) -> Vec<Problem> {
        let none = BTreeMap::new();
        let allowed = self.sections.get(section).unwrap_or(&none);
        let mut problems: Vec<_> =
            measured.iter().filter_map(|one| judge(one, limit, allowed.get(&one.key))).collect();
        let known = |key: &String| measured.iter().any(|one| one.key == *key);
        for key in allowed.keys().filter(|key| !known(key)) {
            problems.push(Problem::new(
                PATH,
                0,
                format!("`{key}` is gone; remove its entry from [{section}]"),
            ));
        }
        problems
    }
}

fn entry(line: &str) -> Option<(String, usize)> {
    let (key, lines) = line.split_once('=')?;
    let key = key.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some((key.to_owned(), lines.trim().parse().ok()?))
}

fn judge(one: &Measured, limit: usize, allowed: Option<&usize>) -> Option<Problem> {
    let Measured { path, line, key, lines } = one;
    let here = |text: String| Some(Problem::new(path, *line, text));
    let there = |text: String| Some(Problem::new(PATH, 0, text));
    match allowed {
        None if *lines > limit => here(format!("`{key}` has {lines} lines, {limit} are allowed; split it")),
        None => None,
        Some(_) if *lines <= limit => there(format!("`{key}` is within the limit now; remove its entry")),
        Some(allowed) if lines > allowed => {
            here(format!("`{key}` grew from {allowed} to {lines} lines; split it"))
        }
        Some(allowed) if lines < allowed => there(format!("`{key}` shrank; write `\"{key}\" = {lines}`")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(ratchet: &str, lines: usize) -> Vec<String> {
        let one = Measured { path: "a.rs".into(), line: 3, key: "a.rs::f".into(), lines };
        let found = Ratchet::parse(ratchet).unwrap().check("functions", 70, &[one]);
        found.iter().map(ToString::to_string).collect()
    }

    /// Too long without an entry, grown, shrunk, within the limit, and gone: each is a problem; as it was is none.
    #[test]
    fn judges_every_case() {
        let entry = "# c\n[functions]\n\"a.rs::f\" = 80\n";
        assert!(problems("", 71)[0].contains("split it"));
        assert!(problems("", 70).is_empty());
        assert!(problems(entry, 81)[0].contains("grew from 80 to 81"));
        assert!(problems(entry, 79)[0].contains("\"a.rs::f\" = 79"));
        assert!(problems(entry, 70)[0].contains("remove its entry"));
        assert!(problems(entry, 80).is_empty());
        assert!(problems("[functions]\n\"b.rs::g\" = 80", 1)[0].contains("is gone"));
    }

    /// A line that is neither section, entry nor comment is refused with its number.
    #[test]
    fn refuses_nonsense() {
        for bad in ["\"a\" = 1", "[s]\na = 1", "[s]\n\"a\" = x"] {
            assert!(Ratchet::parse(bad).unwrap_err().to_string().contains(PATH), "{bad}");
        }
    }
}
