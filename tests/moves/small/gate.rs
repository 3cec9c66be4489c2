//! The socket to which the agents tell the points of a move, and at which they are held.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longhaul_agent::faults::FaultPoint;

/// An agent that was just connected says its line at once.
const LINE_MAX: Duration = Duration::from_secs(5);
/// How often somebody who waits looks whether it still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Learns of every point and holds those that are wanted, until they are released or their agent dies.
pub(in crate::moves) struct Gate {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: BTreeSet<FaultPoint>,
    held: BTreeMap<FaultPoint, UnixStream>,
    reached: BTreeSet<FaultPoint>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, stream: UnixStream) {
        let mut line = String::new();
        let _ = stream.set_read_timeout(Some(LINE_MAX));
        // An agent that died before it said where it was reached nothing.
        let _ = BufReader::new(&stream).read_line(&mut line);
        let Some(point) = FaultPoint::ALL.iter().find(|point| point.name() == line.trim_end()) else {
            return;
        };
        let mut state = self.state();
        state.reached.insert(*point);
        if state.wanted.contains(point) {
            state.held.insert(*point, stream);
        }
        self.changed.notify_all();
    }
}

impl Gate {
    pub(in crate::moves) fn open(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let shared = Arc::<Shared>::default();
        let here = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if here.state().closed {
                    return;
                }
                here.arrived(stream.unwrap());
            }
        });
        Self { path: path.to_owned(), shared }
    }

    /// From now on these are held, others pass, and none was reached.
    pub(in crate::moves) fn hold(&self, points: impl IntoIterator<Item = FaultPoint>) {
        let mut state = self.shared.state();
        state.wanted = points.into_iter().collect();
        state.held.clear();
        state.reached.clear();
    }

    /// Waits until an agent is held at the point; false when it makes no sense any more or takes too long.
    pub(in crate::moves) fn wait(
        &self,
        point: FaultPoint,
        until: Instant,
        mut in_vain: impl FnMut() -> bool,
    ) -> bool {
        let mut state = self.shared.state();
        while !state.held.contains_key(&point) {
            if Instant::now() > until {
                return false;
            }
            let (woken, late) =
                self.shared.changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if late.timed_out() && in_vain() {
                return state.held.contains_key(&point);
            }
        }
        true
    }

    /// Lets whoever is held at the point go on, and holds nobody there again.
    pub(in crate::moves) fn release(&self, point: FaultPoint) {
        let mut state = self.shared.state();
        state.wanted.remove(&point);
        state.held.remove(&point);
    }

    /// Lets everybody go on.
    pub(in crate::moves) fn release_all(&self) {
        let mut state = self.shared.state();
        state.wanted.clear();
        state.held.clear();
    }

    /// The points reached since `hold`.
    pub(in crate::moves) fn reached(&self) -> BTreeSet<FaultPoint> {
        self.shared.state().reached.clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.release_all();
        self.shared.state().closed = true;
        // Wakes the thread up, which then ends; if it has ended there is nobody to wake.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}
