//! Judges from outside whether exactly one copy runs: asks both hypervisors and both disk servers, and nobody else.
//!
//! The two sites cannot be asked in one instant, so the answers are interleaved: A, B, A, B, ... Two copies ran at the
//! same time when one site said "runs" before **and** after the other one said so. A hand-over between two questions
//! therefore is not mistaken for a second runner.
//!
//! Who does not answer is not seen. So it is measured for how long a hypervisor that was there said nothing, and where that was
//! long around a change of place, nothing is proven.

mod disks;
mod silence;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::disks::{DiskServers, Look};
use self::silence::{Ear, Heard};
use crate::client::unix_ms;
use crate::lab::Lab;
use crate::place::Side;
use crate::precedence;
use crate::qmp::{self, Qmp};

pub use self::silence::Silence;

/// Whoever needs longer to answer is stuck, and counts as silent.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Between two tries to reach a hypervisor that is not there.
const RETRY: Duration = Duration::from_millis(50);
/// How long a hypervisor may say nothing around a change of place. An emulated guest keeps QEMU's main loop waiting for a while
/// when it is stopped and when its last memory is sent: up to 384 ms were measured around a hand-over on two cores that others
/// kept busy too.
pub const SILENCE_MAX: Duration = Duration::from_millis(500);
/// How far from a change of place a silence matters.
const NEAR_MS: u64 = 3_000;
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
    /// How long a hypervisor may say nothing around a change of place.
    pub silence_max: Duration,
}

