//! The lab without any agent: its WAN, its guest, its cleaning, and a move with QEMU's own means.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "clippy knows tests by their attribute, helpers have none"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_lab::client::{Observation, Options};
use longhaul_lab::peer::PlainMove;
use longhaul_lab::place::{Place, Side};
use longhaul_lab::wan::{Link, LinkChange};
use longhaul_lab::{Lab, UpOptions, addresses};
use longhaul_model::units::{Bandwidth, Size, Time};

const READY_MAX: Duration = Duration::from_secs(90);
const SEEN_MAX: Duration = Duration::from_secs(30);

fn state() -> PathBuf {
    // Not below the checkout, whose path may be longer than unix sockets allow.
    std::env::temp_dir().join("longhaul-lab-tests")
}

/// Two cores carry one lab: the tests take turns, also those of other processes. `None` where a lab cannot be
/// made; that is a failure in CI.
fn turn() -> Option<File> {
    if let Err(reason) = longhaul_lab::require_machine() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    std::fs::create_dir_all(state()).unwrap();
    let file = File::create(state().join("turn.lock")).unwrap();
    file.lock().unwrap();
    Some(file)
}

fn options(name: &str) -> UpOptions {
    let tests = std::env::current_exe().unwrap();
    let wan = tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/lab-wan");
    UpOptions { name: name.parse().unwrap(), binary: wan, ..UpOptions::new(&state()).unwrap() }
}

fn link(mbit: u64, delay_ms: u64) -> Link {
    Link {
        rate: Bandwidth::from_bits_per_second(mbit * 1_000_000),
        delay: Time::from_millis(delay_ms),
        loss: 0.0,
        queue: Size::from_bytes(1 << 20),
        seed: 3,
    }
}

/// Removes the lab also when the test fails.
struct Down(UpOptions);

