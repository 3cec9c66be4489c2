//! What a lab is made with.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::guest;
use crate::name::LabName;
use crate::wan::Link;

/// What a lab is made with.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// The state folder; the lab lives in `labs/NAME` below it.
    pub state: PathBuf,
    /// The lab's name.
    pub name: LabName,
    /// The WAN's first settings.
    pub link: Link,
    /// What the guest's writers do.
    pub guest: guest::Options,
    /// The `longhaul` binary that runs the agents and the WAN.
    pub binary: PathBuf,
    /// More arguments for both agents.
    pub agent_arguments: Vec<OsString>,
}

impl UpOptions {
    /// The default lab, run by the current executable.
    ///
    /// # Errors
    /// When the current executable cannot be found.
    pub fn new(state: &Path) -> io::Result<Self> {
        Ok(Self {
            state: state.to_owned(),
            name: LabName::default(),
            link: Link::default(),
            guest: guest::Options::default(),
            binary: std::env::current_exe()?,
            agent_arguments: Vec::new(),
        })
    }
}