impl Options {
    /// The lab's VM, every 3 ms.
    #[must_use]
    pub fn of_lab(lab: &Lab) -> Self {
        Self {
            hypervisors: Side::BOTH.map(|side| lab.files().observer_socket(side, lab.vm())),
            disks: Side::BOTH.map(|side| lab.files().disk_socket(side, lab.vm())),
            interval: Duration::from_millis(3),
            silence_max: SILENCE_MAX,
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
    /// The longest time without an answer from a hypervisor that was there, A first.
    #[serde(default)]
    pub longest_silence_ms: [u64; 2],
    /// The times without an answer that were longer than allowed around a change of place, whenever they were.
    #[serde(default)]
    pub silences: Vec<Silence>,
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
    /// Whether something was seen, and never two at once: neither two hypervisors that ran, nor two writers, nor a time around
    /// a change of place in which there could have been two unseen.
    #[must_use]
    pub fn exactly_one(&self) -> bool {
        self.answered > 0
            && self.unseen().is_none()
            && self.writers_seen()
            && self.second_runner.is_empty()
            && self.second_writer.is_empty()
    }

    /// The first time around a change of place in which a hypervisor that was there said nothing for too long.
    #[must_use]
    pub fn unseen(&self) -> Option<&Silence> {
        let near = |silence: &&Silence| {
            self.changes.iter().any(|change| silence.is_near(change.at_unix_ms, NEAR_MS))
        };
        self.silences.iter().find(near)
    }

    /// Takes a time without an answer. One that goes on is taken again and again, longer each time.
    fn note(&mut self, silence: Silence, silence_max: Duration) {
        let longest = &mut self.longest_silence_ms[usize::from(silence.side == Side::B)];
        *longest = silence.length_ms().max(*longest);
        if u128::from(silence.length_ms()) <= silence_max.as_millis() {
            return;
        }
        let begun =
            |known: &&mut Silence| (known.side, known.from_unix_ms) == (silence.side, silence.from_unix_ms);
        if let Some(known) = self.silences.iter_mut().rev().find(begun) {
            *known = silence;
        } else if self.silences.len() < CHANGES_MAX {
            self.silences.push(silence);
        }
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
    let [a, b] = options.hypervisors.clone();
    let (mut a, mut b) = (Hypervisor::new(Side::A, a), Hypervisor::new(Side::B, b));
    let mut disks = DiskServers::new(options.disks.clone());
    precedence::take("observer");
    while !shared.stop.load(Ordering::Relaxed) {
        let ask = |hypervisor: &mut Hypervisor| {
            let (heard, silence) = hypervisor.ask();
            if let Some(silence) = silence {
                shared.view().note(silence, options.silence_max);
            }
            heard.answer()
        };
        let seen = [ask(&mut a), ask(&mut b), ask(&mut a)];
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
    ear: Ear,
    last: Heard,
}

impl Hypervisor {
    fn new(side: Side, socket: PathBuf) -> Self {
        Self { socket, connection: None, retry: Pace::new(), ear: Ear::at(side), last: Heard::Nobody }
    }

    /// What became of a question, and the silence that it ended or that goes on.
    fn ask(&mut self) -> (Heard, Option<Silence>) {
        let asked = unix_ms();
        if self.connection.is_some() || self.retry.due(RETRY) {
            self.last = self.question();
        }
        (self.last, self.ear.hear((asked, unix_ms()), self.last))
    }

    fn question(&mut self) -> Heard {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Qmp::try_connect(&self.socket, ANSWER_MAX),
        };
        let answered = connection.and_then(|mut qmp| qmp.running(ANSWER_MAX).map(|running| (qmp, running)));
        match answered {
            Ok((connection, running)) => {
                self.connection = Some(connection);
                Heard::Answer(running)
            }
            Err(error) if is_silence(&error) => Heard::Silence,
            Err(_) => Heard::Nobody,
        }
    }
}

/// Whether somebody is there who does not answer. Others have nobody at their other end, or lost it over the question.
fn is_silence(error: &qmp::Error) -> bool {
    match error {
        qmp::Error::Socket { source, .. } => {
            matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        }
        qmp::Error::Refused { .. } | qmp::Error::Late { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

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

    fn silence(side: Side, from_unix_ms: u64, to_unix_ms: u64) -> Silence {
        Silence { side, from_unix_ms, to_unix_ms }
    }

    /// A hypervisor that says nothing for longer than allowed around a change of place proves nothing; far from one, or for a
    /// shorter time, it does no harm.
    #[test]
    fn a_long_silence_around_a_change_is_no_proof() {
        let moved_at = 100_000;
        let with = |silences: &[Silence]| {
            let mut view = ObserverView::default();
            view.look(1_000, [RUNS, None, RUNS]);
            view.look(moved_at, [STOPPED, RUNS, STOPPED]);
            view.look_at_disks(moved_at, BOTH);
            silences.iter().for_each(|silence| view.note(*silence, SILENCE_MAX));
            view
        };
        for (side, from, to) in [
            (Side::A, 99_800, 100_300),
            (Side::A, 50_000, 52_000),
            (Side::B, 96_000, 96_900),
            (Side::B, 103_100, 104_000),
        ] {
            let view = with(&[silence(side, from, to)]);
            assert!(view.exactly_one(), "{view:?}");
            assert_eq!(view.longest_silence_ms[usize::from(side == Side::B)], to - from);
        }
        for (side, from, to) in [
            (Side::A, 99_800, 100_301),
            (Side::A, 90_000, 110_000),
            (Side::B, 96_000, 97_000),
            (Side::B, 103_000, 104_000),
        ] {
            let view = with(&[silence(side, from, to)]);
            assert_eq!(view.unseen(), Some(&silence(side, from, to)));
            assert!(!view.exactly_one(), "{view:?}");
        }
    }

    /// A silence that goes on is one silence, as long as it was in the end.
    #[test]
    fn a_silence_that_goes_on_is_one() {
        let mut view = ObserverView::default();
        for to in [10_200, 10_500, 11_000] {
            view.note(silence(Side::A, 10_000, to), SILENCE_MAX);
            view.note(silence(Side::B, to, to + 3), SILENCE_MAX);
        }
        assert_eq!(view.silences, [silence(Side::A, 10_000, 11_000)]);
        assert_eq!(view.longest_silence_ms, [1_000, 3]);
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

    /// A QEMU that takes connections and says nothing is heard as silent, also when it answered before; one that is gone is not.
    #[test]
    fn a_stuck_hypervisor_is_silent_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("observer.sock");
        let mut hypervisor = Hypervisor::new(Side::A, socket.clone());
        assert_eq!(hypervisor.ask(), (Heard::Nobody, None));
        let listener = UnixListener::bind(&socket).unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let qemu = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\":{}}\n").unwrap();
            for answer in [&b"{\"return\":{}}\n"[..], b"{\"return\":{\"running\":true}}\n"] {
                lines.next().unwrap().unwrap();
                stream.write_all(answer).unwrap();
            }
            // Stuck, with its socket open.
            stopped.recv().unwrap_err();
        });
        let until = Instant::now() + Duration::from_secs(10);
        while hypervisor.ask().0 != Heard::Answer(true) {
            assert!(Instant::now() < until, "it never answered");
        }
        let (heard, silence) = hypervisor.ask();
        assert_eq!(heard, Heard::Silence);
        assert!(silence.unwrap().length_ms() >= 500, "{silence:?}");
        drop(stop);
        qemu.join().unwrap();
        while hypervisor.ask().0 != Heard::Nobody {
            assert!(Instant::now() < until, "it never went");
        }
        assert_eq!(hypervisor.ask().1, None);
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
