//! The boot files of the guest and how it is to be started.

use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk::{DISK_BYTES, LOG_OFFSET, manifest};
use super::initramfs;
use super::kernel::Kernel;
use crate::{addresses, process};

/// Where Debian's `busybox-static` puts it.
const BUSYBOX: &str = "/bin/busybox";

/// Why the guest could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// A tool is missing or refused.
    #[error("build the guest")]
    Tool(#[from] process::Error),
    /// Something that must be there is not.
    #[error("find {0}")]
    Missing(String),
    /// A package cannot be fetched.
    #[error(
        "fetch package {package}: tried {tried}; see that the package lists below /etc/apt name a Debian mirror that \
         answers from here"
    )]
    Package {
        /// Its name.
        package: String,
        /// What was tried, in order.
        tried: String,
        /// What the last of it said.
        source: process::Error,
    },
    /// The initial RAM disk cannot be put together.
    #[error("write the initial RAM disk")]
    Archive(#[source] io::Error),
}

/// What the guest's writers do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Home address.
    pub address: Ipv4Addr,
    /// Memory the memory writer goes around in, KiB.
    pub working_set_kib: u64,
    /// How much of it is written a second, KiB.
    pub memory_rate_kib: u64,
    /// Between two records of the disk writer, milliseconds.
    pub disk_interval_ms: u64,
}

impl Default for Options {
    /// 32 MiB of which 2 MiB a second are written, and twenty records of 8 KiB a second.
    fn default() -> Self {
        Self {
            address: addresses::GUEST,
            working_set_kib: 32 * 1024,
            memory_rate_kib: 2 * 1024,
            disk_interval_ms: 50,
        }
    }
}

impl Options {
    /// The kernel's command line.
    #[must_use]
    pub fn cmdline(&self) -> String {
        format!(
            "console=ttyS0 quiet panic=-1 lh_address={} lh_gateway={} lh.memory_kib={} lh.memory_rate_kib={} \
             lh.disk_interval_ms={} lh.log_offset_kib={} lh.log_kib={}",
            self.address,
            addresses::GATEWAY,
            self.working_set_kib,
            self.memory_rate_kib,
            self.disk_interval_ms,
            LOG_OFFSET / 1024,
            (DISK_BYTES - LOG_OFFSET) / 1024
        )
    }
}

/// The guest's boot files, built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: PathBuf,
    /// SHA-256 of the kernel, hex.
    pub kernel_digest: String,
    /// SHA-256 of the initial RAM disk, hex.
    pub initrd_digest: String,
}

impl Image {
    /// Builds the boot files in `cache`, which keeps the kernel for the next time.
    ///
    /// # Errors
    /// When a package cannot be fetched or a file cannot be written.
    pub fn build(cache: &Path) -> Result<Self, Error> {
        if !Path::new(BUSYBOX).exists() {
            return Err(Error::Missing(format!("{BUSYBOX} (package busybox-static)")));
        }
        let kernel = Kernel::fetch(cache)?;
        let archive = initramfs::build(&kernel, Path::new(BUSYBOX), &manifest())?;
        let initrd_digest = hex(&Sha256::digest(&archive));
        let initrd = cache.join(format!("initrd-{initrd_digest}"));
        if !initrd.exists() {
            place(&archive, &initrd)?;
        }
        Ok(Self {
            kernel_digest: file_digest(&kernel.vmlinuz)?,
            kernel: kernel.vmlinuz,
            initrd,
            initrd_digest,
        })
    }
}

/// Writes a file that gets its name only when it is whole.
fn place(content: &[u8], path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io(path.to_owned(), source);
    let folder = path.parent().expect("cached files lie in a folder");
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    fs::write(temporary.path(), content).map_err(failed)?;
    temporary.persist(path).map(|_| ()).map_err(|error| failed(error.error))
}

/// The SHA-256 of a file, hex.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Io(path.to_owned(), source);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
