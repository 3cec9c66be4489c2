//! Where the files of a site lie (`docs/ARCHITECTURE.md`, "Files of a site").

use std::path::{Path, PathBuf};

use longhaul_model::ids::VmId;

use crate::error::Error;
use crate::vm::Paths;

/// The agent's own directory.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the directory and its folders where they are missing.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let folder = Self { root: root.to_owned() };
        for path in [folder.vms(), folder.boot(), folder.disks(), root.join("run")] {
            std::fs::create_dir_all(&path)
                .map_err(|error| Error::internal(&format!("making {}", path.display()), &error))?;
        }
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("agent.db")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("agent.lock")
    }

    pub(crate) fn tunnel_socket(&self) -> PathBuf {
        self.root.join("tunnel.sock")
    }

    pub(crate) fn vms(&self) -> PathBuf {
        self.root.join("vms")
    }

    pub(crate) fn boot(&self) -> PathBuf {
        self.root.join("boot")
    }

    pub(crate) fn disks(&self) -> PathBuf {
        self.root.join("disks")
    }

    pub(crate) fn image(&self, vm: &VmId) -> PathBuf {
        self.disks().join(format!("{vm}.raw"))
    }

    pub(crate) fn map(&self, vm: &VmId) -> PathBuf {
        self.disks().join(format!("{vm}.map"))
    }

    /// The files of the VM's QEMU and disk server.
    pub(crate) fn run(&self, vm: &VmId) -> Paths {
        Paths::new(&self.root, vm)
    }

    pub(crate) fn disk_control(&self, vm: &VmId) -> PathBuf {
        self.run(vm).folder().join("control.sock")
    }

    pub(crate) fn disk_origin(&self, vm: &VmId) -> PathBuf {
        self.run(vm).folder().join("origin.sock")
    }

    /// The disk server's configuration. While it exists, the agent sees to it that the server lives.
    pub(crate) fn disk_config(&self, vm: &VmId) -> PathBuf {
        self.run(vm).folder().join("disk-server.json")
    }

    pub(crate) fn disk_log(&self, vm: &VmId) -> PathBuf {
        self.run(vm).folder().join("disk-server.log")
    }
}
