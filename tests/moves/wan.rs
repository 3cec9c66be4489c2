//! What a stranger on the WAN, and a client behind it, notice of a move.

mod capture;
mod tls;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_lab::addresses;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::wan::Link;

use serde_json::Value;

use super::rig::{MOVE_MAX, Rig, turn};
use super::small::disk_server;
use super::small::processes::wait;
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
/// Clients that connect at the same time, each again and again.
const CLIENTS: usize = 4;
/// Fewer round trips say nothing about the slowest of them.
const ROUND_TRIPS_MIN: usize = 60;
/// What is still to be copied when the measuring ends: until then the line can be full.
const REST_BYTES: u64 = 8 << 20;
/// So many in a hundred have to be served in time; on two processors that the fill keeps busy, the emulated guest itself is late
/// for the others now and then.
const SERVED_PERCENT: usize = 75;
/// The least share of the link's rate, in per cent, at which the line counts as full.
const FULL_PERCENT: f64 = 75.0;

/// While the disk is filled at the rate of the line, a client whose packets go through the same tunnel waits longer by one
/// queue at most.
#[test]
fn a_client_behind_a_full_line_waits_one_queue_at_most() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvrtt");
    let run = rig.start_with("run-rtt", "0");
    rig.wait_for("the guest to run at b", |rig| rig.runs_at() == Some(Side::B));
    let carried = || rig.lab.wan().stats().unwrap().a_to_b.bytes;
    // A megabyte more than when the guest began to run there is the disk's.
    let moved = carried();
    rig.wait_for("the fill", |_| carried() > moved + 1_000_000);
    let absent = || {
        let status = disk_server::status(&rig.lab, Side::B).expect("B has a disk server");
        status["fill"]["absent_bytes"].as_u64().expect("it says what is absent")
    };
    let (before, begun) = (carried(), Instant::now());
    let mut fill_rate = 0.0;
    let filling = round_trips(&rig, || {
        fill_rate = (carried() - before) as f64 * 8.0 / begun.elapsed().as_secs_f64();
        absent() < REST_BYTES
    });
    let (code, said) = Rig::finish(run, "run-rtt");
    assert_eq!(code, Some(0), "{said}");
    let until = Instant::now() + begun.elapsed().min(Duration::from_secs(5));
    let idle = round_trips(&rig, || Instant::now() > until);
    let link = Link::default();
    let rate = link.rate.as_bits_per_second() as f64;
    let queue = Duration::from_secs_f64(8.0 * link.queue.as_bytes() as f64 / rate);
    let seen = format!(
        "{SERVED_PERCENT} % of the round trips through the tunnel: idle {:?}, during the fill at {:.1} Mbit/s {:?}; medians {:?} \
         and {:?}, longest {:?} and {:?}; one queue {queue:?}",
        at(SERVED_PERCENT, &idle),
        fill_rate / 1e6,
        at(SERVED_PERCENT, &filling),
        at(50, &idle),
        at(50, &filling),
        at(100, &idle),
        at(100, &filling),
    );
    eprintln!("{seen}");
    assert!(fill_rate * 100.0 >= rate * FULL_PERCENT, "the line was not full: {seen}");
    for percent in [50, SERVED_PERCENT] {
        assert!(at(percent, &filling) < at(percent, &idle) + queue, "{percent} %: {seen}");
    }
    rig.assert_moved();
}

/// Connections to the guest's home address until something has come to its end, in the order of how long they took: client, edge
/// of A, tunnel, edge of B, guest, and back. All of them began before the end.
fn round_trips(rig: &Rig, mut is_over: impl FnMut() -> bool) -> Vec<Duration> {
    let guest = SocketAddr::from((addresses::GUEST, 80));
    let over = AtomicBool::new(false);
    let connect = || {
        let begun = Instant::now();
        TcpStream::connect_timeout(&guest, CONNECT_MAX).map(|_| begun.elapsed()).unwrap()
    };
    let connect_on = || {
        let begins = std::iter::from_fn(|| (!over.load(Ordering::Relaxed)).then(connect));
        begins.collect::<Vec<_>>()
    };
    let client = || rig.lab.netns(Place::Client).run(connect_on).unwrap();
    let mut times: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let ended = wait(MOVE_MAX, &mut is_over);
        over.store(true, Ordering::Relaxed);
        assert!(ended, "it does not end");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    times.sort();
    assert!(times.len() >= ROUND_TRIPS_MIN, "{} round trips only", times.len());
    times
}

/// The round trip that so many in a hundred are not longer than.
fn at(percent: usize, times: &[Duration]) -> Duration {
    times[(times.len() * percent).div_ceil(100) - 1]
}
