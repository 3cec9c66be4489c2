//! Asks the guest daemon, from inside the client's namespace.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::pattern::Stream;
use crate::netns::{self, Netns};

const STATISTICS: u16 = 7002;
const VERIFICATION: u16 = 7003;
const SAMPLES: u16 = 7004;
/// Between two rounds of reads; the pause of a hand-over is in there.
const SAMPLES_MAX: Duration = Duration::from_secs(10);
const HTTP: u16 = 80;
/// For a connection; an answer may take longer.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A whole disk read over a slow link.
const VERIFY_MAX: Duration = Duration::from_secs(180);
const RETRY: Duration = Duration::from_millis(20);

/// Why the guest could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's namespace cannot be entered.
    #[error("enter the client's namespace")]
    Netns(#[from] netns::Error),
    /// It does not answer.
    #[error("ask the guest at {address}")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// What a writer has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Pages written.
    pub writes_acked: u64,
    /// Pages compared.
    pub checked: u64,
    /// Pages found wrong.
    pub bad: u64,
}

/// What the disk writer has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterStats {
    /// Records written and flushed.
    pub writes_acked: u64,
    /// Records read back and compared.
    pub checked: u64,
    /// Records found wrong.
    pub bad: u64,
    /// Slowest flush, milliseconds.
    pub max_fsync_ms: u64,
}

/// The guest's own figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Of the memory writer.
    pub memory: MemoryStats,
    /// Of the disk writer; none for a guest without a disk.
    pub disk: Option<WriterStats>,
    /// Since the daemon was started.
    pub uptime_ms: u64,
}

/// What the guest found when it read everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Pages compared.
    pub memory_checked: u64,
    /// Pages wrong, now or found so by the writer before.
    pub memory_bad: u64,
    /// Records compared.
    pub disk_checked: u64,
    /// Records and files wrong, now or found so by the writer before.
    pub disk_bad: u64,
    /// Bytes of files compared.
    pub base_bytes_checked: u64,
    /// Files wrong; counted in `disk_bad` too.
    pub base_bad: u64,
    /// How long it took.
    pub took_ms: u64,
}

impl Verification {
    /// Whether nothing was lost, and something was looked at.
    #[must_use]
    pub fn good(&self) -> bool {
        self.memory_bad == 0 && self.disk_bad == 0 && self.memory_checked > 0
    }
}

/// What came of a round of samples of the guest's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// Bytes read.
    pub bytes: u64,
    /// Samples that were not what they should be.
    pub bad: u64,
    /// How long the guest took.
    pub took_ms: u64,
}

/// Asks one guest.
#[derive(Debug, Clone)]
pub struct Probe {
    client: Netns,
    address: Ipv4Addr,
}

impl Probe {
    /// Of the guest at `address`, seen from the namespace `client`.
    #[must_use]
    pub fn new(client: Netns, address: Ipv4Addr) -> Self {
        Self { client, address }
    }

    /// Waits until the guest answers.
    ///
    /// # Errors
    /// When it does not within `deadline`.
    pub fn wait_ready(&self, deadline: Duration) -> Result<Stats, Error> {
        let until = Instant::now() + deadline;
        loop {
            match self.stats() {
                Err(Error::Silent { .. }) if Instant::now() < until => std::thread::sleep(RETRY),
                outcome => return outcome,
            }
        }
    }

    /// The guest's figures.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.line(STATISTICS, CONNECT_MAX)
    }

    /// Makes the guest read all its memory and disk again; the pages and records must be what it wrote.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn verify(&self) -> Result<Verification, Error> {
        self.line(VERIFICATION, VERIFY_MAX)
    }

    /// Connects for samples of the guest's disk, which it reads as soon as it is told to.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn sampler(&self) -> Result<Sampler, Error> {
        let (address, stream) = self.connect(SAMPLES, SAMPLES_MAX)?;
        Ok(Sampler { address, stream })
    }

    /// Downloads `bytes` over HTTP; whether they were the right ones.
    ///
    /// # Errors
    /// When the guest does not answer in time or stops early.
    pub fn blob(&self, bytes: u64, seed: u64) -> Result<bool, Error> {
        let target = format!("GET /blob?bytes={bytes}&seed={seed} HTTP/1.1\r\nHost: guest\r\n\r\n");
        self.exchange(HTTP, VERIFY_MAX, |stream| {
            stream.write_all(target.as_bytes())?;
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            same(&mut reader, bytes, seed)
        })
    }

    fn line<T: DeserializeOwned>(&self, port: u16, patience: Duration) -> Result<T, Error> {
        self.exchange(port, patience, |stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        })
    }

    fn exchange<T>(
        &self,
        port: u16,
        patience: Duration,
        talk: impl FnOnce(&mut TcpStream) -> io::Result<T>,
    ) -> Result<T, Error> {
        let (address, mut stream) = self.connect(port, patience)?;
        talk(&mut stream).map_err(|source| Error::Silent { address, source })
    }

    fn connect(&self, port: u16, patience: Duration) -> Result<(SocketAddr, TcpStream), Error> {
        let address = SocketAddr::from((self.address, port));
        let connected = self.client.run(|| {
            let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        })?;
        let stream = connected.map_err(|source| Error::Silent { address, source })?;
        Ok((address, stream))
    }
}

/// A connection over which the guest reads samples of its disk.
#[derive(Debug)]
pub struct Sampler {
    address: SocketAddr,
    stream: TcpStream,
}

impl Sampler {
    /// Makes the guest read samples of every file from its disk, again and again: quick, and all over the disk. Every round is
    /// shown to `goes_on`, until that says no.
    ///
    /// # Errors
    /// When it does not answer, or stops to.
    pub fn read(mut self, goes_on: impl FnMut(Samples) -> bool) -> Result<(), Error> {
        let address = self.address;
        self.rounds(goes_on).map_err(|source| Error::Silent { address, source })
    }

    fn rounds(&mut self, mut goes_on: impl FnMut(Samples) -> bool) -> io::Result<()> {
        self.stream.write_all(b"\n")?;
        let mut lines = BufReader::new(&self.stream).lines();
        while let Some(line) = lines.next().transpose()? {
            if !goes_on(serde_json::from_str(&line)?) {
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Compares a stream with the content of `seed`; a short one is an error, not a difference.
fn same(reader: &mut impl Read, bytes: u64, seed: u64) -> io::Result<bool> {
    let mut content = Stream::new(seed);
    let (mut got, mut expected) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut left = bytes;
    let mut good = true;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(got.len());
        reader.read_exact(&mut got[..length])?;
        content.fill(&mut expected[..length]);
        good &= got[..length] == expected[..length];
        left -= length as u64;
    }
    Ok(good)
}
