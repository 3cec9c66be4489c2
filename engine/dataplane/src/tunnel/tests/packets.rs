//! Packets over a stream.

use bytes::Bytes;

use super::rig::{Rig, config, soon};
use crate::tunnel::{Class, packets};

fn packet(number: u32) -> Bytes {
    Bytes::from([&number.to_be_bytes()[..], &vec![9; (number % 1400) as usize]].concat())
}

/// Packets arrive whole and in order; when the far end does not read, the oldest are dropped and counted.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_packets_are_dropped() {
    const COUNT: u32 = 3000;
    let rig = Rig::new(config()).await;
    let (sender, _) = packets::split(rig.a.open("packets", Class::Packets).await.unwrap(), 100);
    let far = soon(rig.b.accept()).await.unwrap().stream;
    for number in 0..COUNT {
        assert!(sender.send(packet(number)));
    }
    assert!(!sender.send(Bytes::from(vec![0; 70_000])) || sender.dropped() > 0);
    let dropped = sender.dropped() - 1;
    drop(sender);
    let (_, mut receiver) = packets::split(far, 1);
    let mut numbers = Vec::new();
    while let Some(got) = soon(receiver.receive()).await.unwrap() {
        let number = u32::from_be_bytes(got[..4].try_into().unwrap());
        assert_eq!(got, packet(number));
        numbers.push(number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.last(), Some(&(COUNT - 1)), "the newest are kept");
    assert_eq!(numbers.len() as u64 + dropped, u64::from(COUNT));
}
