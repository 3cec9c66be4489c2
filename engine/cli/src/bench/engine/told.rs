//! A worker's process, from its start to its end.
//!
//! ```text
//!   WORKER SHAPE STEPS RUNS FOLDER -> one line of JSON when it is through -> it waits until its input is closed
//! ```
//!
//! While it waits, the memory of all that it started can be read. It has a process group of its own, and nothing of that
//! outlives the measurement.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;

use crate::bench::process::shown;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// For one measurement with its start-up: far longer than any that counts.
const DEADLINE: Duration = Duration::from_secs(180);
const END_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LINE_CHARS_MAX: usize = 300;

/// What came of a worker.
#[derive(Debug)]
pub(super) enum Heard<T> {
    /// What it said, and the most memory that it and its children held, in bytes.
    Through(T, u64),
    /// It did not come that far; what it said instead.
    Failed(String),
}

/// A running worker; what is left of it ends with this.
pub(super) struct Worker {
    child: Child,
    text: String,
    lines: mpsc::Receiver<String>,
}

impl Worker {
    /// Starts it; what it complains about goes to `said`.
    pub(super) fn start(mut command: Command, said: &Path) -> Result<Self> {
        let text = shown(&command);
        let file = File::create(said).doing(exit_code::FAILED, || format!("write {}", said.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).process_group(0);
        let mut child = command.spawn().doing(exit_code::FAILED, || format!("run `{text}`"))?;
        let output = child.stdout.take().expect("it is a pipe");
        let (sender, lines) = mpsc::channel();
        // Ends with the worker's output.
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(std::io::Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, text, lines })
    }

    /// Waits for its line, and for its end.
    pub(super) fn hear<T: DeserializeOwned>(mut self, said: &Path) -> Heard<T> {
        let line = match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Heard::Failed(format!("`{}` took more than {} s", self.text, DEADLINE.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => return Heard::Failed(self.complaint(said)),
        };
        let Ok(told) = serde_json::from_str(&line) else {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            return Heard::Failed(format!("`{}` said `{line}`", self.text));
        };
        let peak_bytes = peak_bytes(self.child.id());
        drop(self.child.stdin.take());
        match self.wait() {
            true => Heard::Through(told, peak_bytes),
            false => Heard::Failed(self.complaint(said)),
        }
    }

    /// Waits for its line, and kills it where it stands.
    pub(super) fn hear_and_kill<T: DeserializeOwned>(mut self, said: &Path) -> Heard<T> {
        let line = self.lines.recv_timeout(DEADLINE);
        // SIGKILL: it has no time for anything.
        if self.child.kill().is_err() {
            return Heard::Failed(self.complaint(said));
        }
        match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
            Some(told) => Heard::Through(told, 0),
            None => Heard::Failed(self.complaint(said)),
        }
    }

    /// Whether it ends in time, and well.
    fn wait(&mut self) -> bool {
        let until = Instant::now() + END_MAX;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Ok(None) | Err(_) => return false,
            }
        }
    }

    fn complaint(&self, said: &Path) -> String {
        let text = fs::read_to_string(said).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        let line: String = last.trim().chars().take(LINE_CHARS_MAX).collect();
        format!("`{}` broke down and said: {line}", self.text)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Its group is gone when all of it has ended.
        let _gone = group.map(|group| kill_process_group(group, Signal::KILL));
        let _reaped = self.child.wait();
    }
}

/// The most memory that a process and its descendants have held, in bytes.
fn peak_bytes(root: u32) -> u64 {
    let processes: Vec<(u32, u32, u64)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| status(&entry.ok()?.path().join("status")))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(processes.iter().filter(|one| one.1 == parent).map(|one| one.0));
        next += 1;
    }
    processes.iter().filter(|one| family.contains(&one.0)).map(|one| one.2).sum()
}

/// A process's number, that of its parent, and the most memory it has held (proc(5)).
fn status(file: &Path) -> Option<(u32, u32, u64)> {
    let text = fs::read_to_string(file).ok()?;
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let [pid, parent] = [number("Pid:")?, number("PPid:")?].map(|number| u32::try_from(number).unwrap_or(0));
    Some((pid, parent, number("VmHWM:")? * 1024))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Heard<Value>) {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let heard = Worker::start(command, &said).unwrap().hear(&said);
        (folder, heard)
    }

    /// A worker is heard while it waits, with the memory of its children, and what it started does not outlive it.
    #[test]
    fn a_worker_is_heard() {
        let (_folder, heard) = shell("sleep 600 & echo $!; read line; exit 0");
        let Heard::Through(child, peak) = heard else { panic!("{heard:?}") };
        let both = peak;
        let (_folder, heard) = shell("echo 1; read line; exit 0");
        let Heard::Through(_, alone) = heard else { panic!("{heard:?}") };
        assert!(both > alone && alone > 0, "{both} {alone}");
        let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    /// One that breaks down, before its line or behind it, says why; so does one that says something else.
    #[test]
    fn a_worker_that_breaks_down_is_no_figure() {
        for script in ["echo first >&2; echo why >&2; exit 0", "echo 1; read line; echo why >&2; exit 3"] {
            let (_folder, Heard::Failed(why)) = shell(script) else { panic!("{script}") };
            assert!(why.ends_with("broke down and said: why"), "{why}");
        }
        let (_folder, Heard::Failed(why)) = shell("echo hello") else { panic!() };
        assert!(why.ends_with("said `hello`"), "{why}");
    }
}
