//! A disk from one site to the other.

use bytes::Bytes;

use super::rig::{DEADLINE, Rig, Server, Tunnel};
use crate::disk::config::Faults;
use crate::disk::{FillCondition, ProofState, Status};
use crate::nbd::{Client, Piece, Span};

const SIZE: u64 = 16 << 20;

/// Every fourth 64 KiB is a hole.
fn content(part: u64) -> Option<u8> {
    (part % 4 != 3).then_some(part as u8 | 1)
}

async fn byte(client: &Client, offset: u64) -> u8 {
    let read = tokio::time::timeout(DEADLINE, client.read(Span::new(offset, 512))).await.unwrap().unwrap();
    match &read[..] {
        [Piece::Data(data)] if data.iter().all(|byte| *byte == data[0]) => data[0],
        [Piece::Zeroes(_)] => 0,
        other => panic!("mixed bytes at {offset}: {other:?}"),
    }
}

async fn filled(rig: &Rig, faults: Faults) -> (Server, Tunnel, Server) {
    let source = rig.source(content).await;
    let tunnel = Tunnel::new(rig, &source);
    let target = rig.target(&tunnel, faults).await;
    let opened = source.control().await.open_origin().await.unwrap();
    target.control().await.start_fill(opened.origin).await.unwrap();
    target.until("everything is present", |status| status.fill.absent_bytes == 0).await;
    (source, tunnel, target)
}

async fn proven(source: &Server, target: &Server) -> crate::disk::Proof {
    source.control().await.freeze(2).await.unwrap();
    target.control().await.verify().await.unwrap();
    target.until("the proof ends", |status| status.proof.state != ProofState::Running).await.proof
}

/// Proves a whole move of a disk: fill with holes kept, dirty rounds, freeze, guest writes at the target, proof, finish; and
/// that the target needs the source no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_moves() {
    let rig = Rig::new(SIZE);
    let (mut source, tunnel, mut target) = filled(&rig, Faults::default()).await;
    let fill = target.control().await.status().await.unwrap().fill;
    assert_eq!(
        (fill.allocated_bytes, fill.present_bytes, fill.fetched_bytes),
        (Some(SIZE / 4 * 3), SIZE / 4 * 3, SIZE / 4 * 3)
    );
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&target.config.image).unwrap());
    assert_eq!(blocks * 512, SIZE / 4 * 3, "holes take no space");

    let guest = source.writer(1).await.unwrap();
    guest.write(8192, Bytes::from_static(&[77; 4096]), false).await.unwrap();
    guest.trim(Span::new(64 << 10, 64 << 10)).await.unwrap();
    let round = source.control().await.dirty_round(0).await.unwrap();
    assert_eq!(round.extents, [Span::new(8192, 4096), Span::new(64 << 10, 64 << 10)]);
    target.control().await.mark_absent(round.extents).await.unwrap();
    assert!(target.control().await.finish().await.is_err(), "nothing is proven yet");
    assert_eq!(source.control().await.freeze(2).await.unwrap().dirty_bytes, 0);

    target.control().await.grant(2).await.unwrap();
    let moved = target.writer(2).await.unwrap();
    assert_eq!((byte(&moved, 8192).await, byte(&moved, 64 << 10).await), (77, 0));
    moved.write(1 << 20, Bytes::from_static(&[5; 512]), false).await.unwrap();
    target.until("the rounds are fetched", |status| status.fill.absent_bytes == 0).await;
    target.control().await.verify().await.unwrap();
    let proof = target.until("proof", |status| status.proof.state != ProofState::Running).await.proof;
    assert_eq!((proof.state, proof.leaves, proof.superseded, proof.bad), (ProofState::Good, 256, 1, 0));
    assert_eq!(proof.root.unwrap().len(), 64);
    target.control().await.finish().await.unwrap();

    source.kill();
    tunnel.set(false);
    target.restart().await;
    let moved = target.writer(2).await.unwrap();
    assert_eq!(
        (byte(&moved, 1 << 20).await, byte(&moved, SIZE - 128 * 1024).await),
        (5, content(254).unwrap())
    );
    assert!(target.control().await.status().await.unwrap().complete);
    target.control().await.open_origin().await.expect("the target is a source now");
}

