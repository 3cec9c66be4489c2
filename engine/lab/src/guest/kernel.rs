//! Debian's cloud kernel: fetched as a package, unpacked beside the cache, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::image::Error;
use super::package::Apt;
use crate::process;

/// What the guest needs beyond what is built in, in the order of loading (Debian 6.1 cloud kernel).
pub(super) const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
];
/// The kernel's name changes with every security update; this one names the current one.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// What every kernel's name begins with.
const PREFIX: &str = "linux-image-";
const UNPACK_MAX: Duration = Duration::from_secs(120);

/// An unpacked kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The bootable image.
    pub vmlinuz: PathBuf,
    /// The modules the guest needs, in the order of loading.
    pub(super) modules: Vec<PathBuf>,
}

impl Kernel {
    /// A cloud kernel: the newest that `cache` holds whole, or the mirror's current one. A second call asks no mirror.
    ///
    /// # Errors
    /// When the mirror knows no such package, the download fails, or the package misses a file.
    pub fn fetch(cache: &Path) -> Result<Self, Error> {
        fs::create_dir_all(cache).map_err(|source| Error::Io(cache.to_owned(), source))?;
        match Self::newest(cache)? {
            Some(kernel) => Ok(kernel),
            None => Self::in_folder(&download(cache)?),
        }
    }

    fn newest(cache: &Path) -> Result<Option<Self>, Error> {
        let failed = |source| Error::Io(cache.to_owned(), source);
        let mut names = Vec::new();
        for entry in fs::read_dir(cache).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            names.extend(name.starts_with(PREFIX).then_some(name));
        }
        names.sort_by_key(|name| version(name));
        Ok(names.iter().rev().find_map(|name| Self::in_folder(&cache.join(name)).ok()))
    }

    fn in_folder(folder: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        walk(folder, &mut files)?;
        let find = |name: &dyn Fn(&str) -> bool, what: &str| {
            let named = |path: &&PathBuf| path.file_name().and_then(|f| f.to_str()).is_some_and(name);
            files.iter().find(named).cloned().ok_or_else(|| Error::Missing(what.to_owned()))
        };
        let module = |module: &&str| find(&|file| file == format!("{module}.ko"), module);
        Ok(Self {
            vmlinuz: find(&|file| file.starts_with("vmlinuz-"), "vmlinuz")?,
            modules: MODULES.iter().map(module).collect::<Result<_, _>>()?,
        })
    }
}

/// The numbers in a package's name, which order its versions.
fn version(package: &str) -> Vec<u64> {
    package.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Downloads and unpacks into a folder that gets its name only when everything is there.
fn download(cache: &Path) -> Result<PathBuf, Error> {
    let work = tempfile::tempdir_in(cache).map_err(|source| Error::Io(cache.to_owned(), source))?;
    let apt = Apt::update(work.path())?;
    let package = apt.depends(META_PACKAGE)?;
    let archive = apt.download(&package)?;
    let (unpacked, folder) = (work.path().join("unpacked"), cache.join(&package));
    process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked), UNPACK_MAX)?;
    match fs::rename(&unpacked, &folder) {
        // Another lab was faster with the same content.
        Err(_) if folder.exists() => Ok(folder),
        outcome => outcome.map(|()| folder.clone()).map_err(|source| Error::Io(folder, source)),
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Io(folder.to_owned(), source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(cache: &Path, package: &str, modules: &[&str]) {
        let folder = cache.join(package);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("vmlinuz-{package}")), "").unwrap();
        modules.iter().for_each(|module| fs::write(folder.join(format!("{module}.ko")), "").unwrap());
    }

    /// What the cache holds is taken without asking anybody: the newest by number, of those that miss no file.
    #[test]
    fn the_newest_whole_kernel_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        cached(cache.path(), "linux-image-6.1.0-9-cloud-amd64", MODULES);
        cached(cache.path(), "linux-image-6.1.0-56-cloud-amd64", MODULES);
        cached(cache.path(), "linux-image-6.1.0-57-cloud-amd64", &MODULES[1..]);
        cached(cache.path(), ".tmp-6.1.0-99", MODULES);
        let kernel = Kernel::fetch(cache.path()).unwrap();
        assert!(kernel.vmlinuz.ends_with("vmlinuz-linux-image-6.1.0-56-cloud-amd64"), "{kernel:?}");
        assert_eq!(kernel.modules.len(), MODULES.len());
    }
}
