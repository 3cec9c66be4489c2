//! An observation: threads inside the client's namespace that look until they are told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dns::Resolver;
use super::relay::{self, Fault};
use super::view::ClientView;
use super::{requests, ticker};
use crate::addresses;
use crate::netns::{self, Netns};
use crate::place::Side;

const TICKER: u16 = 7000;

/// Why an observation could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's namespace cannot be entered.
    #[error("enter the client's namespace")]
    Netns(#[from] netns::Error),
    /// The relay that makes a fault cannot listen.
    #[error("start the relay")]
    Relay(#[source] io::Error),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to look from; `None` for the caller's own namespace.
    pub netns: Option<Netns>,
    /// The ticker, under the address it had at the beginning.
    pub ticker: SocketAddr,
    /// The name requests go to; `None` for no requests.
    pub name: Option<String>,
    /// Who is asked for the name.
    pub servers: Vec<SocketAddr>,
    /// Between two requests.
    pub interval: Duration,
    /// Broken on purpose.
    pub fault: Option<Fault>,
}

impl Options {
    /// Ticker of the lab's guest under its home address, and requests to `VM.ZONE` five times a second by both sites'
    /// servers.
    #[must_use]
    pub fn of_lab(netns: Option<Netns>, vm: &str) -> Self {
        Self {
            netns,
            ticker: SocketAddr::from((addresses::GUEST, TICKER)),
            name: Some(format!("{vm}.{}", addresses::ZONE)),
            servers: Side::BOTH
                .map(|side| SocketAddr::from((addresses::edge(side), addresses::DNS_PORT)))
                .into(),
            interval: Duration::from_millis(200),
            fault: None,
        }
    }
}

/// What the threads of an observation share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stop: AtomicBool,
    view: Mutex<ClientView>,
    stopped: Condvar,
}

impl Shared {
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut ClientView) -> T) -> T {
        change(&mut self.view.lock().expect("no holder panics"))
    }

    /// Waits, at most until the observation ends.
    pub(super) fn rest(&self, time: Duration) {
        let view = self.view.lock().expect("no holder panics");
        // Woken early or not, the caller looks whether it shall stop.
        let _woken = self.stopped.wait_timeout_while(view, time, |_| !self.stopping());
    }
}

/// A running observation; dropping it ends it too.
#[derive(Debug)]
pub struct Observation {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Observation {
    /// Begins to look.
    ///
    /// # Errors
    /// When the namespace cannot be entered. A guest that does not answer is no error but a finding.
    pub fn start(options: Options) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let relayed = options.fault.map(|fault| {
            let start = || relay::start(options.ticker, fault);
            let started = options.netns.as_ref().map_or_else(|| Ok(start()), |netns| netns.run(start))?;
            started.map_err(Error::Relay)
        });
        let ticker = relayed.transpose()?.unwrap_or(options.ticker);
        let mut threads =
            vec![inside(options.netns.clone(), &shared, move |shared| ticker::read(shared, ticker))?];
        if let Some(name) = options.name {
            let resolver = Resolver::new(options.servers, name);
            let work = move |shared: &Shared| requests::repeat(shared, resolver, options.interval);
            threads.push(inside(options.netns, &shared, work)?);
        }
        Ok(Self { shared, threads })
    }

    /// What was seen so far.
    #[must_use]
    pub fn view(&self) -> ClientView {
        self.shared.update(|view| view.clone())
    }

    /// Stops looking; what was seen. A request in flight is waited for, at most its own deadline.
    #[must_use]
    pub fn stop(mut self) -> ClientView {
        self.end();
        self.view()
    }

    fn end(&mut self) {
        self.shared.update(|_| self.shared.stop.store(true, Ordering::Relaxed));
        self.shared.stopped.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end();
    }
}

fn inside(
    netns: Option<Netns>,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    // Entered twice: here so that a failure is told, on the thread because that is where it counts.
    if let Some(netns) = &netns {
        netns.run(|| ())?;
    }
    let shared = Arc::clone(shared);
    Ok(std::thread::spawn(move || match netns.map_or(Ok(()), |netns| netns.enter()) {
        Ok(()) => work(&shared),
        Err(error) => tracing::error!(%error, "observation cannot look"),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Instant;

    use super::*;

    /// A ticker like the guest's on a port of its own; its threads end with the test's process.
    fn ticker() -> SocketAddr {
        ticker_of(u64::MAX)
    }

    /// The same, which says so many lines and then keeps its connections open in silence.
    fn ticker_of(lines: u64) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    (1..=lines).take_while(|n| writeln!(stream, "{n} 0").is_ok()).for_each(|_| {
                        std::thread::sleep(Duration::from_millis(1));
                    });
                    std::thread::park();
                });
            }
        });
        address
    }

    fn observe(fault: Option<Fault>, until: impl Fn(&ClientView) -> bool) -> ClientView {
        observe_at(ticker(), fault, until)
    }

    fn observe_at(
        ticker: SocketAddr,
        fault: Option<Fault>,
        until: impl Fn(&ClientView) -> bool,
    ) -> ClientView {
        let options = Options {
            netns: None,
            ticker,
            name: None,
            servers: Vec::new(),
            interval: Duration::from_millis(10),
            fault,
        };
        let observation = Observation::start(options).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !until(&observation.view()) {
            assert!(Instant::now() < deadline, "not seen: {:?}", observation.view());
            std::thread::sleep(Duration::from_millis(2));
        }
        observation.stop()
    }

    /// A healthy ticker gives a whole view.
    #[test]
    fn a_healthy_connection_is_intact() {
        let view = observe(None, |view| view.lines > 100);
        assert!(view.connection_intact() && !view.fell_silent(), "{view:?}");
    }

    /// A connection that stays open and silent is no connection that counts on.
    #[test]
    fn a_connection_that_falls_silent_does_not_count_on() {
        let view = observe_at(ticker_of(20), None, |view| view.lines == 20 && view.fell_silent());
        assert_eq!((view.missing, view.resets, view.connections), (0, 0, 1), "{view:?}");
        assert!(view.last_line_at_unix_ms.is_some() && !view.counted_on_after(0), "{view:?}");
        assert!(view.connection_intact() && view.silent_ms > 2_000, "{view:?}");
    }

    /// One swallowed line is noticed, and nothing else is reported with it.
    #[test]
    fn a_dropped_line_is_missing() {
        let view = observe(Some(Fault::DropLine), |view| view.lines > 100);
        assert_eq!((view.missing, view.duplicates, view.resets), (1, 0, 0), "{view:?}");
        assert!(!view.connection_intact());
    }

    /// A reset connection is noticed, with its time, and made again.
    #[test]
    fn a_reset_connection_is_counted() {
        let view = observe(Some(Fault::ResetFlow), |view| view.connections == 2 && view.lines > 60);
        assert_eq!((view.resets, view.failures.len()), (1, 1), "{view:?}");
        assert!(!view.failures[0].is_of_request(), "{view:?}");
        assert!(!view.connection_intact());
    }
}
