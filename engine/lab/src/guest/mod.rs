//! The lab's guest: built on the spot from Debian's cloud kernel, a static busybox and our own daemon.
//!
//! Made of three files: the kernel, an initial RAM disk with everything the guest runs, and a disk whose file system
//! holds data with known checksums and whose tail is the disk writer's ring. Nothing is downloaded but Debian packages.

mod disk;
mod image;
mod initramfs;
mod kernel;
mod package;
mod probe;

#[path = "../../guestd/pattern.rs"]
mod pattern;

/// What every page that the guest's memory writer checks begins with, for a proof that has to find one.
#[must_use]
pub fn page_mark() -> [u8; 8] {
    pattern::page_mark().to_le_bytes()
}

pub use disk::{DISK_BYTES, write_disk};
pub use image::{Error, Image, Options, file_digest};
pub use kernel::Kernel;
pub use probe::{
    Error as ProbeError, MemoryStats, Probe, Sampler, Samples, Stats, Verification, WriterStats,
};
