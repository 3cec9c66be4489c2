//! What QEMU says a guest is doing.

/// QEMU's run state (`query-status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// The guest runs.
    Running,
    /// Stopped by a command; what an incoming guest is once it is loaded.
    Paused,
    /// Started with `-S` and never run.
    Prelaunch,
    /// Receives its state.
    Inmigrate,
    /// Stopped to send the last of its state.
    FinishMigrate,
    /// Its state was sent; QEMU does not run it on its own any more.
    Postmigrate,
    /// Stopped by a disk error (`werror=stop`).
    IoError,
    /// The guest switched itself off.
    Shutdown,
    /// The guest crashed, or QEMU cannot go on.
    Broken,
    /// Something else of QEMU's: being saved, restored, debugged, suspended.
    Other,
}

impl RunState {
    /// Reads QEMU's word.
    #[must_use]
    pub fn from_qemu(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "paused" => Self::Paused,
            "prelaunch" => Self::Prelaunch,
            "inmigrate" => Self::Inmigrate,
            "finish-migrate" => Self::FinishMigrate,
            "postmigrate" => Self::Postmigrate,
            "io-error" => Self::IoError,
            "shutdown" => Self::Shutdown,
            "guest-panicked" | "internal-error" => Self::Broken,
            _ => Self::Other,
        }
    }
}
