//! Judges from outside whether exactly one copy runs: asks both hypervisors and both disk servers, and nobody else.
//!
//! The two sites cannot be asked in one instant, so the answers are interleaved: A, B, A, B, ... Two copies ran at the
//! same time when one site said "runs" before **and** after the other one said so. A hand-over between two questions
//! therefore is not mistaken for a second runner.

mod disks;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::disks::{DiskServers, Look};
use crate::client::unix_ms;
use crate::lab::Lab;
use crate::place::Side;
use crate::qmp::Qmp;

/// Whoever needs longer to answer is stuck, and counts as silent.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Between two tries to reach a hypervisor that is not there.
const RETRY: Duration = Duration::from_millis(50);
/// Changes kept; more are only counted by the instants with two.
const CHANGES_MAX: usize = 1_000;

/// Where one VM can be looked at, A first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// QEMU's machine-protocol sockets for observers.
    pub hypervisors: [PathBuf; 2],
    /// The disk servers' control sockets.
    pub disks: [PathBuf; 2],
    /// Between two rounds of questions.
    pub interval: Duration,
}

impl Options {
    /// The lab's VM, every 3 ms.
    #[must_use]
    pub fn of_lab(lab: &Lab) -> Self {
        Self {
            hypervisors: Side::BOTH.map(|side| lab.files().observer_socket(side, lab.vm())),
            disks: Side::BOTH.map(|side| lab.files().disk_socket(side, lab.vm())),
            interval: Duration::from_millis(3),
        }
    }
}

/// What an observer saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverView {
    /// Rounds of questions.
    pub rounds: u64,
    /// Rounds in which some hypervisor answered.
    pub answered: u64,
    /// When two copies ran, milliseconds since the epoch; the first instants of that kind.
    #[serde(rename = "second_runner_at_unix_ms")]
    pub second_runner: Vec<u64>,
    /// When writers wrote at both disk servers between two looks, or one might write at the server with the lower epoch after
    /// another one had written at the server with the higher one.
    #[serde(rename = "second_writer_at_unix_ms")]
    pub second_writer: Vec<u64>,
    /// Answers of each disk server about its writers, A first.
    #[serde(default)]
    pub disk_answers: [u64; 2],
    /// Where the VM ran, by turns.
    pub changes: Vec<Change>,
    /// Where it ran last.
    pub runs_at: Option<Side>,
}

/// Where a VM began to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at_unix_ms: u64,
    /// Where; `None` for nowhere.
    pub runs_at: Option<Side>,
}

impl ObserverView {
    /// Whether something was seen, and never two at once: neither two hypervisors that ran, nor two writers.
    #[must_use]
    pub fn exactly_one(&self) -> bool {
        self.answered > 0
            && self.writers_seen()
            && self.second_runner.is_empty()
            && self.second_writer.is_empty()
    }

    /// Whether the disk server of every site where the VM ran has answered.
    fn writers_seen(&self) -> bool {
        let ran_at = |side| self.changes.iter().any(|change| change.runs_at == Some(side));
        Side::BOTH.into_iter().zip(self.disk_answers).all(|(side, answers)| answers > 0 || !ran_at(side))
    }

    /// When the VM began to run where it runs; `None` unless that is this side.
    #[must_use]
    pub fn arrived_at_unix_ms(&self, side: Side) -> Option<u64> {
        self.changes.last().filter(|change| change.runs_at == Some(side)).map(|change| change.at_unix_ms)
    }

    /// Takes one look at the hypervisors: whether A ran, then B, then A again.
    fn look(&mut self, at_unix_ms: u64, seen: [Option<bool>; 3]) {
        let [before, other, after] = seen.map(|running| running == Some(true));
        self.rounds += 1;
        self.answered += u64::from(seen.iter().any(Option::is_some));
        if before && other && after && self.second_runner.len() < CHANGES_MAX {
            self.second_runner.push(at_unix_ms);
        }
        let runs_at = match (after, other) {
            (true, _) => Some(Side::A),
            (false, true) => Some(Side::B),
            (false, false) => None,
        };
        if runs_at != self.runs_at {
            self.runs_at = runs_at;
            if self.changes.len() < CHANGES_MAX {
                self.changes.push(Change { at_unix_ms, runs_at });
            }
        }
    }

    fn look_at_disks(&mut self, at_unix_ms: u64, look: Look) {
        for (answers, answered) in self.disk_answers.iter_mut().zip(look.answered) {
            *answers += u64::from(answered);
        }
        if look.second_writer && self.second_writer.len() < CHANGES_MAX {
            self.second_writer.push(at_unix_ms);
        }
    }
}

/// A running observer; dropping it ends it too.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    view: Mutex<ObserverView>,
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, ObserverView> {
        self.view.lock().expect("no holder panics")
    }
}

