//! Moves packets between two TUN interfaces through a shaper per direction.
//!
//! Two threads a direction: the reader takes packets from the interface and asks the shaper; the deliverer waits until
//! each one is due. Packets keep their order, so the flight between the two is a plain queue. Its bound follows from the
//! shaper: at most the link's queue and what fits onto the wire during the delay.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::link::{Config, End, Link, LinkChange, Stats};
use super::shaper::{Shaper, Verdict};
use crate::netns::{self, Netns};
use crate::{network, precedence};

/// Ethernet's.
const MTU: u16 = 1500;
/// The kernel's own 1000 packets overflow when the emulator is kept from running for a few milliseconds.
const INTERFACE_QUEUE: u32 = 10_000;
/// Delivering late by so much costs nothing; a sleep for less costs more than it gives.
const EARLY_ENOUGH: Duration = Duration::from_micros(30);
/// How often a reader without packets looks whether it shall stop.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Why a WAN could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A site's namespace cannot be entered.
    #[error("enter a site")]
    Netns(#[from] netns::Error),
    /// The TUN interface cannot be made.
    #[error("make interface {interface} in {netns}")]
    Interface {
        /// Name of the interface.
        interface: String,
        /// Name of the namespace.
        netns: String,
        /// Why.
        source: io::Error,
    },
    /// The interface cannot be given its address.
    #[error("configure the interface")]
    Network(#[from] network::Error),
}

/// A running WAN; dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    stop: AtomicBool,
    settings: Mutex<Settings>,
    a_to_b: Mutex<Shaper>,
    b_to_a: Mutex<Shaper>,
}

#[derive(Debug)]
struct Settings {
    link: Link,
    cut: bool,
}

struct Packet {
    due: u64,
    bytes: Vec<u8>,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("five hundred years fit")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

impl Emulator {
    /// Makes both interfaces and starts carrying packets.
    ///
    /// # Errors
    /// When a namespace does not exist, an interface is there already, or without root.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            settings: Mutex::new(Settings { link: config.link.clone(), cut: false }),
            a_to_b: Mutex::new(Shaper::new(config.link.clone(), 0)),
            b_to_a: Mutex::new(Shaper::new(config.link.clone(), 1)),
        });
        let a = Arc::new(open(&config.a)?);
        let b = Arc::new(open(&config.b)?);
        let mut threads = carry(&shared, Arc::clone(&a), Arc::clone(&b), |shared| &shared.a_to_b);
        threads.extend(carry(&shared, b, a, |shared| &shared.b_to_a));
        Ok(Self { shared, threads })
    }

    /// Changes the link; packets on the wire keep their arrival.
    pub fn change(&self, change: &LinkChange) {
        let mut settings = lock(&self.shared.settings);
        settings.link = settings.link.changed(change);
        let now = self.shared.now();
        lock(&self.shared.a_to_b).change(now, settings.link.clone());
        lock(&self.shared.b_to_a).change(now, settings.link.clone());
    }

    /// Drops everything, also what is in flight, or carries again.
    pub fn set_cut(&self, cut: bool) {
        lock(&self.shared.settings).cut = cut;
        lock(&self.shared.a_to_b).set_cut(cut);
        lock(&self.shared.b_to_a).set_cut(cut);
    }

    /// Settings and figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let settings = lock(&self.shared.settings);
        Stats {
            link: settings.link.clone(),
            cut: settings.cut,
            a_to_b: lock(&self.shared.a_to_b).counters(),
            b_to_a: lock(&self.shared.b_to_a).counters(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _panicked = thread.join();
        }
    }
}

fn open(end: &End) -> Result<SyncDevice, Error> {
    Netns::named(&end.netns).run(|| {
        let device = DeviceBuilder::new()
            .name(&end.interface)
            .layer(Layer::L3)
            .mtu(MTU)
            .tx_queue_len(INTERFACE_QUEUE)
            .build_sync()
            .and_then(|device| device.set_nonblocking(true).map(|()| device));
        let device = device.map_err(|source| Error::Interface {
            interface: end.interface.clone(),
            netns: end.netns.clone(),
            source,
        })?;
        network::bring_up(&end.interface, end.address)?;
        Ok(device)
    })?
}

/// Which of the two shapers a thread works on.
type Direction = fn(&Shared) -> &Mutex<Shaper>;

fn carry(
    shared: &Arc<Shared>,
    from: Arc<SyncDevice>,
    to: Arc<SyncDevice>,
    direction: Direction,
) -> Vec<JoinHandle<()>> {
    let (sender, receiver) = channel();
    let reader = Arc::clone(shared);
    let deliverer = Arc::clone(shared);
    vec![
        std::thread::spawn(move || read(&reader, &from, direction, &sender)),
        std::thread::spawn(move || deliver(&deliverer, &to, direction, &receiver)),
    ]
}

fn read(shared: &Shared, from: &SyncDevice, direction: Direction, flight: &Sender<Packet>) {
    precedence::take("WAN");
    let mut buffer = [0; 2 * MTU as usize];
    while !shared.stop.load(Ordering::Relaxed) {
        let length = match from.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_readable(from);
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "the WAN's interface is gone");
                return;
            }
        };
        let verdict = lock(direction(shared)).offer(shared.now(), length);
        let Verdict::Arrives(due) = verdict else { continue };
        if flight.send(Packet { due, bytes: buffer[..length].to_vec() }).is_err() {
            return;
        }
    }
}

fn wait_readable(device: &SyncDevice) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_AROUND.subsec_nanos()) };
    // An interrupted wait is a short one: the caller reads again.
    let _woken = poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&timeout));
}

fn deliver(shared: &Shared, to: &SyncDevice, direction: Direction, flight: &Receiver<Packet>) {
    precedence::take("WAN");
    // Ends when the reader, the only sender, has ended.
    while let Ok(packet) = flight.recv() {
        let wait = Duration::from_nanos(packet.due.saturating_sub(shared.now()));
        if wait > EARLY_ENOUGH && !shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(wait);
        }
        if lock(direction(shared)).deliver() {
            // The receiving kernel may refuse a packet as any network may lose one; TCP repairs it.
            let _refused = to.send(&packet.bytes);
        }
    }
}
