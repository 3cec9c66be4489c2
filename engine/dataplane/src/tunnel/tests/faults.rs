//! Lanes die, links are cut, peers restart.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::interval;

use super::rig::{Rig, config, mixed, seeded, soon, until};
use crate::tunnel::{Class, Config, Error, Tunnel};

/// Sends bytes and expects the same ones back.
pub(super) async fn echo_once(tunnel: Tunnel, class: Class, bytes: Vec<u8>) {
    let stream = tunnel.open("echo", class).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let sent = blake3::hash(&bytes);
    let writer = async move {
        write.write_all(&bytes).await.unwrap();
        write.shutdown().await.unwrap();
        write
    };
    let reader = async {
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        back
    };
    let (_write, back) = tokio::join!(writer, reader);
    assert_eq!(blake3::hash(&back), sent);
}

/// Sends back what comes on the next stream.
pub(super) async fn echo_server(tunnel: Tunnel) {
    let (mut read, mut write) = tokio::io::split(tunnel.accept().await.unwrap().stream);
    tokio::io::copy(&mut read, &mut write).await.unwrap();
    write.shutdown().await.unwrap();
}

/// With lanes killed at random all the time, every byte of every stream arrives once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_is_lost_or_repeated_when_lanes_die() {
    // Slow enough that every kill hits a lane with records under way.
    let rig = Rig::with_rate(config(), Some(2_000_000)).await;
    let mut random = seeded();
    let mut tasks = tokio::task::JoinSet::new();
    for class in Class::ALL.into_iter().chain([Class::Background, Class::Demand]) {
        tasks.spawn(echo_once(rig.a.clone(), class, mixed(&mut random, 3_000_000)));
        tasks.spawn(echo_server(rig.b.clone()));
    }
    let mut kill = interval(Duration::from_millis(40));
    let mut killed = 0;
    soon(async {
        while !tasks.is_empty() {
            tokio::select! {
                Some(done) = tasks.join_next() => done.unwrap(),
                _ = kill.tick() => { rig.kill_lane(&mut random); killed += 1; }
            }
        }
    })
    .await;
    let stats = rig.a.stats();
    let connections: u64 = stats.lanes.iter().map(|lane| lane.connections).sum();
    println!("{killed} kills, {connections} connections");
    assert!(connections > stats.lanes.len() as u64 + 4, "lanes were killed and dialled again: {connections}");
    until(|| rig.a.shared().core().streams_open() + rig.b.shared().core().streams_open() == 0).await;
}

/// A cut that outlives every lane costs a stream nothing but time.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_leaves_streams_intact() {
    let rig = Rig::new(Config { lane_silence_max: Duration::from_millis(400), ..config() }).await;
    let mut random = seeded();
    let (first, second) = (mixed(&mut random, 700_000), mixed(&mut random, 700_000));
    let all = blake3::hash(&[&first[..], &second[..]].concat());
    let mut stream = rig.a.open("x", Class::Dirty).await.unwrap();
    let far = rig.b.clone();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        far.accept().await.unwrap().stream.read_to_end(&mut got).await.unwrap();
        blake3::hash(&got)
    });
    soon(stream.write_all(&first)).await.unwrap();
    rig.cut();
    until(|| rig.a.stats().lanes.iter().all(|lane| !lane.up)).await;
    rig.heal();
    soon(stream.write_all(&second)).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(soon(reader).await.unwrap(), all);
}

/// When the peer's process is a new one, old streams fail by name and new ones work.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_fails_old_streams_and_takes_new_ones() {
    let mut rig = Rig::new(config()).await;
    let mut stream = rig.a.open("x", Class::Demand).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    drop(soon(rig.b.accept()).await.unwrap());
    let mut other = rig.a.open("y", Class::Demand).await.unwrap();
    let _far_of_other = soon(rig.b.accept()).await;
    rig.restart_b(config());
    let error = soon(other.read_u8()).await.unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Error::PeerRestarted));
    let server = tokio::spawn(echo_server(rig.b.clone()));
    soon(echo_once(rig.a.clone(), Class::Demand, vec![3; 100_000])).await;
    soon(server).await.unwrap();
}

/// When the dialling process is a new one, the accepting end's old streams fail by name and new ones work.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_dialler_is_noticed() {
    let rig = Rig::new(config()).await;
    let mut stream = rig.b.open("x", Class::Demand).await.unwrap();
    let _far = soon(rig.a.accept()).await.unwrap();
    rig.a.shared().core().reset(Error::PeerRestarted);
    let error = soon(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Error::PeerRestarted));
    let server = tokio::spawn(echo_server(rig.a.clone()));
    soon(echo_once(rig.b.clone(), Class::Demand, vec![3; 100_000])).await;
    soon(server).await.unwrap();
}

/// A closed tunnel says so to the streams of both ends and to whoever waits for one.
#[tokio::test(flavor = "multi_thread")]
async fn closing_is_told_to_both_ends() {
    let rig = Rig::new(config()).await;
    let mut far = rig.b.open("x", Class::Demand).await.unwrap();
    let mut near = soon(rig.a.accept()).await.unwrap().stream;
    let waiting = tokio::spawn({
        let a = rig.a.clone();
        async move { a.accept().await.map(|_| ()) }
    });
    soon(rig.a.close()).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap_err(), Error::Closed);
    assert_eq!(near.read_u8().await.unwrap_err().get_ref().unwrap().downcast_ref(), Some(&Error::Closed));
    let error = soon(far.read_u8()).await.unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Error::PeerClosed));
    assert_eq!(rig.a.open("x", Class::Demand).await.map(|_| ()).unwrap_err(), Error::Closed);
}

/// An end that dials and gets no lane says why, with the causes; the end that waits for lanes only that none came.
#[tokio::test]
async fn a_lane_that_is_refused_is_named() {
    let refused = || std::io::Error::other("reach site/b: site/c answered");
    let dialling = Tunnel::dial(config(), move |_| async move { Err(refused()) });
    let within = Duration::from_millis(50);
    let said = dialling.ready(within).await.unwrap_err();
    assert!(said.to_string().contains("site/c answered"), "{said}");
    let accepting = Tunnel::accepting(config());
    assert_eq!(accepting.ready(within).await, Err(Error::NoAnswer(within)));
}
