//! Where the files of one VM's QEMU lie: `run/ID/` in the agent's own directory.

use std::path::{Path, PathBuf};

use longhaul_model::ids::VmId;

use super::error::Error;

/// Longest path the kernel takes for a unix socket (`sun_path` less its end mark).
const SOCKET_PATH_MAX: usize = 107;

/// The files of one VM's QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    folder: PathBuf,
}

impl Paths {
    /// The files of a VM in the agent's own directory.
    #[must_use]
    pub fn new(state: &Path, vm: &VmId) -> Self {
        Self { folder: state.join("run").join(vm.as_str()) }
    }

    /// `run/ID/`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// QEMU's pid file.
    #[must_use]
    pub fn pid(&self) -> PathBuf {
        self.folder.join("qemu.pid")
    }

    /// The [`Runtime`](super::Runtime) beside it.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.folder.join("qemu.json")
    }

    /// Our QMP socket.
    #[must_use]
    pub fn qmp(&self) -> PathBuf {
        self.folder.join("qmp.sock")
    }

    /// The QMP socket of outside observers.
    #[must_use]
    pub fn observer(&self) -> PathBuf {
        self.folder.join("observer.sock")
    }

    /// The disk server's NBD socket.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk.sock")
    }

    /// Where QEMU's outgoing state ends: the agent listens.
    #[must_use]
    pub fn outgoing(&self) -> PathBuf {
        self.folder.join("outgoing.sock")
    }

    /// Where QEMU's incoming state comes from: QEMU listens.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.folder.join("incoming.sock")
    }

    /// The guest's serial console.
    #[must_use]
    pub fn serial_log(&self) -> PathBuf {
        self.folder.join("serial.log")
    }

    /// What QEMU itself says.
    #[must_use]
    pub fn qemu_log(&self) -> PathBuf {
        self.folder.join("qemu.log")
    }

    /// Refuses a folder whose sockets the kernel would not take.
    pub(super) fn check(&self) -> Result<(), Error> {
        let longest = self.observer();
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(Error::PathTooLong { path: longest });
        }
        Ok(())
    }
}
