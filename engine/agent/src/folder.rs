//! Where the files of a site lie (`docs/ARCHITECTURE.md`, "Files of a site").

use std::path::{Path, PathBuf};

use longhaul_model::ids::{RunId, VmId};

use crate::error::Error;
use crate::vm::Paths;

/// Between the name of a disk and the run with which its VM left.
const RELEASED: &str = ".released-";

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

    pub(crate) fn kept_runs(&self) -> PathBuf {
        self.root.join("runs.db")
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

    /// The disk that the VM left here with a run: whole as of then, read by nobody.
    pub(crate) fn released(&self, vm: &VmId, run: &RunId) -> PathBuf {
        self.disks().join(format!("{vm}.raw{RELEASED}{run}"))
    }

    /// Removes the disks that the VM left here with earlier runs: each is as big as the VM's disk, and older than `kept`.
    pub(crate) fn forget_released(&self, vm: &VmId, kept: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::internal("removing disks that were left earlier", &error);
        let left = format!("{vm}.raw{RELEASED}");
        for entry in std::fs::read_dir(self.disks()).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&left) && path != kept && kept.exists() {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the disks that a VM left behind the last one stays, whatever another VM left.
    #[test]
    fn the_last_released_disk_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let ids: [VmId; 2] = ["vm-a", "vm-ab"].map(|id| id.parse().unwrap());
        let runs: [RunId; 2] = ["run-1", "run-2"].map(|id| id.parse().unwrap());
        for (vm, run) in ids.iter().flat_map(|vm| runs.iter().map(move |run| (vm, run))) {
            std::fs::write(folder.released(vm, run), "disk").unwrap();
        }
        folder.forget_released(&ids[0], &folder.released(&ids[0], &runs[1])).unwrap();
        let left = |vm: &VmId| runs.each_ref().map(|run| folder.released(vm, run).exists());
        assert_eq!((left(&ids[0]), left(&ids[1])), ([false, true], [true, true]));
    }
}
