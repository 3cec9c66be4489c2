//! One VM's QEMU.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use longhaul_model::ids::VmId;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::command::{Begin, Launch, arguments, export};
use super::error::Error;
use super::paths::Paths;
use super::process::Process;
use super::runtime::Runtime;
use super::state::RunState;
use crate::facts::Epoch;
use crate::qmp::Client;

/// The program.
const QEMU: &str = "qemu-system-x86_64";

/// From start to ready. QEMU needs a fraction of a second; a disk server that is still coming up a little more.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long QEMU may take to end by itself. It flushes its disk first, which waits for the disk server.
const QUIT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the kernel may take to bury a killed QEMU.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// For commands that QEMU answers from memory.
const ASK_DEADLINE: Duration = Duration::from_secs(10);

/// How much of QEMU's log an error message quotes.
const LOG_QUOTED_BYTES: usize = 600;

/// A live QEMU, shared by cloning. All clones use one QMP connection; QEMU serves one client at a time, so an agent adopts
/// a machine once and clones it: a second adoption beside a living first one would wait for its answers in vain.
#[derive(Debug, Clone)]
pub struct Machine {
    paths: Paths,
    runtime: Runtime,
    qmp: Client,
}

impl Machine {
    /// Starts the guest.
    ///
    /// # Errors
    /// [`Error::AlreadyRuns`], [`Error::Refused`], [`Error::Late`], [`Error::PathTooLong`], [`Error::Io`]; no process is
    /// left behind.
    pub async fn start(launch: &Launch) -> Result<Self, Error> {
        Self::begin(launch, Begin::Boot).await
    }

    /// Starts a QEMU that waits, stopped, for a guest's state.
    ///
    /// # Errors
    /// As [`Machine::start`].
    pub async fn start_incoming(launch: &Launch) -> Result<Self, Error> {
        Self::begin(launch, Begin::Incoming).await
    }

    async fn begin(launch: &Launch, begin: Begin) -> Result<Self, Error> {
        let (vm, paths) = (&launch.vm.id, &launch.paths);
        paths.check()?;
        if let Some(machine) = Self::adopt(paths, vm)? {
            return Err(Error::AlreadyRuns { vm: vm.clone(), pid: machine.runtime.pid });
        }
        prepare_folder(paths)?;
        spawn(launch, begin).await?;
        Self::adopt(paths, vm)?.ok_or_else(|| Error::Ended { vm: vm.clone() })
    }

    /// Finds the VM's QEMU again; `None` if none lives. Works from the pid file and the process alone if the agent died
    /// before it wrote the note beside it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn adopt(paths: &Paths, vm: &VmId) -> Result<Option<Self>, Error> {
        let note = Runtime::read(&paths.runtime())?;
        let Some((process, epoch)) = find(paths, vm)? else { return Ok(None) };
        let runtime = Runtime { vm: vm.clone(), pid: process.pid, start_ticks: process.start_ticks, epoch };
        if note.as_ref() != Some(&runtime) {
            runtime.write(&paths.runtime())?;
        }
        let qmp = Client::new(&paths.qmp());
        Ok(Some(Self { paths: paths.clone(), runtime, qmp }))
    }

    /// Whether the VM's last QEMU died without being asked to: one that ends in good order removes its pid file, and so
    /// does whoever ends one here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_crashed(paths: &Paths, vm: &VmId) -> Result<bool, Error> {
        Ok(paths.pid().exists() && find(paths, vm)?.is_none())
    }

    /// From now on the VM's last QEMU counts as one that was ended; changes nothing while it lives.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget_crash(paths: &Paths, vm: &VmId) -> Result<(), Error> {
        if Self::has_crashed(paths, vm)? { remove(&paths.pid()) } else { Ok(()) }
    }

    /// Its files.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Its process.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Its QMP client, for commands this module does not know.
    #[must_use]
    pub fn qmp(&self) -> &Client {
        &self.qmp
    }

    /// Whether this very process still lives.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_alive(&self) -> Result<bool, Error> {
        Ok(self.process()?.is_some())
    }

    /// What the guest is doing; `None` if the process is gone.
    ///
    /// # Errors
    /// [`Error::Qmp`] while the process lives but does not answer; [`Error::Io`].
    pub async fn state(&self) -> Result<Option<RunState>, Error> {
        match self.qmp.execute("query-status", Value::Null, ASK_DEADLINE).await {
            Ok(status) => Ok(Some(RunState::from_qemu(status["status"].as_str().unwrap_or_default()))),
            Err(error) => match self.process()? {
                Some(process) if !process.ended(Duration::from_millis(200)).await.unwrap_or(true) => {
                    Err(error.into())
                }
                Some(_) | None => Ok(None),
            },
        }
    }

    /// Lets the guest run.
    ///
    /// # Errors
    /// [`Error::Qmp`].
    pub async fn cont(&self) -> Result<(), Error> {
        self.qmp.execute("cont", Value::Null, ASK_DEADLINE).await?;
        Ok(())
    }

    /// Ends the QEMU: asks it first, then kills it. A second call finds nothing to do.
    ///
    /// # Errors
    /// [`Error::Survived`], [`Error::Io`].
    pub async fn stop(&self) -> Result<(), Error> {
        let Some(process) = self.process()? else { return Ok(()) };
        // What counts is that the process ends; a refusal or a lost answer shows in the wait below.
        let _ = self.qmp.execute("quit", Value::Null, QUIT_DEADLINE).await;
        self.end(&process, QUIT_DEADLINE).await
    }

    /// Kills the QEMU without asking: for a guest whose state is worth nothing.
    ///
    /// # Errors
    /// As [`Machine::stop`].
    pub async fn kill(&self) -> Result<(), Error> {
        match self.process()? {
            Some(process) => self.end(&process, Duration::ZERO).await,
            None => Ok(()),
        }
    }

    async fn end(&self, process: &Process, patience: Duration) -> Result<(), Error> {
        let io = |source| Error::Io { path: self.paths.pid(), source };
        if !process.ended(patience).await.map_err(io)? {
            process.kill().map_err(io)?;
            if !process.ended(KILL_DEADLINE).await.map_err(io)? {
                let (vm, pid) = (self.runtime.vm.clone(), process.pid);
                return Err(Error::Survived { vm, pid, deadline: KILL_DEADLINE });
            }
        }
        self.forget(process)
    }

    /// Removes the pid file, unless the next QEMU has written its own meanwhile.
    fn forget(&self, process: &Process) -> Result<(), Error> {
        let written = fs::read_to_string(self.paths.pid()).unwrap_or_default();
        if written.trim().parse() == Ok(process.pid) { remove(&self.paths.pid()) } else { Ok(()) }
    }

    fn process(&self) -> Result<Option<Process>, Error> {
        let found = find(&self.paths, &self.runtime.vm)?;
        let same = |process: &Process| process.start_ticks == self.runtime.start_ticks;
        Ok(found.map(|(process, _)| process).filter(same))
    }
}

