//! Where a lab keeps what: everything below `STATE/labs/NAME`.

use std::path::{Path, PathBuf};

use crate::name::LabName;
use crate::place::Side;

/// The paths of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    labs: PathBuf,
    folder: PathBuf,
}

impl Files {
    /// Of the lab `name` below a state folder.
    #[must_use]
    pub fn new(state: &Path, name: &LabName) -> Self {
        let labs = state.join("labs");
        Self { folder: labs.join(name.as_str()), labs }
    }

    /// The lab's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kernels and initial RAM disks, shared by all labs. A lab's name cannot begin with a dot.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.labs.join(".cache")
    }

    /// What the lab is.
    #[must_use]
    pub fn description(&self) -> PathBuf {
        self.folder.join("lab.json")
    }

    /// The controller's inventory.
    #[must_use]
    pub fn sites(&self) -> PathBuf {
        self.folder.join("sites.yaml")
    }

    /// A site's own file.
    #[must_use]
    pub fn site(&self, side: Side) -> PathBuf {
        self.folder.join(format!("site-{}.yaml", side.as_str()))
    }

    /// Certificates.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.folder.join("pki")
    }

    /// An agent's own directory.
    #[must_use]
    pub fn agent(&self, side: Side) -> PathBuf {
        self.folder.join("agents").join(side.as_str())
    }

    /// What an agent says.
    #[must_use]
    pub fn agent_log(&self, side: Side) -> PathBuf {
        self.folder.join(format!("agent-{}.log", side.as_str()))
    }

    /// What the WAN is started with.
    #[must_use]
    pub fn wan(&self) -> PathBuf {
        self.folder.join("wan.json")
    }

    /// The WAN's control socket.
    #[must_use]
    pub fn wan_socket(&self) -> PathBuf {
        self.folder.join("wan.sock")
    }

    /// What the WAN says.
    #[must_use]
    pub fn wan_log(&self) -> PathBuf {
        self.folder.join("wan.log")
    }

    /// QEMU's second machine-protocol socket of a VM at a site.
    #[must_use]
    pub fn observer_socket(&self, side: Side, vm: &str) -> PathBuf {
        self.agent(side).join("run").join(vm).join("observer.sock")
    }

    /// The disk server's control socket of a VM at a site.
    #[must_use]
    pub fn disk_socket(&self, side: Side, vm: &str) -> PathBuf {
        self.agent(side).join("run").join(vm).join("control.sock")
    }
}