/// Proves that reads of absent blocks come from the source with read-ahead, and wait out a cut link without an error,
/// while writes do not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_for_the_link_and_writes_do_not() {
    let rig = Rig::new(SIZE);
    let source = rig.source(content).await;
    let tunnel = Tunnel::new(&rig, &source);
    let target = rig.target(&tunnel, Faults::default()).await;
    let opened = source.control().await.open_origin().await.unwrap();
    let mut control = target.control().await;
    control.limit_fill(0).await.unwrap();
    control.start_fill(opened.origin).await.unwrap();
    control.grant(2).await.unwrap();
    let guest = target.writer(2).await.unwrap();
    assert_eq!(byte(&guest, 4096).await, content(0).unwrap());
    let fill = control.status().await.unwrap().fill;
    assert_eq!((fill.demand_reads, fill.demand_bytes), (1, 64 << 10));

    tunnel.set(false);
    guest.write((1 << 20) + 512, Bytes::from_static(&[9; 512]), true).await.expect("a write needs no link");
    let reading = byte(&guest, 1 << 20);
    tokio::pin!(reading);
    tokio::select! {
        _ = &mut reading => panic!("read something without a link"),
        status = target.until("the link is missed", |status| status.fill.condition.is_some()) => {
            assert!(matches!(status.fill.condition, Some(FillCondition::Unreachable { .. })));
        }
    }
    tunnel.set(true);
    assert_eq!(reading.await, content(16).unwrap());
    assert_eq!(byte(&guest, (1 << 20) + 512).await, 9, "the fetch left the guest's sector alone");
    assert_eq!(byte(&guest, (1 << 20) + 1024).await, content(16).unwrap());
    control.limit_fill(1000).await.unwrap();
    target.until("the fill goes on", |status| status.fill.absent_bytes == 0).await;
}

/// Proves that the fill stops at its limit to the block, and goes on when it is raised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fill_keeps_its_limit() {
    let rig = Rig::new(SIZE);
    let source = rig.source(content).await;
    let tunnel = Tunnel::new(&rig, &source);
    let target = rig.target(&tunnel, Faults::default()).await;
    let opened = source.control().await.open_origin().await.unwrap();
    let mut control = target.control().await;
    control.limit_fill(850).await.unwrap();
    control.start_fill(opened.origin).await.unwrap();
    let limit = (SIZE / 4 * 3 / 4096 * 850).div_ceil(1000) * 4096;
    let status = target.until("the limit", |status| status.fill.present_bytes >= limit).await;
    assert_eq!((status.fill.present_bytes, status.fill.absent_bytes), (limit, SIZE / 4 * 3 - limit));
    control.limit_fill(1000).await.unwrap();
    target.until("everything is present", |status| status.fill.absent_bytes == 0).await;
}

/// Proves that a server that is started anew on a whole copy says how much the source has, fetches nothing of it again, and goes
/// on from the dirty map that ran meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_taken_up_where_it_was() {
    let rig = Rig::new(SIZE);
    let (mut source, _tunnel, mut target) = filled(&rig, Faults::default()).await;
    let origin = source.control().await.open_origin().await.unwrap().origin;
    target.kill();
    let guest = source.writer(1).await.unwrap();
    guest.write(8192, Bytes::from_static(&[77; 4096]), false).await.unwrap();
    drop(guest);
    source.restart().await;
    target.restart().await;
    assert_eq!(source.control().await.open_origin().await.unwrap().origin, origin);
    let mut control = target.control().await;
    control.start_fill(origin).await.unwrap();
    let status = target.until("it knows", |status| status.fill.allocated_bytes.is_some()).await;
    assert_eq!((status.fill.present_bytes, status.fill.fetched_bytes), (SIZE / 4 * 3, 0));
    let round = source.control().await.dirty_round(0).await.unwrap();
    assert_eq!(round.extents, [Span::new(8192, 4096)]);
    control.mark_absent(round.extents).await.unwrap();
    let status = target.until("the rest is fetched", |status| status.fill.absent_bytes == 0).await;
    assert_eq!(status.fill.fetched_bytes, 4096);
    assert_eq!(proven(&source, &target).await.state, ProofState::Good);
}

/// Proves that a fill with next to no rate asks for one request and stands, that the guest reads what it wants all the same, and
/// that the fill goes on when the bound is lifted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fill_keeps_its_rate() {
    let rig = Rig::new(SIZE);
    let source = rig.source(content).await;
    let tunnel = Tunnel::new(&rig, &source);
    let mut config = rig.target(&tunnel, Faults::default()).await.config.clone();
    config.origin.as_mut().unwrap().bits_per_second_max = 1;
    let target = Server::start(config).await;
    let opened = source.control().await.open_origin().await.unwrap();
    let mut control = target.control().await;
    control.start_fill(opened.origin).await.unwrap();
    let status = target.until("the first request", |status| status.fill.fetched_bytes > 0).await;
    assert_eq!((status.fill.fetched_bytes, status.fill.bits_per_second_max), (128 << 10, 1));
    control.grant(2).await.unwrap();
    let guest = target.writer(2).await.unwrap();
    assert_eq!(byte(&guest, 4 << 20).await, content(64).unwrap());
    let fill = control.status().await.unwrap().fill;
    assert_eq!((fill.demand_reads, fill.fetched_bytes), (1, (128 << 10) + fill.demand_bytes));
    control.limit_rate(0).await.unwrap();
    target.until("everything is present", |status| status.fill.absent_bytes == 0).await;
}