/// The live process of the pid file, if its command line says that it is this VM's QEMU with these files.
fn find(paths: &Paths, vm: &VmId) -> Result<Option<(Process, Epoch)>, Error> {
    let io = |source| Error::Io { path: paths.pid(), source };
    let text = match fs::read_to_string(paths.pid()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    let Ok(pid) = text.trim().parse() else { return Ok(None) };
    let Some(process) = Process::hold(pid).map_err(io)? else { return Ok(None) };
    Ok(epoch_of(&process.arguments, paths, vm).map(|epoch| (process, epoch)))
}

fn epoch_of(arguments: &[String], paths: &Paths, vm: &VmId) -> Option<Epoch> {
    let after = |flag: &str| arguments.iter().skip_while(move |word| *word != flag).nth(1);
    if after("-pidfile").map(Path::new) != Some(&paths.pid()) {
        return None;
    }
    let prefix = format!("guest={vm},process={}", export(vm.as_str(), Epoch(0)).trim_end_matches('0'));
    after("-name")?.strip_prefix(&prefix)?.parse().ok().map(Epoch)
}

/// Makes the folder and removes what an earlier QEMU left in it.
fn prepare_folder(paths: &Paths) -> Result<(), Error> {
    fs::create_dir_all(paths.folder())
        .map_err(|source| Error::Io { path: paths.folder().to_owned(), source })?;
    for path in [paths.pid(), paths.runtime(), paths.qmp(), paths.observer(), paths.qemu_log()] {
        remove(&path)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Starts QEMU and waits until it has detached itself. Its words go to its log: a pipe would be held open by the daemon.
async fn spawn(launch: &Launch, begin: Begin) -> Result<(), Error> {
    let log = launch.paths.qemu_log();
    let io = |source| Error::Io { path: log.clone(), source };
    let said = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(io)?;
    let mut child = Command::new(QEMU)
        .args(arguments(launch, begin))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Io { path: QEMU.into(), source })?;
    let vm = launch.vm.id.clone();
    match timeout(START_DEADLINE, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(_)) => Err(ended(vm, &end_of_log(&log))),
        Ok(Err(source)) => Err(io(source)),
        Err(_) => {
            give_up(launch).await?;
            Err(Error::Late { vm, deadline: START_DEADLINE })
        }
    }
}

/// Ends a QEMU that forked but never became ready. Its parent, our child, is killed when it is dropped.
async fn give_up(launch: &Launch) -> Result<(), Error> {
    match Machine::adopt(&launch.paths, &launch.vm.id)? {
        Some(machine) => machine.kill().await,
        None => Ok(()),
    }
}

fn end_of_log(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_QUOTED_BYTES);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[from..].trim().to_owned()
}

/// Why a QEMU did not become ready. One that cannot start complains; one that was killed leaves warnings at most.
fn ended(vm: VmId, said: &str) -> Error {
    let is_complaint = |line: &&str| !line.trim().is_empty() && !line.contains("warning:");
    match said.lines().find(is_complaint) {
        Some(_) => Error::Refused { vm, said: said.to_owned() },
        None => Error::Ended { vm },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says why it cannot start will say so again; one that ends with nothing but a warning was killed.
    #[test]
    fn a_complaint_is_told_from_a_kill() {
        let vm = || "vm-a".parse::<VmId>().unwrap();
        let warned = "qemu-system-x86_64: warning: TCG doesn't support requested feature";
        assert!(matches!(ended(vm(), ""), Error::Ended { .. }));
        assert!(matches!(ended(vm(), warned), Error::Ended { .. }));
        let complained = ended(vm(), &format!("{warned}\nunsupported machine type"));
        assert!(matches!(complained, Error::Refused { .. }), "{complained}");
    }
}
