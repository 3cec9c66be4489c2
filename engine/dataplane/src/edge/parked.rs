//! Packets held while their VM is on its way: a ring with a bound in bytes that lets go of the oldest first.

use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;

use bytes::Bytes;

/// Most bytes held, of all VMs together: what a 100 Mbit/s link brings in a third of a second.
pub(super) const BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
struct Held {
    address: Ipv4Addr,
    packet: Bytes,
}

/// The parked packets and for which VMs parking is on.
#[derive(Debug, Default)]
pub(super) struct Parked {
    addresses: HashSet<Ipv4Addr>,
    ring: VecDeque<Held>,
    bytes: usize,
}

impl Parked {
    pub(super) fn begin(&mut self, address: Ipv4Addr) {
        self.addresses.insert(address);
    }

    pub(super) fn holds(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// Takes a packet in and says how many older ones had to go for it.
    pub(super) fn push(&mut self, address: Ipv4Addr, packet: Bytes) -> u64 {
        self.bytes += packet.len();
        self.ring.push_back(Held { address, packet });
        let mut gone = 0;
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.packet.len();
            gone += 1;
        }
        gone
    }

    /// Ends parking for a VM and returns what was held for it, oldest first.
    pub(super) fn end(&mut self, address: Ipv4Addr) -> Vec<Bytes> {
        self.addresses.remove(&address);
        let (own, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.ring).into_iter().partition(|held| held.address == address);
        self.bytes = others.iter().map(|held| held.packet.len()).sum();
        self.ring = others;
        own.into_iter().map(|held| held.packet).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const TWO: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    /// The ring never exceeds its bound, keeps the newest, and gives each VM its own packets in order.
    #[test]
    fn bounded_and_ordered() {
        let mut parked = Parked::default();
        parked.begin(ONE);
        assert!(parked.holds(ONE) && !parked.holds(TWO));
        let mut gone = 0;
        for i in 0..4096_u32 {
            let mut packet = vec![0; 1400];
            packet[..4].copy_from_slice(&i.to_be_bytes());
            gone += parked.push(if i % 2 == 0 { ONE } else { TWO }, packet.into());
            assert!(parked.bytes <= BYTES_MAX);
        }
        let held = parked.end(ONE);
        assert!(!parked.holds(ONE));
        let numbers: Vec<u32> = held.iter().map(|p| u32::from_be_bytes(p[..4].try_into().unwrap())).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 2 == pair[1]), "out of order: {numbers:?}");
        assert_eq!(numbers.last(), Some(&4094));
        let rest = parked.end(TWO);
        assert_eq!(u64::try_from(numbers.len() + rest.len()).unwrap() + gone, 4096);
        assert_eq!(parked.bytes, 0);
    }
}
