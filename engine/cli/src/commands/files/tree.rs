//! Folders with everything in them, as far as a plugin may have it.

use std::fs::DirEntry;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use longhaul_model::plugin::{BYTES_MAX, ENTRIES_MAX, Tree};

/// The names of the folders in a folder, in order. One whose name is no text is nobody's.
pub(super) fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Every file below a folder. What is neither file nor folder is refused: a link could lead anywhere, and tomorrow elsewhere.
pub(super) fn read(folder: &Path) -> Result<Tree, String> {
    let mut reading = Reading { tree: Tree::default(), entries: 0, bytes: 0 };
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((folder, above)) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&above, &error))? {
            let entry = entry.map_err(|error| unreadable(&above, &error))?;
            open.extend(reading.entry(&entry, &above)?);
        }
    }
    Ok(reading.tree)
}

struct Reading {
    tree: Tree,
    entries: usize,
    bytes: u64,
}

impl Reading {
    /// Takes a file over; a folder is to be read yet.
    fn entry(&mut self, entry: &DirEntry, above: &str) -> Result<Option<(PathBuf, String)>, String> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(format!("it has more than {ENTRIES_MAX} files and folders"));
        }
        let path = format!("{above}{}", name(entry)?);
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        if kind.is_dir() {
            return Ok(Some((entry.path(), format!("{path}/"))));
        }
        if !kind.is_file() {
            return Err(format!("`{path}` is neither a file nor a folder"));
        }
        let bytes = self.bytes_of(entry).map_err(|error| unreadable(&path, &error))?;
        if self.bytes > BYTES_MAX {
            return Err(format!("its files have more than {} MiB", BYTES_MAX / 1024 / 1024));
        }
        self.tree.0.insert(path, bytes);
        Ok(None)
    }

    /// A file's content, and of one that is too long a byte more than there is room for.
    fn bytes_of(&mut self, entry: &DirEntry) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let room = BYTES_MAX - self.bytes;
        self.bytes += std::fs::File::open(entry.path())?.take(room + 1).read_to_end(&mut bytes)? as u64;
        Ok(bytes)
    }
}

/// A name that everybody writes alike: `sha256sum` has escapes for the others.
fn name(entry: &DirEntry) -> Result<String, String> {
    let name = entry.file_name();
    let text =
        name.to_str().filter(|text| !text.contains(|letter: char| letter.is_control() || letter == '\\'));
    text.map(str::to_owned)
        .ok_or_else(|| format!("it has a file called {name:?}: such names are not allowed"))
}

fn unreadable(path: &str, error: &io::Error) -> String {
    format!("`./{path}` cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file is read, with folders in its name, and folders that hold nothing leave no trace.
    #[test]
    fn every_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::create_dir_all(folder.path().join("empty")).unwrap();
        for file in ["z", ".hidden", "a/c d", "a/b/ä"] {
            std::fs::write(folder.path().join(file), file).unwrap();
        }
        let tree = read(folder.path()).unwrap();
        let files: Vec<(&str, &[u8])> =
            tree.0.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        let expected = [".hidden", "a/b/ä", "a/c d", "z"].map(|path| (path, path.as_bytes()));
        assert_eq!(files, expected);
        assert_eq!(folders(folder.path()).unwrap(), ["a", "empty"]);
    }

    /// What a plugin may not have is refused with its name: links, also to nothing and within, and sockets; odd names; too much.
    #[test]
    fn what_does_not_belong_there_is_refused() {
        type Make = fn(&Path) -> io::Result<()>;
        let cases: [(Make, &str); 6] = [
            (|at| std::os::unix::fs::symlink("/etc/passwd", at.join("link")), "`link` is neither"),
            (|at| std::os::unix::fs::symlink("file", at.join("within")), "`within` is neither"),
            (|at| std::os::unix::net::UnixListener::bind(at.join("socket")).map(drop), "`socket` is neither"),
            (|at| std::fs::write(at.join("a\nb"), ""), "called \"a\\nb\""),
            (
                |at| (0..ENTRIES_MAX).try_for_each(|n| std::fs::create_dir(at.join(n.to_string()))),
                "more than 1000 files",
            ),
            (|at| std::fs::File::create(at.join("big"))?.set_len(BYTES_MAX), "more than 64 MiB"),
        ];
        for (make, said) in cases {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("file"), "x").unwrap();
            assert!(read(folder.path()).is_ok());
            make(folder.path()).unwrap();
            let refused = read(folder.path()).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
