//! Judges packets: which of them are not TLS between the two agents.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Problems told; more are only counted as one.
const PROBLEMS_MAX: usize = 10;
/// A record's payload may be so long, with its expansion.
const RECORD_MAX: usize = (16 << 10) + 256;
/// Change of cipher, alert, handshake, data.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// What is not TLS between the agents, in words.
    pub(super) problems: Vec<String>,
    /// Bytes in whole TLS records, their headers included.
    pub(super) tls_bytes: u64,
}

impl Judged {
    fn problem(&mut self, told: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(told);
        }
    }
}

type Flow = ((Ipv4Addr, u16), (Ipv4Addr, u16));

/// One direction of a connection: what was sent, by its distance from the first byte.
#[derive(Debug, Default)]
struct Sent {
    first: Option<u32>,
    pieces: BTreeMap<u32, Vec<u8>>,
}

/// Judges packets, each from its IP header on.
pub(super) fn judge(packets: &[Vec<u8>], sites: [Ipv4Addr; 2], port: u16) -> Judged {
    let mut judged = Judged::default();
    let mut flows: BTreeMap<Flow, Sent> = BTreeMap::new();
    for packet in packets {
        match read(packet) {
            Some((flow, tcp, payload)) if between(flow, sites, port) => {
                flows.entry(flow).or_default().add(&tcp, payload);
            }
            Some((flow, ..)) => judged.problem(format!("{flow:?} is not between the agents")),
            None => judged.problem(format!("no TCP over IPv4: {:02x?}", &packet[..packet.len().min(20)])),
        }
    }
    for (flow, sent) in flows {
        match sent.stream() {
            Some(stream) => match records(&stream) {
                Ok(bytes) => judged.tls_bytes += bytes,
                Err(at) => judged.problem(format!("{flow:?}: no TLS record at byte {at}")),
            },
            None => judged.problem(format!("{flow:?}: not seen from its first byte")),
        }
    }
    judged
}

fn between(flow: Flow, sites: [Ipv4Addr; 2], port: u16) -> bool {
    let (from, to) = flow;
    sites.contains(&from.0) && sites.contains(&to.0) && from.0 != to.0 && (from.1 == port || to.1 == port)
}

struct Tcp {
    sequence: u32,
    opens: bool,
}

fn read(packet: &[u8]) -> Option<(Flow, Tcp, &[u8])> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let Some(NetSlice::Ipv4(ip)) = sliced.net else { return None };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { return None };
    let header = ip.header();
    let flow =
        ((header.source_addr(), tcp.source_port()), (header.destination_addr(), tcp.destination_port()));
    let opens = Tcp { sequence: tcp.sequence_number(), opens: tcp.syn() };
    // The packet's own bytes, which outlive the slices made of them.
    let payload = &packet[packet.len() - tcp.payload().len()..];
    Some((flow, opens, payload))
}

impl Sent {
    fn add(&mut self, tcp: &Tcp, payload: &[u8]) {
        if tcp.opens {
            self.first = Some(tcp.sequence.wrapping_add(1));
        }
        if let Some(first) = self.first.filter(|_| !payload.is_empty()) {
            let piece = self.pieces.entry(tcp.sequence.wrapping_sub(first)).or_default();
            if piece.len() < payload.len() {
                *piece = payload.to_vec();
            }
        } else if !payload.is_empty() {
            // Kept under a place that no stream begins with, so that it is not taken for silence.
            self.pieces.insert(u32::MAX, payload.to_vec());
        }
    }

    /// What was sent, in order; `None` if the beginning is missing. Ends at a gap: what a cut or the end of the capture
    /// kept from being sent again.
    fn stream(self) -> Option<Vec<u8>> {
        if self.first.is_none() && !self.pieces.is_empty() {
            return None;
        }
        let mut stream = Vec::new();
        for (at, piece) in self.pieces {
            let at = at as usize;
            if at > stream.len() {
                break;
            }
            let known = (stream.len() - at).min(piece.len());
            stream.extend_from_slice(&piece[known..]);
        }
        Some(stream)
    }
}

/// Bytes in whole records, or where something else begins. The last record may be cut short by the end of the capture.
fn records(stream: &[u8]) -> Result<u64, usize> {
    let mut at = 0;
    while let Some(header) = stream.get(at..at + 5) {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let is_record = RECORD_TYPES.contains(&header[0])
            && header[1] == 3
            && matches!(header[2], 1 | 3)
            && (1..=RECORD_MAX).contains(&length);
        if !is_record {
            return Err(at);
        }
        if at + 5 + length > stream.len() {
            break;
        }
        at += 5 + length;
    }
    Ok(at as u64)
}

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const GUEST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn packet(from: Ipv4Addr, to: Ipv4Addr, sequence: u32, opens: bool, payload: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv4(from.octets(), to.octets(), 64);
    let builder = builder.tcp(40_000, 7, sequence, 1000);
    let builder = if opens { builder.syn() } else { builder };
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn record(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[23, 3, 3, length[0], length[1]], payload].concat()
}

/// Records that are cut into packets anywhere, sent twice or out of order are TLS.
#[test]
fn tls_in_pieces_is_tls() {
    let stream = [record(b"first"), record(&[7; 3000]), record(b"last")].concat();
    let mut packets = vec![packet(A, B, 99, true, b"")];
    let piece = |from: usize, until: usize| packet(A, B, 100 + from as u32, false, &stream[from..until]);
    packets.extend([piece(0, 7), piece(1200, 2600), piece(3, 1200), piece(0, 7), piece(2600, stream.len())]);
    let judged = judge(&packets, [A, B], 7);
    assert_eq!(judged, Judged { problems: Vec::new(), tls_bytes: stream.len() as u64 });
}

/// Words between two records, a guest's address, a connection whose beginning was not seen and a datagram are each told.
#[test]
fn what_is_not_tls_is_told() {
    let open = packet(A, B, 99, true, b"");
    let words = [record(b"x"), b"GET / HTTP/1.1".to_vec()].concat();
    let spoken = judge(&[open.clone(), packet(A, B, 100, false, &words)], [A, B], 7);
    assert!(spoken.problems[0].contains("no TLS record at byte 6"), "{spoken:?}");
    let guest = judge(&[open, packet(A, GUEST, 99, true, b"")], [A, B], 7);
    assert!(guest.problems[0].contains("not between the agents"), "{guest:?}");
    let middle = judge(&[packet(A, B, 5, false, &record(b"x"))], [A, B], 7);
    assert!(middle.problems[0].contains("first byte"), "{middle:?}");
    let mut datagram = Vec::new();
    etherparse::PacketBuilder::ipv4(A.octets(), B.octets(), 64)
        .udp(53, 53)
        .write(&mut datagram, b"x")
        .unwrap();
    assert!(judge(&[datagram], [A, B], 7).problems[0].contains("no TCP"));
}
