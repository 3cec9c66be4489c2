//! A relay in front of the ticker's reader that breaks one thing, to prove that the reader notices.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;

/// Lines that pass before the fault is made.
const HEALTHY_LINES: u64 = 50;
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// What a relay breaks, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One ticker line is swallowed.
    DropLine,
    /// The connection is reset.
    ResetFlow,
}

/// Starts a relay to `upstream` in the calling thread's namespace; it ends with the process. Its address.
pub(super) fn start(upstream: SocketAddr, fault: Fault) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut fault = Some(fault);
        // One connection at a time: there is one reader.
        for stream in listener.incoming().flatten() {
            if let Err(error) = pass(stream, upstream, &mut fault) {
                tracing::debug!(%error, "relayed connection ended");
            }
        }
    });
    Ok(address)
}

fn pass(mut down: TcpStream, upstream: SocketAddr, fault: &mut Option<Fault>) -> io::Result<()> {
    down.set_nodelay(true)?;
    let mut up = BufReader::new(TcpStream::connect_timeout(&upstream, CONNECT_MAX)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if up.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match fault.take_if(|_| number > HEALTHY_LINES) {
            Some(Fault::DropLine) => continue,
            // Lingering for no time turns the close into a reset.
            Some(Fault::ResetFlow) => return SockRef::from(&down).set_linger(Some(Duration::ZERO)),
            None => down.write_all(&line)?,
        }
    }
    Ok(())
}
