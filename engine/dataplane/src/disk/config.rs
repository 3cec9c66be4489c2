//! What a disk server is told at its start: a JSON file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// Configuration of one disk server. Relative paths are relative to the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Id of the VM; the name of its exports. A map that belongs to another VM is refused.
    pub vm: String,
    /// The disk, a raw sparse file; made when there is neither image nor map and `initial` is `absent`.
    pub image: PathBuf,
    /// The map beside it; made when it is not there.
    pub map: PathBuf,
    /// Size of the disk in bytes, a multiple of 512; must equal the image's if there is one.
    pub disk_bytes: u64,
    /// What is in the image when there is no map yet. An existing map wins.
    pub initial: Initial,
    /// Folder of `disk.sock`, `origin.sock` and `control.sock`; must exist.
    pub sockets: PathBuf,
    /// Where absent blocks come from; needed for a disk that has some.
    #[serde(default)]
    pub origin: Option<OriginConfig>,
    /// Test-only: breaks one thing, to prove that the checks notice.
    #[serde(default)]
    pub faults: Faults,
}

/// Content of an image that has no map yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initial {
    /// All of it counts: the site where the VM was created. The image must exist.
    Complete,
    /// Nothing of it counts: a target before its fill.
    Absent,
}

/// The way to the source's disk server: stream `disk/VM` of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginConfig {
    /// The agent's `tunnel.sock`.
    pub tunnel_socket: PathBuf,
    /// Id of the site that has the disk.
    pub site: String,
    /// Connections of the background fill; 1 to 16.
    #[serde(default = "default_connections")]
    pub connections: u32,
    /// How many bytes of the disk the fill may ask for in a second, in bits, until it is told otherwise; 0 for no bound.
    #[serde(default)]
    pub bits_per_second_max: u64,
}

fn default_connections() -> u32 {
    4
}

/// Test-only switches; all off by default. Counted from 1 since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Flips the last bit of that run of fetched data, after everything that could notice on the way in.
    #[serde(default)]
    pub corrupt_fetch: Option<u64>,
    /// Acknowledges that guest write without storing it.
    #[serde(default)]
    pub lose_write: Option<u64>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, is not a configuration, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::io("read configuration", path))?;
        let config: Self =
            serde_json::from_slice(&text).map_err(|source| Error::Config(source.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |text: &str| Err(Error::Config(text.into()));
        if self.vm.is_empty() || self.vm.len() > 128 || self.vm.contains(['@', '#', '/', ' ', '\n']) {
            return bad("vm: must be a plain name of 1 to 128 bytes");
        }
        if self.disk_bytes == 0 || !self.disk_bytes.is_multiple_of(512) {
            return bad("disk_bytes: must be a positive multiple of 512");
        }
        match &self.origin {
            Some(origin) if !(1..=16).contains(&origin.connections) => {
                bad("origin.connections: must be 1 to 16")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The folder's socket of that name.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.sockets.join(name)
    }
}
