//! What a stranger on the WAN, and a client behind it, notice of a move.

mod capture;
mod tls;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use longhaul_lab::addresses;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::wan::Link;

use serde_json::Value;

use super::rig::{Rig, turn};
use capture::Capture;

/// Less was seen than the memory and disk of the guest: the capture missed the move.
const MOVE_BYTES_MIN: u64 = 40 << 20;

/// A guest's page, and a line of a file on its disk: neither may be read on the WAN.
const GUEST_WORDS: [&[u8]; 2] = [b"longhaul guest", b"level=info unit=disk-"];

/// Everything between the sites, from the agents' first packet to the end of a move, is TLS between the two agents: no other
/// address, no other port, no byte outside a TLS record.
#[test]
fn a_capture_shows_tls_between_the_agents_and_nothing_else() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvtls");
    // Every connection has to be seen from its first byte.
    for side in Side::BOTH {
        rig.kill_agent(side);
    }
    let capture = Capture::start(&rig);
    for side in Side::BOTH {
        rig.start_agent(side);
    }
    let (code, said) = Rig::finish(rig.start("run-tls"), "run-tls");
    assert_eq!(code, Some(0), "{said}");
    let seen = capture.stop();
    rig.assert_moved();
    assert_lanes_chose_bbr(&rig.records("run-tls"));
    let judged = tls::judge(&seen, Side::BOTH.map(addresses::wan), addresses::AGENT_PORT);
    assert_eq!(judged.problems, Vec::<String>::new());
    assert!(judged.tls_bytes > MOVE_BYTES_MIN, "the capture saw {} bytes of TLS", judged.tls_bytes);
    for words in GUEST_WORDS {
        let found = seen.iter().any(|packet| packet.windows(words.len()).any(|window| window == words));
        assert!(!found, "{} was read on the WAN", String::from_utf8_lossy(words));
    }
}

/// As the kernel says of the lanes' own sockets; the sites of a lab begin with another congestion control.
fn assert_lanes_chose_bbr(records: &[Value]) {
    let settled = records.iter().filter_map(|it| it["payload"]["outputs"]["lanes"].as_array()).next_back();
    let lanes = settled.expect("a step put the lanes out");
    assert!(!lanes.is_empty() && lanes.iter().all(|lane| lane["congestion_control"] == "bbr"), "{lanes:?}");
}

/// How long a client waits for a connection, at most.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Round trips of each median.
const ROUND_TRIPS: usize = 15;

/// While the disk is filled at the rate of the line, a client whose packets go through the same tunnel waits longer by one
/// queue at most.
#[test]
fn a_client_behind_a_full_line_waits_one_queue_at_most() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvrtt");
    let mut run = rig.start_with("run-rtt", "0");
    rig.wait_for("the guest to run at b", |rig| rig.runs_at() == Some(Side::B));
    let carried = || rig.lab.wan().stats().unwrap().a_to_b.bytes;
    // A megabyte more than when the guest began to run there is the disk's.
    let moved = carried();
    rig.wait_for("the fill", |_| carried() > moved + 1_000_000);
    let (before, begun) = (carried(), Instant::now());
    let filling: Vec<_> = (0..ROUND_TRIPS).map(|_| round_trip(&rig)).collect();
    let fill_rate = (carried() - before) as f64 * 8.0 / begun.elapsed().as_secs_f64();
    let status = run.try_wait().unwrap();
    assert!(status.is_none(), "the fill was over before the round trips were measured");
    let (code, said) = Rig::finish(run, "run-rtt");
    assert_eq!(code, Some(0), "{said}");
    let idle: Vec<_> = (0..ROUND_TRIPS).map(|_| round_trip(&rig)).collect();
    let link = Link::default();
    let rate = link.rate.as_bits_per_second() as f64;
    assert!(fill_rate > rate / 2.0, "the line was not full: {:.1} Mbit/s", fill_rate / 1e6);
    let queue_bits = 8 * link.queue.as_bytes();
    let queue = Duration::from_secs_f64(queue_bits as f64 / rate);
    let (filling, idle) = (median(filling), median(idle));
    eprintln!(
        "round trip through the tunnel: idle {idle:?}, during the fill at {:.1} Mbit/s {filling:?}, one queue {queue:?}",
        fill_rate / 1e6
    );
    assert!(filling < idle + queue, "idle {idle:?}, during the fill {filling:?}, one queue {queue:?}");
    rig.assert_moved();
}

/// A connection to the guest's home address: client, edge of A, tunnel, edge of B, guest, and back.
fn round_trip(rig: &Rig) -> Duration {
    let guest = SocketAddr::from((addresses::GUEST, 80));
    let connect = || {
        let begun = Instant::now();
        TcpStream::connect_timeout(&guest, CONNECT_MAX).map(|_| begun.elapsed())
    };
    rig.lab.netns(Place::Client).run(connect).unwrap().unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
