//! The note beside the pid file: which process, since when, under which epoch.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use longhaul_model::ids::VmId;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::facts::Epoch;

/// A QEMU process as it was started. For finding it again; the right to run is in the facts, not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// The VM.
    pub vm: VmId,
    /// The process.
    pub pid: u32,
    /// When the kernel started it, in clock ticks since boot: a reused pid has another.
    pub start_ticks: u64,
    /// The epoch in the name of its disk export. It stays for the life of the process, also when the VM resumes
    /// here under a later epoch.
    pub epoch: Epoch,
}

impl Runtime {
    /// Reads the note; `None` if there is none or it is torn (the pid file and the command line then serve).
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path: path.to_owned(), source }),
        }
    }

    /// Writes the note, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let draft = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).expect("a runtime is texts and numbers");
        let mut file = fs::File::create(&draft).map_err(io)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&draft, path).map_err(io)
    }
}