impl Observer {
    /// Begins to look. Sockets that are not there yet are waited for.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = std::thread::spawn(move || observe(&options, &told));
        Self { shared, thread: Some(thread) }
    }

    /// Where the VM runs now, as far as it was seen.
    #[must_use]
    pub fn runs_at(&self) -> Option<Side> {
        self.shared.view().runs_at
    }

    /// Stops looking; what was seen.
    #[must_use]
    pub fn stop(mut self) -> ObserverView {
        self.end();
        self.shared.view().clone()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.end();
    }
}

fn observe(options: &Options, shared: &Shared) {
    let [mut a, mut b] = options.hypervisors.clone().map(Hypervisor::new);
    let mut disks = DiskServers::new(options.disks.clone());
    while !shared.stop.load(Ordering::Relaxed) {
        let seen = [a.running(), b.running(), a.running()];
        shared.view().look(unix_ms(), seen);
        if let Some(look) = disks.look() {
            shared.view().look_at_disks(unix_ms(), look);
        }
        std::thread::sleep(options.interval);
    }
}

/// Something that may not be there, tried again now and then.
#[derive(Debug)]
struct Pace {
    next: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { next: Instant::now() }
    }

    fn due(&mut self, every: Duration) -> bool {
        let due = Instant::now() >= self.next;
        if due {
            self.next = Instant::now() + every;
        }
        due
    }
}

#[derive(Debug)]
struct Hypervisor {
    socket: PathBuf,
    connection: Option<Qmp>,
    retry: Pace,
}

impl Hypervisor {
    fn new(socket: PathBuf) -> Self {
        Self { socket, connection: None, retry: Pace::new() }
    }

    /// `None` when it does not answer.
    fn running(&mut self) -> Option<bool> {
        if self.connection.is_none() && self.socket.exists() && self.retry.due(RETRY) {
            self.connection = Qmp::try_connect(&self.socket, ANSWER_MAX).ok();
        }
        let answer = self.connection.as_mut()?.running(ANSWER_MAX).ok();
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Option<bool> = Some(true);
    const STOPPED: Option<bool> = Some(false);
    const BOTH: Look = Look { answered: [true, true], second_writer: false };

    /// Two copies are seen when A runs before and after B does.
    #[test]
    fn two_running_copies_are_seen() {
        let mut view = ObserverView::default();
        view.look(1, [RUNS, STOPPED, RUNS]);
        view.look(2, [RUNS, RUNS, RUNS]);
        assert_eq!(view.second_runner, [2]);
        assert!(!view.exactly_one());
    }

    /// A hand-over between two questions is a change of place and no second runner.
    #[test]
    fn a_hand_over_is_not_a_second_runner() {
        let mut view = ObserverView::default();
        view.look(1, [RUNS, None, RUNS]);
        view.look(2, [RUNS, RUNS, STOPPED]);
        view.look(3, [STOPPED, RUNS, None]);
        view.look_at_disks(3, BOTH);
        assert!(view.exactly_one(), "{view:?}");
        assert_eq!(
            view.changes.iter().map(|change| change.runs_at).collect::<Vec<_>>(),
            [Some(Side::A), Some(Side::B)]
        );
        assert_eq!((view.arrived_at_unix_ms(Side::A), view.arrived_at_unix_ms(Side::B)), (None, Some(2)));
    }

    /// An observer that nobody answered has not seen exactly one.
    #[test]
    fn silence_is_no_proof() {
        let mut view = ObserverView::default();
        view.look(1, [None, None, None]);
        assert!(!view.exactly_one());
    }

    /// Where the VM ran, its disk server has to have said who writes.
    #[test]
    fn a_silent_disk_server_is_no_proof() {
        let mut view = ObserverView::default();
        view.look(1, [RUNS, STOPPED, RUNS]);
        assert!(!view.exactly_one());
        view.look_at_disks(1, Look { answered: [true, false], second_writer: false });
        assert!(view.exactly_one(), "{view:?}");
        view.look(2, [STOPPED, RUNS, STOPPED]);
        assert!(!view.exactly_one());
        view.look_at_disks(3, BOTH);
        assert!(view.exactly_one(), "{view:?}");
    }

    /// Two writers are seen although one copy runs at a time.
    #[test]
    fn two_writers_are_seen() {
        let mut view = ObserverView::default();
        view.look(1, [RUNS, STOPPED, RUNS]);
        view.look_at_disks(1, BOTH);
        assert!(view.exactly_one());
        view.look_at_disks(2, Look { second_writer: true, ..BOTH });
        assert_eq!(view.second_writer, [2]);
        assert!(!view.exactly_one());
    }
}
