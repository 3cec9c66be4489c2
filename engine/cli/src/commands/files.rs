//! The files that a workflow names, on this machine's disk.

mod tree;

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};

use longhaul_host_rhai::RhaiHost;
use longhaul_model::document::Document;
use longhaul_model::plugin::Tree;
use longhaul_model::workflow::{Files, Found, Resolved, beside};

/// No file that a person or `longhaul` writes has more bytes; what has is not read into memory to find out what it is.
pub(super) const TEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file as text.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > TEXT_BYTES_MAX {
        let message = format!("it has more than {} MiB", TEXT_BYTES_MAX / 1024 / 1024);
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// What can be read of a file that is no text, and where the first byte stands that belongs to no letter.
pub(super) fn no_text(path: &Path, error: &io::Error) -> Option<(String, usize)> {
    let mut bytes = Vec::new();
    if error.kind() == ErrorKind::InvalidData {
        File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    }
    let at = std::str::from_utf8(&bytes).err()?.valid_up_to();
    Some((String::from_utf8_lossy(&bytes).into_owned(), at))
}

/// This machine's disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk;

impl Files for Disk {
    fn id(&self, name: &str) -> String {
        id(Path::new(name))
    }

    fn find(&self, from: &str, named: &str) -> Result<Found, String> {
        let Reached { path, real } = reach(from, named)?;
        // By its text alone a name is shorter; where folders are links it can mean another file.
        let short = beside(from, named);
        let is_same = Path::new(&short).canonicalize().is_ok_and(|other| other == real);
        let name = if is_same { short } else { path.display().to_string() };
        Ok(Found { name, id: real.display().to_string() })
    }

    fn read(&self, found: &Found) -> Result<String, String> {
        text(Path::new(&found.id)).map_err(|error| format!("{} cannot be read: {error}", found.name))
    }

    fn folders(&self, from: &str, named: &str) -> Result<Vec<String>, String> {
        let seen = folder_of(from).join(named).symlink_metadata();
        if seen.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(Vec::new());
        }
        tree::folders(&reach(from, named)?.real).map_err(|error| format!("`{named}` cannot be read: {error}"))
    }

    fn tree(&self, from: &str, named: &str) -> Result<Tree, String> {
        tree::read(&reach(from, named)?.real)
    }
}

/// What a name leads to.
struct Reached {
    /// As it is named.
    path: PathBuf,
    /// Without symbolic links.
    real: PathBuf,
}

/// A path may climb by the `..` that it writes, and by no symbolic link: what is reviewed beside a workflow is what runs.
fn reach(from: &str, named: &str) -> Result<Reached, String> {
    let folder = folder_of(from);
    let path = folder.join(named);
    let real = path.canonicalize().map_err(|error| format!("`{named}` cannot be read: {error}"))?;
    let top = top(folder, Path::new(named));
    let real_top = top.canonicalize().map_err(|error| format!("`{named}` cannot be read: {error}"))?;
    if !real.starts_with(&real_top) {
        let top = if top == Path::new(".") { "its folder".to_owned() } else { top.display().to_string() };
        return Err(format!("`{named}` leads out of {top} by a symbolic link, to {}", real.display()));
    }
    Ok(Reached { path, real })
}

fn folder_of(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or(Path::new(""))
}

/// A workflow with the files that it names, the scripts of its policies checked.
pub(super) fn resolved(document: &Document) -> Resolved {
    Resolved::read(document, &Disk).with_scripts_checked(&RhaiHost::default())
}

/// The highest folder that a path goes through.
fn top(folder: &Path, named: &Path) -> PathBuf {
    let (mut depth, mut climbed) = (0_i32, 0_i32);
    for component in named.components() {
        match component {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
        climbed = climbed.min(depth);
    }
    let start = if folder == Path::new("") { Path::new(".") } else { folder };
    (climbed..0).fold(start.to_owned(), |top, _| top.join(".."))
}

/// A file that cannot be found out about is known by its name.
fn id(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        folder
    }

    /// A file is found from the folder of the one that names it, under the shortest name, and is the same file under each.
    #[test]
    fn files_are_found_beside_those_that_name_them() {
        let folder = folder(&["w/a.yaml", "w/b.yaml", "shared/c.yaml"]);
        let name = |file: &str| folder.path().join(file).display().to_string();
        let found = |named| Disk.find(&name("w/a.yaml"), named).unwrap();
        assert_eq!(found("./b.yaml").name, name("w/b.yaml"));
        assert_eq!(found("../shared/c.yaml").name, name("shared/c.yaml"));
        assert_eq!(found("../w/./b.yaml"), found("./b.yaml"));
        assert_eq!(found("./a.yaml").id, Disk.id(&name("w/a.yaml")));
        assert_eq!(Disk.read(&found("../shared/c.yaml")).unwrap(), "shared/c.yaml");
    }

    /// A file that nobody can have meant is not read.
    #[test]
    fn a_huge_file_is_refused() {
        let folder = folder(&["w.yaml"]);
        let path = folder.path().join("w.yaml");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(TEXT_BYTES_MAX + 1).unwrap();
        assert_eq!(text(&path).unwrap_err().to_string(), "it has more than 64 MiB");
        file.set_len(2).unwrap();
        assert_eq!(text(&path).unwrap(), "w.");
    }

    /// What is not there, and what a link leads out to, is refused and says so.
    #[test]
    fn links_do_not_lead_out() {
        let folder = folder(&["w/a.yaml", "w/b.yaml", "secret/c.yaml"]);
        let name = folder.path().join("w/a.yaml").display().to_string();
        let link = |from: &str, to: &str| {
            std::os::unix::fs::symlink(folder.path().join(to), folder.path().join(from)).unwrap();
        };
        link("w/within.yaml", "w/b.yaml");
        link("w/out.yaml", "secret/c.yaml");
        link("w/away", "secret");
        assert!(Disk.find(&name, "./within.yaml").is_ok());
        assert!(Disk.find(&name, "../secret/c.yaml").is_ok());
        for (named, why) in [
            ("./out.yaml", "by a symbolic link"),
            ("./away/c.yaml", "by a symbolic link"),
            ("./none.yaml", "cannot be read"),
        ] {
            let refused = Disk.find(&name, named).unwrap_err();
            assert!(refused.contains(why) && refused.contains(named), "{refused}");
        }
    }

    /// Plugins stand beside the file that names them; a link does not bring others there, and no folder is no plugin.
    #[test]
    fn plugins_stand_beside_their_users() {
        let folder = folder(&[
            "w/plugins/a/x/y",
            "w/plugins/a/z",
            "w/plugins/b-1.0.0/z",
            "other/c/z",
            "w/plugins/note",
        ]);
        let name = folder.path().join("w/w.yaml").display().to_string();
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(folder.path().join(to), folder.path().join(at)).unwrap();
        };
        assert_eq!(Disk.folders(&name, "./plugins").unwrap(), ["a", "b-1.0.0"]);
        assert_eq!(Disk.folders(&name, "./none").unwrap(), [""; 0]);
        let tree = Disk.tree(&name, "./plugins/a").unwrap();
        assert_eq!(tree.text("x/y").unwrap(), "w/plugins/a/x/y");
        link("other/c", "w/plugins/c");
        link("other", "w/linked");
        for refused in [
            Disk.tree(&name, "./plugins/c").unwrap_err(),
            Disk.folders(&name, "./linked").unwrap_err(),
            Disk.tree(&name, "./linked/c").unwrap_err(),
        ] {
            assert!(refused.contains("by a symbolic link"), "{refused}");
        }
    }
}
