//! Debian's cloud kernel: fetched as a package, unpacked beside the cache, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::image::Error;
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
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// A package of 27 MB over a slow mirror.
const DOWNLOAD_MAX: Duration = Duration::from_secs(300);
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
    /// The current cloud kernel, from `cache` or from the distribution's mirror. A second call downloads nothing.
    ///
    /// # Errors
    /// When apt knows no such package, the download fails, or the package misses a file.
    pub fn fetch(cache: &Path) -> Result<Self, Error> {
        let package = current_package()?;
        let folder = cache.join(&package);
        if !folder.exists() {
            unpack(cache, &package, &folder)?;
        }
        Self::in_folder(&folder)
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

/// The name changes with every security update, so the meta package is asked.
fn current_package() -> Result<String, Error> {
    let said = process::run(Command::new("apt-cache").args(["depends", META_PACKAGE]), UNPACK_MAX)?;
    let name = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    name.map(str::to_owned).ok_or_else(|| Error::Missing(format!("package {META_PACKAGE}")))
}

/// Downloads and unpacks into a folder that gets its name only when everything is there.
fn unpack(cache: &Path, package: &str, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(cache).map_err(|source| Error::Io(cache.to_owned(), source))?;
    let work = tempfile::tempdir_in(cache).map_err(|source| Error::Io(cache.to_owned(), source))?;
    // apt drops to a user of its own for downloads unless told not to; that user cannot write here.
    let mut download = Command::new("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(work.path());
    process::run(&mut download, DOWNLOAD_MAX)?;
    let mut files = Vec::new();
    walk(work.path(), &mut files)?;
    let archive = files.pop().ok_or_else(|| Error::Missing(format!("package {package}")))?;
    let unpacked = work.path().join("unpacked");
    process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked), UNPACK_MAX)?;
    match fs::rename(&unpacked, folder) {
        // Another lab was faster with the same content.
        Err(_) if folder.exists() => Ok(()),
        outcome => outcome.map_err(|source| Error::Io(folder.to_owned(), source)),
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
