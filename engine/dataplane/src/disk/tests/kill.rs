//! kill -9 of the server while a client writes.

use std::time::Duration;

use bytes::Bytes;

use super::rig::{DEADLINE, Rig, Server, Tunnel};
use crate::disk::config::Faults;
use crate::nbd::{Client, Piece, Span};

/// Writes without flushing until the connection breaks; notes what was acknowledged.
async fn write_until_killed(client: &Client, random: &mut fastrand::Rng, known: &mut [Option<u8>]) -> u64 {
    let mut acknowledged = 0;
    loop {
        let sectors = random.u64(1..=24);
        let first = random.u64(0..known.len() as u64 - sectors);
        let value = random.u8(1..);
        let data = Bytes::from(vec![value; sectors as usize * 512]);
        let touched = &mut known[first as usize..(first + sectors) as usize];
        match client.write(first * 512, data, false).await {
            Ok(()) => touched.fill(Some(value)),
            Err(_) => {
                // Neither old nor new is promised for the write in work.
                touched.fill(None);
                return acknowledged;
            }
        }
        acknowledged += 1;
    }
}

async fn check(client: &Client, known: &[Option<u8>]) {
    for (sector, value) in known.iter().enumerate().filter_map(|(at, value)| value.map(|value| (at, value))) {
        let span = Span::new(sector as u64 * 512, 512);
        let read = tokio::time::timeout(DEADLINE, client.read(span)).await.unwrap().unwrap();
        assert_eq!(read, [Piece::Data(Bytes::from(vec![value; 512]))], "sector {sector}");
    }
}

async fn kill_and_look(target: &mut Server, random: &mut fastrand::Rng, known: &mut [Option<u8>]) -> u64 {
    let client = target.writer(2).await.unwrap();
    let delay = Duration::from_micros(random.u64(500..60_000));
    let acknowledged = {
        let writing = write_until_killed(&client, random, known);
        tokio::pin!(writing);
        tokio::select! {
            done = &mut writing => done,
            () = tokio::time::sleep(delay) => {
                target.kill();
                writing.await
            }
        }
    };
    target.restart().await;
    check(&target.writer(2).await.unwrap(), known).await;
    acknowledged
}

/// Proves that every write that a target acknowledged, flushed or not, is read back after kill -9 at random points,
/// while the fill runs into the same blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::new(8 << 20);
    let source = rig.source(|part| Some(part as u8 | 0x80)).await;
    let tunnel = Tunnel::new(&rig, &source);
    let mut target = rig.target(&tunnel, Faults::default()).await;
    let origin = source.control().await.open_origin().await.unwrap().origin;
    let mut control = target.control().await;
    control.grant(2).await.unwrap();
    control.start_fill(origin).await.unwrap();
    control.limit_fill(0).await.unwrap();
    let mut known = vec![None; (8 << 20) / 512];
    let mut acknowledged = 0;
    for _ in 0..8 {
        acknowledged += kill_and_look(&mut target, &mut random, &mut known).await;
    }
    assert!(acknowledged > 100, "the kills came too early to prove anything: {acknowledged} writes");
    target.until("the fill goes on after the kills", |status| status.fill.absent_bytes == 0).await;
    check(&target.writer(2).await.unwrap(), &known).await;
}
