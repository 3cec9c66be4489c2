//! What a stream's user may rely on.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::rig::{Rig, config, mixed, seeded, soon, until};
use crate::tunnel::{Class, Config, Error, Kind, Stats, serve_echo};

fn error_of(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Either end opens streams, whose service and class arrive with them.
#[tokio::test(flavor = "multi_thread")]
async fn both_ends_open_streams() {
    let rig = Rig::new(config()).await;
    for (from, to) in [(&rig.a, &rig.b), (&rig.b, &rig.a)] {
        let mut stream = from.open("disk/vm1", Class::Demand).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut incoming = soon(to.accept()).await.unwrap();
        assert_eq!((incoming.service.as_str(), incoming.class), ("disk/vm1", Class::Demand));
        let mut got = [0; 4];
        soon(incoming.stream.read_exact(&mut got)).await.unwrap();
        assert_eq!(&got, b"ping");
    }
}

/// After the end of one direction the other still carries, and its end arrives too; then nothing stays behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_stream_still_answers() {
    let rig = Rig::new(config()).await;
    let mut asking = rig.a.open("x", Class::Handover).await.unwrap();
    asking.write_all(b"question").await.unwrap();
    asking.shutdown().await.unwrap();
    let mut answering = soon(rig.b.accept()).await.unwrap().stream;
    let mut text = String::new();
    soon(answering.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "question");
    answering.write_all(b"answer").await.unwrap();
    answering.shutdown().await.unwrap();
    text.clear();
    soon(asking.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "answer");
    assert_eq!(error_of(&asking.write_all(b"more").await.unwrap_err()), Some(&Error::StreamFinished));
    drop((asking, answering));
    for tunnel in [&rig.a, &rig.b] {
        until(|| tunnel.shared().core().streams_open() == 0).await;
    }
}

/// A stream that is dropped before its end is an error to its reader and its writer, never a clean end.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_no_end() {
    let rig = Rig::new(config()).await;
    let mut stream = rig.a.open("x", Class::Dirty).await.unwrap();
    stream.write_all(b"half of it").await.unwrap();
    let mut far = soon(rig.b.accept()).await.unwrap().stream;
    drop(stream);
    let read = soon(far.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error_of(&read), Some(&Error::StreamReset));
    until(|| far.unsent_bytes() == 0).await;
    let write = soon(async {
        loop {
            if let Err(error) = far.write_all(b"?").await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(error_of(&write.await), Some(&Error::StreamStopped));
    drop(far);
    until(|| rig.a.shared().core().streams_open() + rig.b.shared().core().streams_open() == 0).await;
}

/// A stream nobody reads takes the window and the class's unsent bound, not a byte more; hand-over holds 128 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn an_unread_stream_takes_bounded_memory() {
    let rig = Rig::new(config()).await;
    let window = Config::default().window_bytes_initial as usize;
    for (class, unsent_max) in [(Class::Handover, 128 * 1024), (Class::Background, 512 * 1024)] {
        let mut stream = rig.a.open("x", class).await.unwrap();
        let mut accepted = 0;
        soon(async {
            while accepted < window + unsent_max {
                accepted += stream.write(&[7; 10_000]).await.unwrap();
                assert!(stream.unsent_bytes() <= unsent_max);
            }
        })
        .await;
        assert_eq!(accepted, window + unsent_max);
        let waker = std::task::Waker::noop();
        let pending =
            std::pin::pin!(stream.write(b"one more")).poll(&mut std::task::Context::from_waker(waker));
        assert!(pending.is_pending(), "{class}");
    }
}

fn of_kind(stats: &Stats, kind: Kind) -> (u64, u64) {
    let rows = stats.sent.iter().filter(|row| row.kind == kind && row.class == Class::Background);
    rows.fold((0, 0), |sum, row| (sum.0 + row.raw_bytes, sum.1 + row.wire_bytes))
}

/// Zeros cross as headers, text compressed, noise as it is, and the statistics say so at both ends.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_bytes_is_counted() {
    const PART: usize = 4 * 1024 * 1024;
    let rig = Rig::new(config()).await;
    let mut noise = vec![0; PART];
    seeded().fill(&mut noise);
    let text: Vec<u8> = b"all work and no play ".iter().copied().cycle().take(PART).collect();
    let mut stream = rig.a.open("x", Class::Background).await.unwrap();
    let far = rig.b.clone();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        far.accept().await.unwrap().stream.read_to_end(&mut all).await.unwrap();
        all
    });
    let sent = [vec![0; PART], text, noise].concat();
    soon(stream.write_all(&sent)).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(soon(reader).await.unwrap() == sent);
    let stats = rig.a.stats();
    let (zero, zero_wire) = of_kind(&stats, Kind::Zero);
    let (zstd, zstd_wire) = of_kind(&stats, Kind::Zstd);
    let (raw, raw_wire) = of_kind(&stats, Kind::Raw);
    assert_eq!((zero + zstd + raw) as usize, 3 * PART);
    assert!(zero as usize >= PART - 64 * 1024 && zero_wire < zero / 100, "{stats:?}");
    assert!(zstd as usize >= PART - 64 * 1024 && zstd_wire < zstd / 10, "{stats:?}");
    assert!(raw as usize >= PART - 64 * 1024 && raw_wire >= raw, "{stats:?}");
    let received: u64 = rig.b.stats().received.iter().map(|row| row.raw_bytes).sum();
    assert_eq!(received as usize, 3 * PART);
}

/// Per lane the kernel's own counters are reported, and which congestion control it uses.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_report_the_kernels_counters() {
    let rig = Rig::new(config()).await;
    let stats = rig.a.stats();
    assert!(stats.lanes.len() >= 4);
    for lane in stats.lanes {
        assert!(lane.up && lane.bytes_sent > 0 && lane.bytes_received > 0 && lane.rtt_us > 0, "{lane:?}");
        assert!(["bbr", "cubic", "reno"].contains(&lane.congestion_control.as_str()), "{lane:?}");
    }
}

/// Many streams of every class at once arrive whole, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_streams_keep_their_bytes_apart() {
    let rig = Rig::new(config()).await;
    let mut random = seeded();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, class) in Class::ALL.into_iter().cycle().take(20).enumerate() {
        let bytes = mixed(&mut random, 300_000 + number * 1000);
        tasks.spawn(super::faults::echo_once(rig.a.clone(), class, bytes));
        tasks.spawn(super::faults::echo_server(rig.b.clone()));
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
}

/// The measured goodput is that of the slowed lanes, not of the loopback behind them.
#[tokio::test(flavor = "multi_thread")]
async fn the_measurement_finds_the_links_rate() {
    let rate = 1_000_000;
    let rig = Rig::with_rate(Config { lanes: 3, ..config() }, Some(rate)).await;
    let far = rig.b.clone();
    let server = tokio::spawn(async move { serve_echo(far.accept().await.unwrap().stream).await });
    let measured = soon(rig.a.measure(std::time::Duration::from_secs(2))).await.unwrap();
    soon(server).await.unwrap().unwrap();
    // Two of the three lanes carry bulk.
    let most = 2 * rate * 8;
    assert!((most / 3..most * 2).contains(&measured.bits_per_second), "{measured:?}");
}
