//! HTTP requests by name at a steady interval, each over a connection of its own.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::dns::Resolver;
use super::observe::Shared;
use super::view::{Failure, unix_ms};

const PORT: u16 = 80;
/// A request fails after so long; a lost first packet alone costs a second.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: u64 = 4096;
const BODY: &[u8] = b"longhaul guest";

/// Makes requests until the observation ends.
pub(super) fn repeat(shared: &Shared, mut resolver: Resolver, interval: Duration) {
    while !shared.stopping() {
        let (at_unix_ms, begun) = (unix_ms(), Instant::now());
        let outcome = resolver.address().map_err(|error| format!("name: {error}")).and_then(|address| {
            shared.update(|view| view.last_answer = Some(address));
            let made = request(address).map_err(|error| format!("request to {address}: {error}"));
            made.map(|()| address)
        });
        shared.update(|view| {
            view.requests += 1;
            match outcome {
                Ok(address) => view.succeeded(address, at_unix_ms),
                Err(what) => {
                    view.failed_requests += 1;
                    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    view.note(Failure { at_unix_ms, took_ms, what });
                }
            }
        });
        shared.rest(interval.saturating_sub(begun.elapsed()));
    }
}

fn request(address: Ipv4Addr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), REQUEST_MAX)?;
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    stream.set_write_timeout(Some(REQUEST_MAX))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let good = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(BODY);
    if good { Ok(()) } else { Err(io::Error::other("the answer is not the guest's")) }
}
