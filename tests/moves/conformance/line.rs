//! The way from the controller to a site's agent: a relay that can be shut while the agent lives.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes connections on until it is shut; gone when dropped.
pub(super) struct Line {
    address: SocketAddr,
    passing: Arc<Mutex<Passing>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    All,
    /// So many more connections, and none after them.
    Some(u32),
    /// The line is gone.
    Gone,
}

impl Line {
    pub(super) fn to(agent: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let passing = Arc::new(Mutex::new(Passing::All));
        let here = Arc::clone(&passing);
        std::thread::spawn(move || {
            for incoming in listener.incoming() {
                let mut passing = here.lock().unwrap_or_else(PoisonError::into_inner);
                match &mut *passing {
                    Passing::Gone => return,
                    Passing::Some(0) => continue,
                    Passing::Some(left) => *left -= 1,
                    Passing::All => {}
                }
                drop(passing);
                // An agent that is not there is a connection that ends.
                let _ = incoming.and_then(|incoming| relay(incoming, TcpStream::connect(agent)?));
            }
        });
        Self { address, passing }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many more connections through, and then none.
    pub(super) fn shut_after(&self, connections: u32) {
        self.set(Passing::Some(connections));
    }

    pub(super) fn open(&self) {
        self.set(Passing::All);
    }

    fn set(&self, passing: Passing) {
        *self.passing.lock().unwrap_or_else(PoisonError::into_inner) = passing;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.set(Passing::Gone);
        // Wakes the thread up, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

/// Copies both ways, each on a thread of its own, until either end is closed.
fn relay(near: TcpStream, far: TcpStream) -> io::Result<()> {
    let copies = [(near.try_clone()?, far.try_clone()?), (far, near)];
    for (mut from, mut to) in copies {
        std::thread::spawn(move || {
            // However it ended, it is over in both directions.
            let _ = io::copy(&mut from, &mut to);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
