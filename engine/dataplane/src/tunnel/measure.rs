//! Measures a tunnel's goodput over a stream that the far end discards.
//!
//! The far end counts, because only what arrived is goodput: after the stream's end it answers with the rate of the second
//! half of the time, when TCP has found the link's.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::class::Class;
use super::error::Error;
use super::shared::Tunnel;
use super::stream::Stream;
use crate::arrivals::Arrivals;

/// Under this name the far end runs [`serve_echo`].
pub const ECHO_SERVICE: &str = "echo";

/// How long the far end's answer may take beyond the measurement: what is in flight on a bad link.
const ANSWER_MAX: Duration = Duration::from_secs(20);
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
            stream.read_u64().await
        });
        let bits_per_second = answer.await.map_err(|_| Error::NoAnswer(within))??;
        Ok(Measured { rtt, bits_per_second })
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
    let (begun, mut arrivals) = (Instant::now(), Arrivals::default());
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        arrivals.note(count as u64, begun.elapsed());
    }
    stream.write_u64(arrivals.bits_per_second()).await?;
    stream.shutdown().await
}
