//! Processes as the kernel shows them: identified, waited for, ended.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A live process, held so that its pid cannot come to mean another one.
#[derive(Debug)]
pub(super) struct Process {
    handle: OwnedFd,
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    pub(super) arguments: Vec<String>,
}

impl Process {
    /// Takes hold of a process; `None` if there is none with this pid or it is dead and not yet buried.
    pub(super) fn hold(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let handle = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (Some(stat), Some(line)) = (look(pid, "stat")?, look(pid, "cmdline")?) else { return Ok(None) };
        let Some(start_ticks) = alive_since(&stat) else { return Ok(None) };
        let arguments = line.split('\0').map(str::to_owned).collect();
        Ok(Some(Self { handle, pid, start_ticks, arguments }))
    }

    /// Kills it.
    pub(super) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end; whether it came in time. A caller that stops waiting leaves a thread behind for no longer than the
    /// deadline.
    pub(super) async fn ended(&self, deadline: Duration) -> io::Result<bool> {
        let handle = self.handle.try_clone()?;
        let wait = move || {
            let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
            let ready = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout))?;
            Ok(ready > 0)
        };
        tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?
    }
}

/// A file of `/proc/PID`; `None` when the process has gone.
fn look(pid: u32, file: &str) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The start time in `/proc/PID/stat` (proc(5): field 22; field 3 is the state), unless the process is dead. The name, field
/// 2, may hold blanks and parentheses: what counts begins after the last one.
fn alive_since(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start time is read past a name that tries to look like fields, and a zombie does not count as alive.
    #[test]
    fn the_start_time_is_field_22_of_a_live_process() {
        let rest = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(alive_since(&format!("7 (a) b (c) S {rest}")), Some(4711));
        assert_eq!(alive_since(&format!("7 (a) Z {rest}")), None);
        let own = Process::hold(std::process::id()).unwrap().unwrap();
        assert!(own.start_ticks > 0 && !own.arguments.is_empty());
    }

    /// A process that is killed is seen to end, and its pid then belongs to nobody.
    #[tokio::test]
    async fn a_killed_process_is_seen_to_end() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let held = Process::hold(child.id()).unwrap().unwrap();
        assert!(!held.ended(Duration::from_millis(20)).await.unwrap());
        held.kill().unwrap();
        assert!(held.ended(Duration::from_secs(5)).await.unwrap());
        assert!(Process::hold(child.id()).unwrap().is_none());
        child.wait().unwrap();
    }
}
