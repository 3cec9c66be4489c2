//! Network namespaces: make, enter, find who is inside, remove.
//!
//! A namespace is entered on a thread made for it and never on one that goes on afterwards: a runtime's worker that
//! changed its namespace would take unrelated sockets with it. Names live in `/run/netns`, where `ip netns` sees them.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

const FOLDER: &str = "/run/netns";

/// What went wrong with a namespace.
#[derive(Debug, thiserror::Error)]
#[error("{action} network namespace {name}")]
pub struct Error {
    action: &'static str,
    name: String,
    source: io::Error,
}

/// A named network namespace, which may or may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

/// Which namespace an open one is: device and inode of its file in the kernel's namespace file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Netns {
    /// The namespace of that name; touches nothing.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that keeps it alive.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    fn failed(&self, action: &'static str, source: impl Into<io::Error>) -> Error {
        Error { action, name: self.name.clone(), source: source.into() }
    }

    /// Makes the namespace.
    ///
    /// # Errors
    /// When the name is taken, or without root.
    pub fn create(&self) -> Result<(), Error> {
        let failed = |source: io::Error| self.failed("create", source);
        fs::create_dir_all(FOLDER).map_err(failed)?;
        fs::OpenOptions::new().write(true).create_new(true).open(self.path()).map_err(failed)?;
        let bound = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                leave_network()?;
                mount_bind("/proc/thread-self/ns/net", self.path())
            });
            thread.join().expect("neither call panics")
        });
        bound.map_err(|error| {
            // Best effort: the error that matters is the one that is returned.
            let _left = fs::remove_file(self.path());
            failed(error.into())
        })
    }

    /// Whether the name is taken, also by what a killed `create` left.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Moves the calling thread inside; for threads made for this purpose only.
    ///
    /// # Errors
    /// When the namespace does not exist, or without root.
    pub fn enter(&self) -> Result<(), Error> {
        let file = fs::File::open(self.path()).map_err(|source| self.failed("open", source))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|source| self.failed("enter", source))
    }

    /// Runs `work` on a thread of its own inside the namespace and waits for it.
    ///
    /// # Errors
    /// As [`Netns::enter`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| work()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a process inside the namespace.
    ///
    /// # Errors
    /// As [`Netns::enter`], and when the program cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child, Error> {
        self.run(|| command.spawn())?.map_err(|source| self.failed("start a process in", source))
    }

    /// The processes whose main thread is inside, without the caller.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let Some(wanted) = Identity::of(&self.path()) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| Identity::of(Path::new(&format!("/proc/{pid}/ns/net"))) == Some(wanted))
            .filter_map(Pid::from_raw)
            .filter(|pid| *pid != rustix::process::getpid())
            .collect()
    }

    /// Kills everything inside; how many processes that were.
    pub fn kill_all(&self) -> usize {
        let found = self.processes();
        for pid in &found {
            // It may have ended meanwhile, which is what is wanted.
            let _ended = kill_process(*pid, Signal::KILL);
        }
        found.len()
    }

    /// Removes the name; the namespace and its interfaces go with its last process. A second call does nothing.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn delete(&self) -> Result<(), Error> {
        if !self.exists() {
            return Ok(());
        }
        // Not mounted: what a `create` killed between its two steps left.
        let _not_mounted = unmount(self.path(), UnmountFlags::DETACH);
        fs::remove_file(self.path()).map_err(|source| self.failed("delete", source))
    }
}

#[expect(deprecated, reason = "the successor is unsafe for the sake of FILES; NEWNET alone is sound")]
fn leave_network() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
}
