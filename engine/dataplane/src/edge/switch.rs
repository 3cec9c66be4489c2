//! Decides, without I/O, where a packet goes: to a peer's queue, to the kernel, into the parking ring, or nowhere.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::counters::{Live, count};
use super::packet::{Ends, ends};
use super::parked::Parked;

/// Packets waiting for one peer. At 1,500 bytes and 100 Mbit/s they are 60 ms: enough for a burst, and a queue that is
/// full for longer would only make the clients' round trips longer.
const QUEUE_PACKETS_MAX: usize = 512;

/// Packets on their way to one peer; whoever pumps to that peer takes them out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: Mutex<VecDeque<Bytes>>,
    filled: Notify,
}

impl Queue {
    /// Whether there was room.
    fn push(&self, packet: Bytes) -> bool {
        let mut packets = lock(&self.packets);
        if packets.len() >= QUEUE_PACKETS_MAX {
            return false;
        }
        packets.push_back(packet);
        drop(packets);
        self.filled.notify_one();
        true
    }

    /// Waits for packets and takes out as many as fit into `bytes_max`, at least one.
    pub(super) async fn take(&self, bytes_max: usize) -> Vec<Bytes> {
        loop {
            let filled = self.filled.notified();
            let taken = self.take_now(bytes_max);
            if !taken.is_empty() {
                return taken;
            }
            filled.await;
        }
    }

    fn take_now(&self, bytes_max: usize) -> Vec<Bytes> {
        let mut packets = lock(&self.packets);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = packets.front() {
            bytes += next.len();
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.extend(packets.pop_front());
        }
        if !packets.is_empty() {
            self.filled.notify_one();
        }
        taken
    }
}

/// The routing state of the user-space half of the edge.
#[derive(Debug, Default)]
pub(super) struct Switch {
    state: Mutex<State>,
    pub(super) counters: Live,
}

#[derive(Debug, Default)]
struct State {
    peers: HashMap<Ipv4Addr, String>,
    queues: HashMap<String, Arc<Queue>>,
    parked: Parked,
}

impl State {
    /// The peer a packet concerns: where its target VM is, else where its source VM's home is.
    fn peer(&self, ends: Ends) -> Option<&String> {
        self.peers.get(&ends.target).or_else(|| self.peers.get(&ends.source))
    }
}

impl Switch {
    /// From now on packets to or from `address` belong to `peer`.
    pub(super) fn associate(&self, address: Ipv4Addr, peer: &str) {
        lock(&self.state).peers.insert(address, peer.to_owned());
    }

    pub(super) fn forget(&self, address: Ipv4Addr) {
        lock(&self.state).peers.remove(&address);
    }

    pub(super) fn queue(&self, peer: &str) -> Arc<Queue> {
        Arc::clone(lock(&self.state).queues.entry(peer.to_owned()).or_default())
    }

    pub(super) fn park(&self, address: Ipv4Addr) {
        lock(&self.state).parked.begin(address);
    }

    /// Ends parking and returns what was held, oldest first.
    pub(super) fn unpark(&self, address: Ipv4Addr) -> Vec<Bytes> {
        lock(&self.state).parked.end(address)
    }

    /// Takes a packet that the kernel routed into the tunnel device.
    pub(super) fn take_from_kernel(&self, packet: Bytes) {
        let Some(ends) = ends(&packet) else { return count(&self.counters.dropped_malformed) };
        let state = lock(&self.state);
        let queue = state.peer(ends).and_then(|peer| state.queues.get(peer)).map(Arc::clone);
        drop(state);
        match queue {
            None => count(&self.counters.dropped_unknown),
            Some(queue) if queue.push(packet) => {}
            Some(_) => count(&self.counters.dropped_congested),
        }
    }

    /// Takes a packet that a peer sent and returns it if the kernel is to have it now.
    pub(super) fn take_from_peer(&self, peer: &str, packet: Bytes) -> Option<Bytes> {
        let Some(ends) = ends(&packet) else {
            count(&self.counters.dropped_malformed);
            return None;
        };
        let mut state = lock(&self.state);
        let belongs = |address| state.peers.get(&address).is_some_and(|known| known == peer);
        if !belongs(ends.target) && !belongs(ends.source) {
            count(&self.counters.dropped_foreign);
            return None;
        }
        if state.parked.holds(ends.target) {
            count(&self.counters.parked);
            let gone = state.parked.push(ends.target, packet);
            self.counters.dropped_parked.fetch_add(gone, std::sync::atomic::Ordering::Relaxed);
            return None;
        }
        Some(packet)
    }
}

/// No code panics while it holds one of these locks half-way through a change, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::packet;
    use super::*;

    const VM: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 50);
    const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    fn bytes(source: Ipv4Addr, target: Ipv4Addr) -> Bytes {
        packet(source, target, 100).into()
    }

    /// Both directions of a moved VM's flow reach its peer's queue, and a packet of nobody's is dropped and counted.
    #[test]
    fn dispatches_by_vm() {
        let switch = Switch::default();
        switch.associate(VM, "b");
        let queue = switch.queue("b");
        switch.take_from_kernel(bytes(CLIENT, VM));
        switch.take_from_kernel(bytes(VM, CLIENT));
        switch.take_from_kernel(bytes(CLIENT, OTHER));
        assert_eq!(queue.take_now(10_000).len(), 2);
        assert_eq!(switch.counters.read().dropped_unknown, 1);
    }

    /// A full queue drops and counts; it does not grow.
    #[test]
    fn queue_is_bounded() {
        let switch = Switch::default();
        switch.associate(VM, "b");
        let queue = switch.queue("b");
        for _ in 0..QUEUE_PACKETS_MAX + 7 {
            switch.take_from_kernel(bytes(CLIENT, VM));
        }
        assert_eq!(switch.counters.read().dropped_congested, 7);
        assert_eq!(queue.take_now(usize::MAX).len(), QUEUE_PACKETS_MAX);
    }

    /// A peer cannot send packets that concern none of its VMs.
    #[test]
    fn refuses_foreign_packets() {
        let switch = Switch::default();
        switch.associate(VM, "b");
        assert_eq!(switch.take_from_peer("c", bytes(VM, CLIENT)), None);
        assert_eq!(switch.take_from_peer("b", bytes(OTHER, CLIENT)), None);
        assert!(switch.take_from_peer("b", bytes(VM, CLIENT)).is_some());
        assert_eq!(switch.counters.read().dropped_foreign, 2);
    }

    /// What a peer brings for a VM that is parked waits. What the VM sends, and what this site sends after it as long as it
    /// runs at the peer, does not.
    #[test]
    fn parks_what_arrives() {
        let switch = Switch::default();
        switch.associate(VM, "a");
        let queue = switch.queue("a");
        switch.park(VM);
        assert_eq!(switch.take_from_peer("a", bytes(CLIENT, VM)), None);
        switch.take_from_kernel(bytes(CLIENT, VM));
        switch.take_from_kernel(bytes(VM, CLIENT));
        assert_eq!(queue.take_now(10_000).len(), 2);
        assert_eq!(switch.unpark(VM).len(), 1);
        assert!(switch.take_from_peer("a", bytes(CLIENT, VM)).is_some());
    }
}
