//! Measures a tunnel's goodput over a stream that the far end discards.
//!
//! The far end counts, because only what arrived is goodput: after the stream's end it answers with the bytes and
//! microseconds of the second half of the time, when TCP has found the link's rate.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::class::Class;
use super::error::Error;
use super::shared::Tunnel;
use super::stream::Stream;

/// Under this name the far end runs [`serve_echo`].
pub const ECHO_SERVICE: &str = "echo";

/// How long the far end's answer may take beyond the measurement: what is in flight on a bad link.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Arrivals are noted this far apart.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Bound of what one measurement notes: over three minutes.
const SAMPLES_MAX: usize = 10_000;
const BUFFER_LEN: usize = 64 * 1024;

/// What a measurement found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Round trip before the load.
    pub rtt: Duration,
    /// Incompressible bytes per second times eight, as they arrived.
    pub bits_per_second: u64,
}

impl Tunnel {
    /// Sends incompressible bytes for a while, as background, and asks how many arrived.
    ///
    /// # Errors
    /// The far end does not answer, or the tunnel fails meanwhile.
    pub async fn measure(&self, duration: Duration) -> io::Result<Measured> {
        let rtt = self.ping().await?;
        let mut stream = self.open(ECHO_SERVICE, Class::Background).await?;
        let within = duration + ANSWER_MAX;
        let answer = timeout(within, async {
            load(&mut stream, duration).await?;
            Ok::<_, io::Error>((stream.read_u64().await?, stream.read_u64().await?))
        });
        let (bytes, micros) = answer.await.map_err(|_| Error::NoAnswer(within))??;
        let bits_per_second = u128::from(bytes) * 8 * 1_000_000 / u128::from(micros.max(1));
        Ok(Measured { rtt, bits_per_second: u64::try_from(bits_per_second).unwrap_or(u64::MAX) })
    }
}

async fn load(stream: &mut Stream, duration: Duration) -> io::Result<()> {
    let mut random = fastrand::Rng::new();
    let mut bytes = vec![0; BUFFER_LEN];
    let end = Instant::now() + duration;
    while Instant::now() < end {
        random.fill(&mut bytes);
        // A cut link takes nothing for minutes; the end is the end.
        if timeout(end - Instant::now(), stream.write_all(&bytes))
            .await
            .map_or(Ok(()), |written| written)
            .is_err()
        {
            break;
        }
    }
    stream.shutdown().await
}

/// The far end of [`Tunnel::measure`]: counts what arrives until its end and answers.
///
/// # Errors
/// The stream fails.
pub async fn serve_echo(mut stream: Stream) -> io::Result<()> {
    let mut arrivals = Arrivals::default();
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        arrivals.note(count as u64, Instant::now());
    }
    let (bytes, elapsed) = arrivals.second_half();
    stream.write_u64(bytes).await?;
    stream.write_u64(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)).await?;
    stream.shutdown().await
}

/// Total bytes at instants.
#[derive(Default)]
struct Arrivals {
    total: u64,
    samples: Vec<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Arrivals {
    fn note(&mut self, bytes: u64, now: Instant) {
        self.total += bytes;
        self.last = Some((now, self.total));
        let due = self.samples.last().is_none_or(|(at, _)| now - *at >= SAMPLE_EVERY);
        if due && self.samples.len() < SAMPLES_MAX {
            self.samples.push((now, self.total));
        }
    }

    fn second_half(&self) -> (u64, Duration) {
        let (Some((first, _)), Some((last, total))) = (self.samples.first(), self.last) else {
            return (0, Duration::ZERO);
        };
        let middle = *first + (last - *first) / 2;
        let from = self.samples.iter().rev().find(|(at, _)| *at <= middle);
        from.map_or((0, Duration::ZERO), |(at, before)| (total - before, last - *at))
    }
}
