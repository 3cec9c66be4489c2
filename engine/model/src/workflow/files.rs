//! How the other files that a workflow names are found and read. Whoever has a disk reads from it; tests, and everything
//! else that must do no I/O, hand the texts in.

use std::collections::{BTreeMap, BTreeSet};

use crate::plugin::Tree;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is called in messages, and where names in it count from.
    pub name: String,
    /// The same for every name of one file.
    pub id: String,
}

/// Finds and reads files.
pub trait Files {
    /// Tells a file that is read already from others.
    fn id(&self, name: &str) -> String;

    /// The file that `named` means in the file called `from`.
    ///
    /// # Errors
    /// Why there is none, or none that may be used: a lower-case fragment.
    fn find(&self, from: &str, named: &str) -> Result<Found, String>;

    /// The text of a file that was found.
    ///
    /// # Errors
    /// Why it cannot be read: a lower-case fragment.
    fn read(&self, found: &Found) -> Result<String, String>;

    /// The names of the folders in the folder that `named` means in the file called `from`; none if there is no such folder.
    ///
    /// # Errors
    /// Why they cannot be seen: a lower-case fragment.
    fn folders(&self, from: &str, named: &str) -> Result<Vec<String>, String>;

    /// Every file below the folder that `named` means in the file called `from`, and nothing from outside of it.
    ///
    /// # Errors
    /// Why they cannot be read, or are more than [a plugin](crate::plugin) may have: a lower-case fragment.
    fn tree(&self, from: &str, named: &str) -> Result<Tree, String>;
}

/// No files at all: the workflow stands alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn id(&self, name: &str) -> String {
        name.to_owned()
    }

    fn find(&self, _: &str, named: &str) -> Result<Found, String> {
        Err(format!("`{named}` cannot be read: this workflow was read without its folder"))
    }

    fn read(&self, found: &Found) -> Result<String, String> {
        Err(format!("{} cannot be read", found.name))
    }

    fn folders(&self, _: &str, named: &str) -> Result<Vec<String>, String> {
        Err(format!("`{named}` cannot be read: this workflow was read without its folder"))
    }

    fn tree(&self, from: &str, named: &str) -> Result<Tree, String> {
        self.folders(from, named).map(|_| Tree::default())
    }
}

/// Files that are in memory, by their names.
#[derive(Debug, Clone, Default)]
pub struct Texts(pub BTreeMap<String, String>);

impl Files for Texts {
    fn id(&self, name: &str) -> String {
        name.to_owned()
    }

    fn find(&self, from: &str, named: &str) -> Result<Found, String> {
        let name = beside(from, named);
        let found = Found { id: name.clone(), name };
        if self.0.contains_key(&found.name) {
            Ok(found)
        } else {
            Err(format!("there is no file {}", found.name))
        }
    }

    fn read(&self, found: &Found) -> Result<String, String> {
        self.0.get(&found.name).cloned().ok_or_else(|| format!("there is no file {}", found.name))
    }

    fn folders(&self, from: &str, named: &str) -> Result<Vec<String>, String> {
        let first = |(path, _): (&str, _)| path.split_once('/').map(|(first, _)| first.to_owned());
        let names: BTreeSet<String> = self.below(from, named).filter_map(first).collect();
        Ok(names.into_iter().collect())
    }

    fn tree(&self, from: &str, named: &str) -> Result<Tree, String> {
        let file = |(path, text): (&str, &String)| (path.to_owned(), text.clone().into_bytes());
        Ok(Tree(self.below(from, named).map(file).collect()))
    }
}

impl Texts {
    /// The files below a folder, by their paths from there.
    fn below(&self, from: &str, named: &str) -> impl Iterator<Item = (&str, &String)> {
        let folder = format!("{}/", beside(from, named));
        self.0.iter().filter_map(move |(name, text)| Some((name.strip_prefix(&folder)?, text)))
    }
}

/// The name that `named` has in the file called `from`, by its text alone: `./x.yaml` in `a/b.yaml` is `a/x.yaml`.
#[must_use]
pub fn beside(from: &str, named: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in named.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if !matches!(*last, ".." | "." | "") => {
                parts.pop();
            }
            (part, _) => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name counts from the folder of the file it stands in.
    #[test]
    fn names_count_from_their_files_folder() {
        let cases = [
            ("a.yaml", "./b.yaml", "b.yaml"),
            ("w/a.yaml", "./x/b.yaml", "w/x/b.yaml"),
            ("w/a.yaml", "../b.yaml", "b.yaml"),
            ("a.yaml", "../b.yaml", "../b.yaml"),
            ("/w/a.yaml", "./../v/./b.yaml", "/v/b.yaml"),
        ];
        for (from, named, name) in cases {
            assert_eq!(beside(from, named), name, "{named} in {from}");
        }
    }
}
