//! Plugins: what others write, used by name and version, and pinned byte for byte.
//!
//! ```text
//!  w.yaml                         longhaul.lock                 plugins/bigip-1.2.0/
//!    plugins:                       [[plugin]]                    plugin.toml   name, version, what it offers
//!      f5: "bigip@^1"  --range-->   name, version, sha256 --is--> window.rhai   every byte of the folder
//! ```
//!
//! All three stand beside each other. The range says what the workflow can work with, the lock which of it is meant, and
//! the digest that nobody changed it since. This does no I/O: folders come from [`Files`](crate::workflow::Files).

mod choice;
mod folder;
mod lock;
mod manifest;

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use choice::choose;
pub use folder::{Called, FOLDER, Folder, Tree};
pub use lock::{LOCK, Lock, Locked};
pub use manifest::{MANIFEST, Manifest};

use crate::ids::PluginName;

/// The most files and folders that a plugin has. It is read whole whenever a workflow that uses it is.
pub const ENTRIES_MAX: usize = 1000;

/// The most bytes that a plugin's files have together: room for compiled code, and read in well under a second.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Exactly one plugin: no other bytes have this digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PluginPin {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: Version,
    /// SHA-256 of [its folder](Tree::sha256), in hex.
    pub sha256: String,
}

/// In a line: `bigip 1.2.0  (sha256 0123456789ab)`.
impl fmt::Display for PluginPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.sha256.get(..12).unwrap_or(&self.sha256);
        write!(f, "{} {}  (sha256 {digest})", self.name, self.version)
    }
}