impl Drop for Down {
    fn drop(&mut self) {
        let removed = Lab::down(&self.0.state, &self.0.name);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

fn wait(what: &str, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + SEEN_MAX;
    while !reached() {
        assert!(Instant::now() < until, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Real TCP crosses the WAN no faster than the link, no sooner than the delay, and survives a cut.
#[test]
fn the_wan_carries_tcp_and_a_cut_leaves_connections_open() {
    let Some(_turn) = turn() else { return };
    let options = UpOptions { link: link(100, 25), ..options("lhl-wan") };
    let down = Down(options.clone());
    let (lab, _) = Lab::up_bare(&options).unwrap();
    let at_b = lab.netns(Place::Site(Side::B));
    let address = SocketAddr::from((addresses::wan(Side::B), 5001));
    let listener = at_b.run(|| TcpListener::bind(address)).unwrap().unwrap();
    let begun = Instant::now();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5));
    let mut near = lab.netns(Place::Site(Side::A)).run(connect).unwrap().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50), "connected within {:?}", begun.elapsed());
    // Otherwise the kernel holds back the byte that is to meet the cut.
    near.set_nodelay(true).unwrap();
    let (mut far, _) = listener.accept().unwrap();

    let bytes = 8 << 20;
    let begun = Instant::now();
    let sender = std::thread::spawn(move || {
        near.write_all(&vec![7; bytes]).unwrap();
        near
    });
    let mut got = vec![0; bytes];
    far.read_exact(&mut got).unwrap();
    let mbit = bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e6;
    assert!(got.iter().all(|byte| *byte == 7) && mbit < 101.0, "{mbit} Mbit/s");
    let stats = lab.wan().stats().unwrap();
    assert!(stats.a_to_b.bytes > bytes as u64 && stats.b_to_a.packets > 0, "{stats:?}");

    let mut near = sender.join().unwrap();
    lab.cut().unwrap();
    near.write_all(b"x").unwrap();
    far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(far.read_exact(&mut [0]).is_err(), "a cut link carried a byte");
    assert!(lab.heal().unwrap().a_to_b.cut_drops > 0);
    far.set_read_timeout(Some(SEEN_MAX)).unwrap();
    far.read_exact(&mut [0]).unwrap();
    let changed = lab.link(LinkChange { loss: Some(0.5), ..LinkChange::default() }).unwrap();
    assert_eq!((changed.link.loss, changed.link.rate), (0.5, options.link.rate));
    drop(down);
}

/// Two labs stand beside each other, and `down` removes everything of one: processes, namespaces, interfaces, files.
#[test]
fn labs_stand_side_by_side_and_down_leaves_nothing() {
    let Some(_turn) = turn() else { return };
    let (first, second) = (options("lhl-one"), options("lhl-two"));
    let (_first_down, _second_down) = (Down(first.clone()), Down(second.clone()));
    let (one, _) = Lab::up_bare(&first).unwrap();
    let (two, _) = Lab::up_bare(&second).unwrap();
    assert_ne!(one.number(), two.number());
    let mut left = one.netns(Place::Client).spawn(Command::new("sleep").arg("600")).unwrap();

    // A lab without its description is still found by its namespaces.
    std::fs::remove_file(one.files().description()).unwrap();
    let cleaned = Lab::down(&first.state, &first.name).unwrap();
    assert!(cleaned.processes >= 2 && cleaned.namespaces == 3, "{cleaned:?}");
    assert!(!left.wait().unwrap().success(), "the process was killed");
    let interface = |lab: u8| format!("/sys/class/net/{}", addresses::management_interface(lab, Side::A));
    wait("the end of the management interface", || !PathBuf::from(interface(one.number())).exists());
    assert!(PathBuf::from(interface(two.number())).exists() && two.wan().stats().is_ok());
    assert!(!one.files().folder().exists());
    // What an `up` killed within a step leaves: a name without a namespace behind it.
    std::fs::write(one.netns(Place::Client).path(), b"").unwrap();
    assert_eq!(Lab::down(&first.state, &first.name).unwrap().namespaces, 1);
    assert_eq!(Lab::down(&first.state, &first.name).unwrap().namespaces, 0);
}

/// A name belongs to the whole machine: a lab made with another state folder is not removed for a new one.
#[test]
fn a_living_lab_of_another_state_folder_is_left_alone() {
    let Some(_turn) = turn() else { return };
    let first = options("lt-own");
    let _down = Down(first.clone());
    let (lab, _) = Lab::up_bare(&first).unwrap();
    let second = UpOptions { state: state().join("other"), ..first };
    let refused = Lab::up_bare(&second).unwrap_err().to_string();
    assert!(refused.contains("lt-own") && refused.contains("another state folder"), "{refused}");
    lab.wan().stats().unwrap();
}

/// Flips one bit in the middle of one of the guest's files, behind the guest's back.
fn break_one_bit(lab: &Lab) {
    let disk = lab.files().folder().join("plain-b/disk.raw");
    let disk = File::options().read(true).write(true).open(disk).unwrap();
    let mut block = [0; 4096];
    // Text of the guest's files is the only thing on the disk that holds this word.
    let holds_text = |offset: &u64| {
        disk.read_exact_at(&mut block, *offset).is_ok() && block.windows(10).any(|word| word == b"level=info")
    };
    let offset = (0..224 << 20).step_by(4096).find(holds_text).unwrap();
    disk.read_exact_at(&mut block, offset).unwrap();
    block[2048] ^= 1;
    disk.write_all_at(&block, offset).unwrap();
}

/// A guest moves under plain QEMU with its disk, memory and an open connection; the client's and the observer's checks
/// see a whole move, and the guest has lost nothing.
#[test]
fn a_guest_moves_with_qemus_own_means() {
    let Some(_turn) = turn() else { return };
    let options = UpOptions { link: link(1_000, 10), ..options("lhl-plain") };
    let _down = Down(options.clone());
    let (lab, image) = Lab::up_bare(&options).unwrap();
    let source = PlainMove::boot(&lab, &image).unwrap();
    let guest = lab.guest();
    guest.wait_ready(READY_MAX).unwrap();
    let client =
        Observation::start(Options { name: None, ..Options::of_lab(Some(lab.netns(Place::Client)), "vm-a") })
            .unwrap();
    wait("the first tick", || client.view().lines > 0);
    wait("a disk write", || {
        guest.stats().is_ok_and(|stats| stats.disk.is_some_and(|disk| disk.writes_acked > 0))
    });

    let (moved, _target) = source.run().unwrap();
    let before = client.view().lines;
    wait("ticks after the move", || client.view().lines > before + 20);
    let view = client.stop();
    let verification = guest.verify().unwrap();
    eprintln!("{moved:#?}\n{view:?}\n{verification:?}");
    assert!(view.connection_intact() && view.longest_gap_ms < 5_000, "{view:?}");
    assert!(verification.good() && verification.base_bytes_checked == 60 << 20, "{verification:?}");
    assert!(guest.blob(1 << 20, 9).unwrap());
    break_one_bit(&lab);
    let broken = guest.verify().unwrap();
    assert!(
        broken.base_bad >= 1 && !broken.good(),
        "one flipped bit on the disk was not noticed: {broken:?}"
    );
    assert!(moved.wire_bytes > 60 << 20, "the disk crossed the WAN");
}
