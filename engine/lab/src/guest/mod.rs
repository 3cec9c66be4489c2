//! The lab's guest: built on the spot from Debian's cloud kernel, a static busybox and our own daemon.
//!
//! Made of three files: the kernel, an initial RAM disk with everything the guest runs, and a disk whose file system
//! holds data with known checksums and whose tail is the disk writer's ring. Nothing is downloaded but Debian packages.

mod disk;
mod image;
mod initramfs;
mod kernel;
mod probe;

#[path = "../../guestd/pattern.rs"]
mod pattern;

pub use disk::{DISK_BYTES, write_disk};
pub use image::{Error, Image, Options, file_digest};
pub use kernel::Kernel;
pub use probe::{Error as ProbeError, MemoryStats, Probe, Stats, Verification, WriterStats};
