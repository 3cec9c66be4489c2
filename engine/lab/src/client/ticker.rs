//! Reads the guest's ticker over one connection for the whole time, and checks the numbers.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::observe::Shared;
use super::view::{Failure, TICKER, unix_ms};

const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How often a silent reader looks whether it shall stop.
const LOOK_AROUND: Duration = Duration::from_millis(50);
/// Before a lost connection is made again.
const RETRY: Duration = Duration::from_millis(100);

/// Reads until the observation ends; a lost connection is counted and made again.
pub(super) fn read(shared: &Shared, address: SocketAddr) {
    while !shared.stopping() {
        let begun = (unix_ms(), Instant::now());
        let Err(error) = follow(shared, address) else { return };
        shared.update(|view| {
            view.note(Failure {
                at_unix_ms: begun.0,
                took_ms: u64::try_from(begun.1.elapsed().as_millis()).unwrap_or(u64::MAX),
                what: format!("{TICKER}{error}"),
            });
        });
        std::thread::sleep(RETRY);
    }
}

/// Follows one connection; returns without an error when the observation ends.
fn follow(shared: &Shared, address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
    stream.set_read_timeout(Some(LOOK_AROUND))?;
    shared.update(|view| view.connections += 1);
    let mut reader = BufReader::new(stream);
    let mut check = Check { expected: 1, last: Instant::now(), last_unix_ms: unix_ms() };
    let mut line = String::new();
    while !shared.stopping() {
        match reader.read_line(&mut line) {
            Ok(0) => return Err(lost(shared, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) if line.ends_with('\n') => {
                check.accept(shared, &line);
                line.clear();
            }
            Ok(_) => {}
            Err(error) if is_silence(&error) => check.silence(shared),
            Err(error) => return Err(lost(shared, error)),
        }
    }
    check.silence(shared);
    Ok(())
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn lost(shared: &Shared, error: io::Error) -> io::Error {
    shared.update(|view| view.resets += 1);
    error
}

/// Where a connection stands.
struct Check {
    expected: u64,
    last: Instant,
    last_unix_ms: u64,
}

impl Check {
    /// A line without a number counts as one that is missing.
    fn accept(&mut self, shared: &Shared, line: &str) {
        self.silence(shared);
        (self.last, self.last_unix_ms) = (Instant::now(), unix_ms());
        let number = line.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        shared.update(|view| {
            view.lines += 1;
            view.last_line_at_unix_ms = Some(self.last_unix_ms);
            view.silent_ms = 0;
            match number {
                Some(number) if number >= self.expected => {
                    view.missing += number - self.expected;
                    self.expected = number + 1;
                }
                Some(_) => view.duplicates += 1,
                None => view.missing += 1,
            }
        });
    }

    fn silence(&self, shared: &Shared) {
        let gap_ms = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.update(|view| {
            view.silent_ms = gap_ms;
            if gap_ms > view.longest_gap_ms {
                (view.longest_gap_ms, view.gap_at_unix_ms) = (gap_ms, self.last_unix_ms);
            }
        });
    }
}
