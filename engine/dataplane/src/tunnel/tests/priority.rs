//! Urgent records do not wait behind bulk.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rig::{Rig, config, seeded, soon};
use crate::tunnel::core::{Core, Next, Outgoing, PeerSession, Role, Ticket};
use crate::tunnel::record::Op;
use crate::tunnel::{Class, Config};

fn core_with_lanes(lanes: u16) -> (Core, Vec<Ticket>) {
    let mut core = Core::new(Config::default(), Role::Dialer, Arc::new(Notify::new()));
    core.pair(PeerSession { session: 9, window: 1 << 30 });
    let tickets = (0..lanes).map(|lane| core.attach(lane, lanes, Instant::now())).collect();
    (core, tickets)
}

fn write(core: &mut Core, class: Class, len: usize) {
    let id = core.open("x", class).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(core.poll_write(id, &mut cx, &vec![1; len]).is_ready());
}

/// The class of the next record with bytes, skipping pings and the announcements of streams.
fn next_class(core: &mut Core, ticket: &Ticket) -> Option<Class> {
    loop {
        match core.next(ticket, Instant::now()) {
            Next::Send(Outgoing::Small(_)) => {}
            Next::Send(Outgoing::Record { record, .. }) if record.op == Op::Raw => return Some(record.class),
            Next::Send(Outgoing::Record { .. }) => {}
            Next::Wait(_) | Next::Gone => return None,
        }
    }
}

/// With bulk waiting, the reserved lane stays empty, and an urgent record is the very next one on it.
#[tokio::test]
async fn the_reserved_lane_carries_no_bulk() {
    let (mut core, tickets) = core_with_lanes(4);
    write(&mut core, Class::Background, 400_000);
    assert_eq!(next_class(&mut core, &tickets[0]), None);
    assert_eq!(next_class(&mut core, &tickets[1]), Some(Class::Background));
    write(&mut core, Class::Demand, 1000);
    assert_eq!(
        next_class(&mut core, &tickets[1]),
        Some(Class::Background),
        "the reserved lane is free for it"
    );
    assert_eq!(next_class(&mut core, &tickets[0]), Some(Class::Demand));
}

/// While the reserved lane is taken, every other lane's next record is the most urgent one.
#[tokio::test]
async fn urgent_records_overtake_on_every_lane() {
    let (mut core, tickets) = core_with_lanes(3);
    for class in [Class::Background, Class::Dirty, Class::Demand, Class::Packets, Class::Handover] {
        write(&mut core, class, 70_000);
    }
    // Announcing the streams takes lane 0 first; its first bytes are the most urgent ones.
    assert_eq!(next_class(&mut core, &tickets[0]), Some(Class::Handover));
    let order: Vec<_> = std::iter::from_fn(|| next_class(&mut core, &tickets[1])).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(order.len(), 14);
}

/// With one lane left it carries everything, still in order of urgency.
#[tokio::test]
async fn a_single_lane_left_carries_bulk_too() {
    let (mut core, tickets) = core_with_lanes(2);
    core.detach(&tickets[1]);
    write(&mut core, Class::Background, 40_000);
    write(&mut core, Class::Demand, 40_000);
    let order: Vec<_> = std::iter::from_fn(|| next_class(&mut core, &tickets[0])).collect();
    assert_eq!(order, [Class::Demand, Class::Demand, Class::Background, Class::Background]);
}

/// What a dead lane left goes again under its old number, before what comes later of its class.
#[tokio::test]
async fn a_dead_lanes_records_go_first() {
    let (mut core, tickets) = core_with_lanes(3);
    write(&mut core, Class::Background, 200_000);
    let sequence = |next| match next {
        Next::Send(Outgoing::Record { record, .. }) => record.sequence,
        Next::Send(Outgoing::Small(_)) | Next::Wait(_) | Next::Gone => panic!("a record was due"),
    };
    assert_eq!(next_class(&mut core, &tickets[1]), Some(Class::Background));
    next_class(&mut core, &tickets[2]);
    core.detach(&tickets[1]);
    let again = [0, 1].map(|_| sequence(core.next(&tickets[2], Instant::now())));
    assert_eq!(again, [0, 1]);
}

/// Over slowed lanes full of background, a demand request is answered before a few records of background are through.
#[tokio::test(flavor = "multi_thread")]
async fn demand_is_answered_under_load() {
    let rig = Rig::with_rate(Config { lanes: 3, ..config() }, Some(2_000_000)).await;
    let mut random = seeded();
    let mut bulk = rig.a.open("bulk", Class::Background).await.unwrap();
    let mut far_bulk = soon(rig.b.accept()).await.unwrap().stream;
    tokio::spawn(async move { tokio::io::copy(&mut far_bulk, &mut tokio::io::sink()).await });
    let mut noise = vec![0; 3_000_000];
    random.fill(&mut noise);
    soon(bulk.write_all(&noise)).await.unwrap();
    let endless = tokio::spawn(async move { while bulk.write_all(&noise).await.is_ok() {} });
    let mut demand = rig.a.open("disk", Class::Demand).await.unwrap();
    let far = tokio::spawn(super::faults::echo_server(rig.b.clone()));
    let before = background_records(&rig);
    demand.write_all(b"request").await.unwrap();
    soon(demand.read_exact(&mut [0; 7])).await.unwrap();
    let overtaken = background_records(&rig) - before;
    // A lane passes 61 records a second; a round trip through the relay's buffers takes well below a fifth of that.
    println!("{overtaken} background records sent meanwhile");
    assert!(overtaken <= 24, "{overtaken}");
    demand.shutdown().await.unwrap();
    soon(far).await.unwrap();
    endless.abort();
}

fn background_records(rig: &Rig) -> u64 {
    let stats = rig.a.stats();
    let rows = stats.sent.iter().filter(|row| row.class == Class::Background);
    rows.map(|row| row.records).sum()
}

/// A tunnel with a cap sends no faster than it.
#[tokio::test(flavor = "multi_thread")]
async fn pacing_bounds_the_rate() {
    const BYTES: usize = 2_000_000;
    let rig = Rig::new(Config { pacing_bits_per_second: NonZeroU64::new(16_000_000), ..config() }).await;
    let mut noise = vec![0; BYTES];
    seeded().fill(&mut noise);
    let start = Instant::now();
    let mut stream = rig.a.open("x", Class::Background).await.unwrap();
    let far = rig.b.clone();
    let reader = tokio::spawn(async move {
        let mut far = far.accept().await.unwrap().stream;
        tokio::io::copy(&mut far, &mut tokio::io::sink()).await.unwrap()
    });
    soon(stream.write_all(&noise)).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(soon(reader).await.unwrap() as usize, BYTES);
    // One second at the cap, less what each lane had in hand.
    assert!(start.elapsed().as_millis() >= 800, "{:?}", start.elapsed());
}
