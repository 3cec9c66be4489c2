//! What the machine and the link can do at all, measured beside what is compared.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_dataplane::arrivals::Arrivals;
use longhaul_lab::peer::favour;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::{Lab, addresses};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::meter::CpuTime;
use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::rehearsal::{Setting, Stage};

const PORT: u16 = 5201;
const FLUSHES: usize = 50;
const FLUSHED_BYTES: usize = 4096;
/// BBR needs some ten round trips to find the link's rate; the second half counts.
const MEASURED: Duration = Duration::from_secs(5);
/// For a connection over a link that works.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CHUNK: usize = 1 << 16;
/// A link on which plain TCP gets less is not what bounds a move here.
const LINK_SHARE_MIN: f64 = 0.9;
/// With less, a figure says more about the machine than about who moved.
const IDLE_PERCENT_MIN: f64 = 10.0;

/// Of one cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calibration {
    /// Median time of writing 4 KiB to the state folder and flushing them.
    pub(super) fdatasync_p50_us: u64,
    /// What one plain TCP stream carries from A to B.
    pub(super) stream_bits_per_second: u64,
    /// By which congestion control.
    pub(super) congestion_control: String,
    /// While the stream ran.
    pub(super) idle_percent: f64,
}

impl Calibration {
    /// Measures in a bare lab of its own, without a guest.
    pub(super) fn of(state: &Path, setting: &Setting) -> Result<Self> {
        let (stage, _image) = Stage::set_bare(state, setting)?;
        let fdatasync_p50_us =
            fdatasync_p50_us(state).doing(exit_code::FAILED, || format!("write to {}", state.display()))?;
        favour(stage.lab()).doing(exit_code::FAILED, || "choose the congestion control".to_owned())?;
        let before = CpuTime::now();
        let stream_bits_per_second = stream(stage.lab())?;
        let idle_percent = CpuTime::now().idle_percent_since(before);
        let name = stage.lab().netns(Place::Site(Side::A)).run(congestion_control)?;
        let congestion_control =
            name.doing(exit_code::FAILED, || "read the congestion control".to_owned())?;
        Ok(Self { fdatasync_p50_us, stream_bits_per_second, congestion_control, idle_percent })
    }

    /// Why the cell's figures are the machine's and not the link's; none if they are the link's.
    pub(super) fn cpu_bound(&self, cell: Cell, idle_percent_of_moves: f64) -> Option<String> {
        let share = self.stream_bits_per_second as f64 / cell.bits_per_second() as f64;
        if share < LINK_SHARE_MIN {
            return Some(format!("a plain TCP stream reached {:.0} % of the link", share * 100.0));
        }
        let idle = idle_percent_of_moves.min(self.idle_percent);
        (idle < IDLE_PERCENT_MIN).then(|| format!("{idle:.0} % of the CPU time was idle"))
    }

    pub(super) fn text(&self) -> String {
        format!(
            "fdatasync p50 {} us; one plain TCP stream ({}) {:.1} Mbit/s with {:.0} % idle",
            self.fdatasync_p50_us,
            self.congestion_control,
            self.stream_bits_per_second as f64 / 1e6,
            self.idle_percent
        )
    }
}

fn congestion_control() -> io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    Ok(name.trim().to_owned())
}

/// The median time of small flushes in a folder.
pub(super) fn fdatasync_p50_us(folder: &Path) -> io::Result<u64> {
    let path = folder.join("bench-fdatasync");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&[7; FLUSHED_BYTES])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(u64::try_from(times[FLUSHES / 2].as_micros()).unwrap_or(u64::MAX))
}

/// Payload bits a second that arrive at B when TCP has found the link's rate.
fn stream(lab: &Lab) -> Result<u64> {
    let sending = || "send a plain TCP stream over the WAN".to_owned();
    let address = SocketAddr::from((addresses::wan(Side::B), PORT));
    let listener = lab.netns(Place::Site(Side::B)).run(|| TcpListener::bind(address))?;
    let listener = listener.doing(exit_code::FAILED, sending)?;
    let connect = || TcpStream::connect_timeout(&address, CONNECT_MAX);
    let near = lab.netns(Place::Site(Side::A)).run(connect)?.doing(exit_code::FAILED, sending)?;
    let (far, _) = listener.accept().doing(exit_code::FAILED, sending)?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || send_until_closed(near));
        let received = receive(far);
        sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        received.doing(exit_code::FAILED, sending)
    })
}

/// Ends when the receiver has seen enough and closes.
fn send_until_closed(mut near: TcpStream) {
    let chunk = vec![7; CHUNK];
    while near.write_all(&chunk).is_ok() {}
}

fn receive(mut far: TcpStream) -> io::Result<u64> {
    far.set_read_timeout(Some(CONNECT_MAX))?;
    let mut chunk = vec![0; CHUNK];
    let (begun, mut arrivals) = (Instant::now(), Arrivals::default());
    while begun.elapsed() < MEASURED {
        let bytes = far.read(&mut chunk).and_then(some)?;
        arrivals.note(bytes as u64, begun.elapsed());
    }
    Ok(arrivals.bits_per_second())
}

fn some(length: usize) -> io::Result<usize> {
    if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mbit: u64, idle_percent: f64) -> Calibration {
        let stream_bits_per_second = mbit * 1_000_000;
        Calibration { stream_bits_per_second, idle_percent, ..Calibration::default() }
    }

    /// A slow plain stream or busy CPUs, while calibrating or while moving, mark a cell as CPU-bound, and nothing else.
    #[test]
    fn a_slow_stream_or_busy_cpus_mark_a_cell() {
        let bound = |mbit, idle, moves| seen(mbit, idle).cpu_bound(Cell::Lossy, moves);
        assert_eq!(bound(90, 10.0, 10.0), None);
        assert_eq!(bound(89, 60.0, 60.0).unwrap(), "a plain TCP stream reached 89 % of the link");
        assert_eq!(bound(95, 9.0, 60.0).unwrap(), "9 % of the CPU time was idle");
        assert_eq!(bound(95, 60.0, 3.0).unwrap(), "3 % of the CPU time was idle");
    }

    /// Flushing takes time, and leaves no file.
    #[test]
    fn flushes_are_timed() {
        let folder = tempfile::tempdir().unwrap();
        fdatasync_p50_us(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
