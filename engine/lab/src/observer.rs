//! Judges from outside whether exactly one copy runs: asks both hypervisors and both disk servers, and nobody else.
//!
//! Each hypervisor is asked again and again by a thread of its own, which also hears when the guest's CPUs start and stop there,
//! with the hypervisor's own time. Two copies ran at the same time when the times of both sites have an instant in common.
//!
//! Who has not spoken yet is not seen. So it is measured for how long a hypervisor that was there had said nothing, and where
//! that was long around a change of place, nothing is proven.

mod disks;
mod history;
mod hypervisor;
mod view;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::disks::{DiskServers, Look};
use self::history::History;
use self::hypervisor::Hypervisor;
use crate::lab::Lab;
use crate::place::Side;
use crate::precedence;

pub use self::view::{Change, ObserverView, Silence};

/// Whoever needs longer to answer is stuck, and is waited for again.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// For how long nobody may know around a change of place what a hypervisor does that is there.
pub const SILENCE_MAX: Duration = Duration::from_millis(500);
/// Instants with two writers that are kept.
const WRITERS_MAX: usize = 1_000;

/// Where one VM can be looked at, A first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// QEMU's machine-protocol sockets for observers.
    pub hypervisors: [PathBuf; 2],
    /// The disk servers' control sockets.
    pub disks: [PathBuf; 2],
    /// Between two questions to the same one.
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

/// A running observer; dropping it ends it too.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    sites: [History; 2],
    disk_answers: [u64; 2],
    second_writer: Vec<u64>,
}

impl Seen {
    fn look_at_disks(&mut self, look: Look) {
        for (answers, answered) in self.disk_answers.iter_mut().zip(look.answered) {
            *answers += u64::from(answered);
        }
        if look.second_writer && self.second_writer.len() < WRITERS_MAX {
            self.second_writer.push(now_us() / 1_000);
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Looks again and again, and once more after it was told to stop.
    fn watch(&self, interval: Duration, mut look: impl FnMut()) {
        precedence::take("observer");
        loop {
            let last = self.stop.load(Ordering::Relaxed);
            look();
            if last {
                return;
            }
            std::thread::sleep(interval);
        }
    }
}

impl Observer {
    /// Begins to look. Sockets that are not there yet are waited for.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let seen =
            Seen { sites: Side::BOTH.map(History::of), disk_answers: [0; 2], second_writer: Vec::new() };
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), seen: Mutex::new(seen) });
        let mut threads = Vec::new();
        for (site, socket) in options.hypervisors.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let mut hypervisor = Hypervisor::at(socket);
            threads.push(std::thread::spawn(move || {
                let note = |tell: &dyn Fn(&mut History)| tell(&mut shared.seen().sites[site]);
                shared.watch(options.interval, || hypervisor.ask(&note));
            }));
        }
        let told = Arc::clone(&shared);
        let mut disks = DiskServers::new(options.disks);
        threads.push(std::thread::spawn(move || {
            told.watch(disks::INTERVAL, || {
                let look = disks.look();
                told.seen().look_at_disks(look);
            });
        }));
        Self { shared, threads }
    }

    /// Where the VM runs now, as far as it was seen.
    #[must_use]
    pub fn runs_at(&self) -> Option<Side> {
        view::runs_at(self.shared.seen().sites.each_ref().map(History::runs_now))
    }

    /// Stops looking; what was seen.
    #[must_use]
    pub fn stop(mut self) -> ObserverView {
        self.end();
        let seen = self.shared.seen();
        ObserverView {
            disk_answers: seen.disk_answers,
            second_writer: seen.second_writer.clone(),
            ..ObserverView::of(&seen.sites)
        }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
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

/// Microseconds since the epoch.
fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