/// Proves that one flipped bit in a fetched block makes the proof bad, and that a bad proof finishes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found() {
    let rig = Rig::new(SIZE);
    let faults = Faults { corrupt_fetch: Some(3), lose_write: None };
    let (source, _tunnel, target) = filled(&rig, faults).await;
    let proof = proven(&source, &target).await;
    assert_eq!((proof.state, proof.bad), (ProofState::Bad, 1));
    assert!(proof.first_bad.is_some());
    assert!(target.control().await.finish().await.is_err());
}

/// Proves that a lost dirty round makes the freeze report it and the proof bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_round_is_found() {
    let rig = Rig::new(SIZE);
    let (source, _tunnel, target) = filled(&rig, Faults::default()).await;
    let guest = source.writer(1).await.unwrap();
    guest.write(0, Bytes::from_static(&[200; 512]), false).await.unwrap();
    assert_eq!(source.control().await.freeze(2).await.unwrap().dirty_bytes, 4096);
    let proof = proven(&source, &target).await;
    assert_eq!((proof.state, proof.first_bad), (ProofState::Bad, Some(0)));
}

/// Proves that the fault switch for lost writes loses one write and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_can_be_lost_on_purpose() {
    let rig = Rig::new(SIZE);
    let mut config = rig.source(content).await.config.clone();
    config.faults.lose_write = Some(2);
    let server = Server::start(config).await;
    let guest = server.writer(1).await.unwrap();
    for offset in [0, 512, 1024] {
        guest.write(offset, Bytes::from_static(&[200; 512]), false).await.unwrap();
    }
    let read = [byte(&guest, 0).await, byte(&guest, 512).await, byte(&guest, 1024).await];
    assert_eq!(read, [200, content(0).unwrap(), 200]);
}

/// Proves that a source that has ended its dirty map is told from one that is not there, that one which is started anew
/// refuses nothing, and that a refusal is forgotten with the next attachment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_origin_is_no_cut_link() {
    let rig = Rig::new(SIZE);
    let mut source = rig.source(content).await;
    let tunnel = Tunnel::new(&rig, &source);
    let target = rig.target(&tunnel, Faults::default()).await;
    let first = source.control().await.open_origin().await.unwrap().origin;
    source.control().await.close_origin().await.unwrap();
    target.control().await.start_fill(first).await.unwrap();
    let is_refused = |status: &Status| matches!(status.fill.condition, Some(FillCondition::Refused { .. }));
    target.until("the source refuses", is_refused).await;
    let is_cut = |status: &Status| matches!(status.fill.condition, Some(FillCondition::Unreachable { .. }));
    source.kill();
    target.until("the source is gone", is_cut).await;

    source.restart().await;
    let second = source.control().await.open_origin().await.unwrap().origin;
    target.control().await.start_fill(second).await.unwrap();
    for _ in 0..3 {
        source.restart().await;
    }
    let filled = target.until("everything is present", |status| {
        assert!(!is_refused(status), "{status:?}");
        status.fill.absent_bytes == 0
    });
    assert_eq!(filled.await.fill.condition, None);
}

/// Proves that a new identity of the origin voids what was fetched under the old one, and that an aborted attempt hands
/// its rounds out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_misses_nothing() {
    let rig = Rig::new(SIZE);
    let (source, _tunnel, target) = filled(&rig, Faults::default()).await;
    let mut control = source.control().await;
    let guest = source.writer(1).await.unwrap();
    guest.write(0, Bytes::from_static(&[200; 512]), false).await.unwrap();
    assert_eq!(control.dirty_round(0).await.unwrap().extents.len(), 1);
    control.abort_rounds().await.unwrap();
    assert_eq!(control.dirty_round(1).await.unwrap().extents, [Span::new(0, 4096)]);
    let first = control.open_origin().await.unwrap().origin;
    control.close_origin().await.unwrap();
    let second = control.open_origin().await.unwrap().origin;
    assert_ne!(first, second);
    target.control().await.limit_fill(0).await.unwrap();
    target.control().await.start_fill(second).await.unwrap();
    let status = target.control().await.status().await.unwrap();
    assert_eq!(status.fill.present_bytes, 0, "{status:?}");
    target.control().await.limit_fill(1000).await.unwrap();
    target.until("everything is present", |status| status.fill.absent_bytes == 0).await;
    assert_eq!(proven(&source, &target).await.state, ProofState::Good);
}
