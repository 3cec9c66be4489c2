//! The two addresses of an IPv4 packet. Nothing else of a packet concerns the edge.

use std::net::Ipv4Addr;

/// Shortest IPv4 header, in bytes.
pub(super) const HEADER_BYTES: usize = 20;

/// Who sent a packet and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: Ipv4Addr,
    pub(super) target: Ipv4Addr,
}

/// The ends of an IPv4 packet that is as long as it says; `None` for anything else.
pub(super) fn ends(packet: &[u8]) -> Option<Ends> {
    let header: &[u8; HEADER_BYTES] = packet.first_chunk()?;
    let says = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || says != packet.len() {
        return None;
    }
    let at = |i: usize| Ipv4Addr::new(header[i], header[i + 1], header[i + 2], header[i + 3]);
    Some(Ends { source: at(12), target: at(16) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A packet of a header and `payload` bytes.
    pub(crate) fn packet(source: Ipv4Addr, target: Ipv4Addr, payload: usize) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES + payload];
        let length = u16::try_from(packet.len()).unwrap();
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[12..16].copy_from_slice(&source.octets());
        packet[16..20].copy_from_slice(&target.octets());
        packet
    }

    /// A packet's ends are found; a cut, padded or IPv6 one is no packet.
    #[test]
    fn reads_ends() {
        let (source, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut bytes = packet(source, target, 8);
        assert_eq!(ends(&bytes), Some(Ends { source, target }));
        assert_eq!(ends(&bytes[..27]), None);
        assert_eq!(ends(&bytes[..10]), None);
        bytes[0] = 0x65;
        assert_eq!(ends(&bytes), None);
    }
}
