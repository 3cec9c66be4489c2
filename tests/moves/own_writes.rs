//! A guest that writes without ever flushing, and reads back what it wrote, while its disk server dies again and again: what was
//! acknowledged is there, and what was not is written again.

use std::process::Child;
use std::time::{Duration, Instant};

use longhaul_agent::faults::FaultPoint;
use longhaul_lab::place::Side;
use longhaul_lab::wan::LinkChange;
use longhaul_model::units::{Bandwidth, Time};

use super::rig::shared_turn;
use super::small::disk_server;
use super::small::ground::Ground;
use super::small::guest;
use super::small::processes::{DISK_SERVER, SOON, wait};

/// How often the disk server is killed where the whole disk is there.
const KILLS: usize = 12;
/// How often it has to be killed before next to nothing is absent any more.
const KILLS_WHILE_ABSENT: usize = 6;
/// The guest is about to have read everything that is absent.
const NEXT_TO_NOTHING: u64 = 256 << 10;

/// A ground, and the moments at which the disk server is killed there.
struct Kills {
    ground: Ground,
    seed: u64,
    random: fastrand::Rng,
}

impl Kills {
    fn on(ground: Ground) -> Self {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        Self { ground, seed, random: fastrand::Rng::with_seed(seed) }
    }

    /// Lets the guest count on for a while and kills its disk server: anywhere between two writes, or in one.
    fn kill(&mut self, side: Side) {
        let (ground, seed) = (&self.ground, self.seed);
        let before = ground.marks(side);
        let until = before.count + self.random.u32(1..3);
        let counts = wait(SOON, || ground.marks(side).count >= until);
        let (now, words) = (ground.marks(side), ground.words());
        assert!(counts, "it counts no more: {now:?} after {before:?}, {words:?}; seed {seed}");
        let moment = Instant::now() + Duration::from_micros(self.random.u64(..220_000));
        assert!(wait(SOON, || Instant::now() >= moment));
        assert_eq!(ground.kill(side, DISK_SERVER), Ok(1), "seed {seed}");
    }

    /// The guest lives on, was never booted again, and has found all that it wrote; so does whoever reads its disk.
    fn lost_nothing(&self, side: Side) {
        self.ground.counts_on(side);
        let after = self.ground.marks(side);
        assert_eq!((after.lost, after.boots), (0, 1), "seed {}", self.seed);
        assert_eq!(guest::differs(&self.ground.image(side)).unwrap(), None, "seed {}", self.seed);
    }
}

/// At the site where the VM was created, which has the whole disk.
#[test]
fn a_guest_reads_its_own_writes_from_a_disk_server_that_dies() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvwrites");
    ground.boot(Side::A).unwrap();
    let mut kills = Kills::on(ground);
    for _ in 0..KILLS {
        kills.kill(Side::A);
    }
    kills.lost_nothing(Side::A);
}

/// At a target that has half of the disk: the guest writes single sectors of blocks that are absent, and reads them back when the
/// server that took them is long dead. Then the rest comes, and is the source's wherever the guest did not write.
#[test]
fn a_guest_reads_its_own_writes_where_its_disk_is_absent() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvabsent");
    let mut run = hand_over_half(&ground);
    let mut kills = Kills::on(ground);
    let mut killed = 0;
    while absent_bytes(&kills.ground) > NEXT_TO_NOTHING {
        kills.kill(Side::B);
        killed += 1;
        // The next one would go on with the fill; before it has found its way to the source it is told not to.
        let held = wait(SOON, || disk_server::hold_fill(&kills.ground.lab, Side::B));
        assert!(held, "no disk server comes back; seed {}", kills.seed);
    }
    assert!(killed >= KILLS_WHILE_ABSENT, "it was all there after {killed} kills; seed {}", kills.seed);
    kills.ground.slow(false);
    kills.ground.gate.release_all();
    let code = run.wait().unwrap().code();
    assert_eq!(code, Some(0), "{}; seed {}", kills.ground.said("run-absent"), kills.seed);
    assert_eq!(disk_server::status(&kills.ground.lab, Side::B).unwrap()["complete"], true);
    kills.lost_nothing(Side::B);
}

/// A run whose guest counts at B, with half of its disk absent; nothing asks for the rest, and the source is far away.
fn hand_over_half(ground: &Ground) -> Child {
    ground.boot(Side::A).unwrap();
    ground.gate.hold([FaultPoint::SettleFilling]);
    let mut run = ground.start_move("run-absent", Side::A);
    let ended = || !matches!(run.try_wait(), Ok(None));
    let held = ground.gate.wait(FaultPoint::SettleFilling, Instant::now() + SOON, ended);
    assert!(held, "{}", ground.said("run-absent"));
    let rate = Some(Bandwidth::from_bits_per_second(8_000_000));
    let delay = Some(Time::from_millis(50));
    ground.lab.link(LinkChange { rate, delay, ..LinkChange::default() }).unwrap();
    let before = ground.marks(Side::A);
    let arrived = wait(SOON, || ground.marks(Side::B).count > before.count);
    assert!(arrived, "it does not count at B: {:?} after {before:?}", ground.marks(Side::B));
    run
}

fn absent_bytes(ground: &Ground) -> u64 {
    let status = disk_server::status(&ground.lab, Side::B).expect("B has a disk server");
    status["fill"]["absent_bytes"].as_u64().expect("it says what is absent")
}
