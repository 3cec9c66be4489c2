//! The services: one thread a connection, at most [`CONNECTIONS_MAX`] a service.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Guest;
use crate::pattern::Stream;

const CONNECTIONS_MAX: usize = 64;
const TICK: Duration = Duration::from_millis(10);
/// Between two rounds of samples.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);
const REQUEST_BYTES_MAX: u64 = 8192;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
const BLOB_BYTES_MAX: u64 = 1 << 30;

type Service = fn(&Guest, TcpStream) -> io::Result<()>;

/// Starts every service; each has its listener open when this returns.
pub(crate) fn all(guest: &Arc<Guest>) {
    let services: [(u16, Service); 5] =
        [(80, http), (7000, ticker), (7002, statistics), (7003, verification), (7004, samples)];
    for (port, service) in services {
        let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
        let guest = Arc::clone(guest);
        std::thread::spawn(move || accept(&guest, &listener, service));
    }
}

fn accept(guest: &Arc<Guest>, listener: &TcpListener, service: Service) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (guest, open) = (Arc::clone(guest), Arc::clone(&open));
        std::thread::spawn(move || {
            // A client that goes away is no fault of the guest's.
            let _gone = service(&guest, stream);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn ticker(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for sequence in 1u64.. {
        stream.write_all(format!("{sequence} {}\n", guest.started.elapsed().as_nanos()).as_bytes())?;
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn http(_guest: &Guest, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME_MAX))?;
    let mut lines = BufReader::new((&stream).take(REQUEST_BYTES_MAX)).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines.by_ref() {
        if line?.is_empty() {
            break;
        }
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    match target.split_once('?').unwrap_or((target, "")) {
        ("/", _) => respond(stream, "200 OK", 14, |mut out| out.write_all(b"longhaul guest")),
        ("/blob", query) => {
            let bytes = parameter(query, "bytes", 1 << 20).min(BLOB_BYTES_MAX);
            let seed = parameter(query, "seed", 1);
            respond(stream, "200 OK", bytes, |out| send_blob(out, bytes, seed))
        }
        _ => respond(stream, "404 Not Found", 0, |_| Ok(())),
    }
}

fn parameter(query: &str, name: &str, default: u64) -> u64 {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(default)
}

fn respond(
    mut stream: TcpStream,
    status: &str,
    length: u64,
    body: impl FnOnce(TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    body(stream)
}

fn send_blob(mut out: TcpStream, bytes: u64, seed: u64) -> io::Result<()> {
    let mut content = Stream::new(seed);
    let mut piece = vec![0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        content.fill(&mut piece[..length]);
        out.write_all(&piece[..length])?;
        left -= length as u64;
    }
    Ok(())
}

fn statistics(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    let memory = {
        let set = guest.memory.lock().expect("no thread panics: a panic ends the guest");
        format!(r#"{{"writes_acked":{},"checked":{},"bad":{}}}"#, set.writes_acked, set.checked, set.bad)
    };
    let disk = guest.disk.as_ref().map_or_else(
        || "null".to_owned(),
        |log| {
            let log = log.lock().expect("no thread panics: a panic ends the guest");
            format!(
                r#"{{"writes_acked":{},"checked":{},"bad":{},"max_fsync_ms":{}}}"#,
                log.writes_acked, log.checked, log.bad, log.max_fsync_ms
            )
        },
    );
    let uptime_ms = guest.started.elapsed().as_millis();
    writeln!(stream, r#"{{"memory":{memory},"disk":{disk},"uptime_ms":{uptime_ms}}}"#)
}

/// Reads everything again. `memory_bad` and `disk_bad` also hold what the writers found wrong before.
fn verification(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    let begun = Instant::now();
    let (memory_checked, memory_bad) = {
        let mut set = guest.memory.lock().expect("no thread panics: a panic ends the guest");
        let before = set.bad;
        let (checked, bad) = set.verify();
        (checked, before + bad)
    };
    let (records_checked, records_bad) = guest.disk.as_ref().map_or((0, 0), |log| {
        let mut log = log.lock().expect("no thread panics: a panic ends the guest");
        let before = log.bad;
        let (checked, bad) = log.verify();
        (checked, before + bad)
    });
    let (base_bytes, base_bad) = guest.base.verify();
    writeln!(
        stream,
        r#"{{"memory_checked":{memory_checked},"memory_bad":{memory_bad},"disk_checked":{records_checked},"disk_bad":{},"base_bytes_checked":{base_bytes},"base_bad":{base_bad},"took_ms":{}}}"#,
        records_bad + base_bad,
        begun.elapsed().as_millis()
    )
}

/// Reads that nothing in the guest's memory can answer, all over the disk and quickly over; again and again until the client
/// goes away. They begin when the client says a word.
fn samples(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    loop {
        let begun = Instant::now();
        let (bytes, bad) = guest.base.verify_samples();
        let took_ms = begun.elapsed().as_millis();
        writeln!(stream, r#"{{"bytes":{bytes},"bad":{bad},"took_ms":{took_ms}}}"#)?;
        std::thread::sleep(BETWEEN_ROUNDS);
    }
}
