//! A lab's processes, found and killed from outside.

use std::time::{Duration, Instant};

use longhaul_lab::Lab;
use longhaul_lab::netns::Netns;
use longhaul_lab::place::{Place, Side};
use rustix::process::{Pid, Signal, kill_process};

/// Words by which the processes of a site are known.
pub(in crate::moves) const QEMU: &str = "qemu-system-x86_64";
pub(in crate::moves) const DISK_SERVER: &str = "disk-server";
pub(in crate::moves) const AGENT: &str = "agent";

/// For anything that takes a second on a quiet machine.
pub(in crate::moves) const SOON: Duration = Duration::from_secs(90);
/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The processes inside a site whose program has this name, or whose first argument is this word.
pub(in crate::moves) fn of(lab: &Lab, side: Side, word: &str) -> Vec<Pid> {
    inside(&lab.netns(Place::Site(side)), word)
}

/// The same for whoever has no lab at hand.
pub(in crate::moves) fn inside(site: &Netns, word: &str) -> Vec<Pid> {
    let inside = site.processes();
    inside.into_iter().filter(|pid| arguments(*pid).iter().take(2).any(|it| it.ends_with(word))).collect()
}

/// Kills the processes, waits until they are gone and says how many there were.
pub(in crate::moves) fn kill(lab: &Lab, side: Side, word: &str) -> Result<usize, String> {
    let doomed = of(lab, side, word);
    if end(&doomed) { Ok(doomed.len()) } else { Err(format!("a killed {word} lives on")) }
}

/// Kills processes and waits until they are gone; false if one is not.
pub(in crate::moves) fn end(doomed: &[Pid]) -> bool {
    for pid in doomed {
        // One that ended by itself meanwhile is as dead.
        let _ = kill_process(*pid, Signal::KILL);
    }
    wait(SOON, || !doomed.iter().any(|pid| lives(*pid)))
}

/// Waits until something holds; false if it does not in time.
pub(in crate::moves) fn wait(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

fn arguments(pid: Pid) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Whether anything of a process is there: its first thread may be a zombie while others still hold its files.
fn lives(pid: Pid) -> bool {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let threads = std::fs::read_dir(format!("{folder}/task")).map_or(0, Iterator::count);
    let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    threads > 1 || state.is_some_and(|state| state != 'Z')
}
