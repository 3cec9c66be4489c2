//! A peer that does not keep to the protocol.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::tunnel::codec::{Decoder, Encoder};
use crate::tunnel::core::{Core, PeerSession, Role};
use crate::tunnel::record::{HEADER_LEN, Header, Kind, MalformedRecord, Op};
use crate::tunnel::{Class, Config, RECORD_BYTES_MAX};

fn header(op: Op, len: u32) -> Header {
    Header { op, class: Class::Demand, wire_len: len, raw_len: len, stream: 1, offset: 0, sequence: 0 }
}

fn acceptor() -> Core {
    let mut core = Core::new(Config::default(), Role::Acceptor, Arc::new(Notify::new()));
    core.pair(PeerSession { session: 9, window: 1 << 20 });
    core
}

proptest! {
    /// Any 32 bytes are a header within its bounds or a named error, and a header is read back as it was written.
    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in any::<[u8; HEADER_LEN]>(), op in 0_u8..30, class in 0_u8..6) {
        let mut likely = bytes;
        likely[..4].copy_from_slice(&[op, class, 0, 0]);
        for bytes in [bytes, likely] {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert!(header.wire_len as usize <= RECORD_BYTES_MAX && header.raw_len as usize <= RECORD_BYTES_MAX);
                prop_assert_eq!(header.to_bytes(), bytes);
            }
        }
    }

    /// Whatever the bytes, decoding gives back what was encoded.
    #[test]
    fn the_codec_gives_back_what_it_got(
        noise in proptest::collection::vec(any::<u8>(), 1..RECORD_BYTES_MAX / 2),
        zeros in 0_usize..RECORD_BYTES_MAX / 2,
    ) {
        let raw = [noise, vec![0; zeros]].concat();
        let mut payload = Vec::new();
        let op = Encoder::new().unwrap().encode(&raw, &mut payload);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let header = Header { wire_len: len(&payload), raw_len: len(&raw), ..header(op, 0) };
        prop_assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        prop_assert_eq!(Decoder::new().unwrap().decode(&header, payload).unwrap(), raw);
    }

    /// Random payloads called compressed are an error or exactly as long as declared.
    #[test]
    fn compressed_noise_is_an_error(payload in proptest::collection::vec(any::<u8>(), 1..2000), raw in 1_u32..30_000) {
        let header = Header { raw_len: raw, ..header(Op::Zstd, u32::try_from(payload.len()).unwrap()) };
        if let Ok(bytes) = Decoder::new().unwrap().decode(&header, payload) {
            prop_assert_eq!(bytes.len(), raw as usize);
        }
    }

    /// No sequence of records makes the state machine panic.
    #[test]
    fn any_records_are_taken_or_refused(
        records in proptest::collection::vec((0_usize..12, 0_u32..6, 0_u64..100_000, 0_u64..40, 0_usize..3000), 0..60),
    ) {
        const OPS: [Op; 12] = [Op::Zero, Op::Zstd, Op::Raw, Op::Open, Op::Fin, Op::Reset, Op::Stop, Op::Credit, Op::Ack,
            Op::Ping, Op::Pong, Op::Close];
        let mut core = acceptor();
        core.open("x", Class::Dirty).unwrap();
        let ticket = core.attach(0, 2, Instant::now());
        for (op, stream, offset, sequence, len) in records {
            let header = Header { stream, offset, sequence, ..header(OPS[op], 0) };
            let _refused = core.on_record(&ticket, &header, Bytes::from(vec![65; len]), Instant::now());
            core.next(&ticket, Instant::now());
        }
    }
}

/// A bomb, a small payload that would grow past what it declares, is stopped at the declared length.
#[test]
fn a_bomb_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let wire_len = u32::try_from(bomb.len()).unwrap();
    let header = Header { raw_len: 32 * 1024, ..header(Op::Zstd, wire_len) };
    let refused = Decoder::new().unwrap().decode(&header, bomb);
    assert_eq!(refused, Err(MalformedRecord::Compressed(32 * 1024)));
}

/// A length past its bound is refused before a byte of it is read.
#[test]
fn a_length_past_its_bound_is_refused() {
    let too_long = u32::try_from(RECORD_BYTES_MAX).unwrap() + 1;
    for op in [Op::Raw, Op::Zero, Op::Zstd, Op::Open] {
        let refused = Header::parse(&header(op, too_long).to_bytes());
        assert!(matches!(refused, Err(MalformedRecord::Length { .. })), "{op:?}");
    }
}

/// Bytes beyond the credit, repeated bytes and a stream that is not the peer's to open are named errors.
#[tokio::test]
async fn broken_rules_are_named() {
    let window = u64::from(Config::default().window_bytes_initial);
    let cases = [
        (vec![(Op::Raw, 1, window)], MalformedRecord::Credit(1)),
        (vec![(Op::Raw, 1, 0), (Op::Raw, 1, 5)], MalformedRecord::Overlap(1)),
        (vec![(Op::Fin, 1, 5), (Op::Raw, 1, 0)], MalformedRecord::Overlap(1)),
        (vec![(Op::Raw, 2, 0)], MalformedRecord::Stream(2)),
        (vec![(Op::Ack, 0, 7)], MalformedRecord::Ack(7)),
    ];
    for (records, expected) in cases {
        let mut core = acceptor();
        let ticket = core.attach(0, 2, Instant::now());
        let mut last = Ok(true);
        for (sequence, (op, stream, offset)) in records.into_iter().enumerate() {
            let header = Header { stream, offset, sequence: sequence as u64, ..header(op, 0) };
            last = core.on_record(&ticket, &header, Bytes::from_static(&[1; 10]), Instant::now());
        }
        assert_eq!(last, Err(expected));
    }
}

/// Every kind has a name of its own.
#[test]
fn kinds_have_names() {
    assert_eq!(Kind::ALL.map(Kind::as_str), ["zero", "raw", "zstd", "control"]);
}
