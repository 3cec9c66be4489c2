//! The name server as its clients see it: bytes in, bytes out, then over real sockets.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;
use domain::base::{Name, Question};
use domain::rdata::{A, Ns, Soa};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{Transport, respond};
use super::zone::Snapshot;
use super::{Answer, Handle, Nameserver, QueryError, Reply, Server, Zone, query};

const WEB: Answer = Answer { address: Ipv4Addr::new(10, 10, 0, 50), ttl_seconds: 5 };
const DEADLINE: Duration = Duration::from_secs(20);

/// A zone with enough long-named servers that its NS records fit neither 512 nor 1,232 bytes.
fn zone(nameservers: usize) -> Zone {
    let label = |n: usize| format!("{n:03}{}", "n".repeat(60));
    let nameservers = (0..nameservers).map(|n| Nameserver { label: label(n), address: Ipv4Addr::LOCALHOST });
    Zone { name: "vm.example.test".into(), nameservers: nameservers.collect(), serial: 41 }
}

fn served() -> Handle {
    let handle = Handle::new(Snapshot::new(&zone(20)).unwrap());
    handle.set("web", WEB).unwrap();
    handle
}

fn question(name: &str, qtype: Rtype, qclass: Class) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0x1234);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push(Question::new(Name::vec_from_str(name).unwrap(), qtype, qclass)).unwrap();
    builder.finish()
}

fn with_edns(query: &[u8], payload_bytes: u16, version: u8) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec()
        .start_answer(&Message::from_octets(query).unwrap(), Rcode::NOERROR)
        .unwrap()
        .additional();
    builder.header_mut().set_qr(false);
    builder
        .opt(|opt| {
            opt.set_udp_payload_size(payload_bytes);
            opt.set_version(version);
            Ok(())
        })
        .unwrap();
    builder.finish()
}

fn reply(query: &[u8], transport: Transport) -> Message<Vec<u8>> {
    let bytes = respond(&served().snapshot(), query, transport).expect("an answer");
    let reply = Message::from_octets(bytes).unwrap();
    assert_eq!(reply.header().id(), 0x1234);
    assert!(reply.header().qr());
    reply
}

fn ask(name: &str, qtype: Rtype) -> Message<Vec<u8>> {
    reply(&question(name, qtype, Class::IN), Transport::Udp)
}

fn rcode(name: &str, qtype: Rtype) -> Rcode {
    ask(name, qtype).header().rcode()
}

fn authority_serial(message: &Message<Vec<u8>>) -> u32 {
    let record = message.authority().unwrap().limit_to_in::<Soa<_>>().next().unwrap().unwrap();
    record.data().serial().into_int()
}

/// A VM's name gets its address, with the letters of the question as they were asked.
#[test]
fn answers_address() {
    let message = ask("wEb.vM.eXample.test", Rtype::A);
    assert!(message.header().aa() && message.header().rd() && !message.header().ra());
    let record = message.answer().unwrap().limit_to_in::<A>().next().unwrap().unwrap();
    assert_eq!((record.data().addr(), record.ttl().as_secs()), (WEB.address, WEB.ttl_seconds));
    assert_eq!(record.owner().to_string(), "wEb.vM.eXample.test");
}

/// A name that is not there and a type that is not there are told apart, each with the zone's serial.
#[test]
fn denies() {
    let absent = ask("nobody.vm.example.test", Rtype::A);
    assert_eq!((absent.header().rcode(), authority_serial(&absent)), (Rcode::NXDOMAIN, 42));
    let no_data = ask("web.vm.example.test", Rtype::AAAA);
    assert_eq!((no_data.header().rcode(), authority_serial(&no_data)), (Rcode::NOERROR, 42));
    assert_eq!(no_data.header_counts().ancount(), 0);
    assert_eq!(rcode("vm.example.test", Rtype::A), Rcode::NOERROR);
}

/// Other zones, other classes, everything at once and zone transfers are refused; other operations do not exist.
#[test]
fn refuses() {
    assert_eq!(rcode("example.test", Rtype::A), Rcode::REFUSED);
    assert_eq!(rcode("xvm.example.test", Rtype::A), Rcode::REFUSED);
    for qtype in [Rtype::ANY, Rtype::AXFR, Rtype::IXFR] {
        assert_eq!(rcode("vm.example.test", qtype), Rcode::REFUSED);
    }
    let chaos = reply(&question("version.bind", Rtype::TXT, Class::CH), Transport::Tcp);
    assert_eq!(chaos.header().rcode(), Rcode::REFUSED);
    let mut notify = question("vm.example.test", Rtype::SOA, Class::IN);
    Message::from_octets(notify.as_mut_slice()).unwrap().header_mut().set_opcode(Opcode::NOTIFY);
    assert_eq!(reply(&notify, Transport::Udp).header().rcode(), Rcode::NOTIMP);
}

/// What is no query gets silence, what is half a query gets FORMERR.
#[test]
fn rejects_malformed() {
    let snapshot = served().snapshot();
    let query = question("web.vm.example.test", Rtype::A, Class::IN);
    assert_eq!(respond(&snapshot, &query[..11], Transport::Udp), None);
    let mut answer = query.clone();
    answer[2] |= 0x80;
    assert_eq!(respond(&snapshot, &answer, Transport::Udp), None);
    assert_eq!(reply(&query[..query.len() - 1], Transport::Udp).header().rcode(), Rcode::FORMERR);
    let mut two = query.clone();
    two[5] = 2;
    assert_eq!(reply(&two, Transport::Udp).header().rcode(), Rcode::FORMERR);
    let mut two_opts = with_edns(&query, 1232, 0);
    let opt = two_opts[query.len()..].to_vec();
    two_opts.extend(opt);
    two_opts[11] = 2;
    assert_eq!(reply(&two_opts, Transport::Udp).header().rcode(), Rcode::FORMERR);
}

/// EDNS is answered with EDNS, an unknown version with BADVERS, and its absence with nothing.
#[test]
fn speaks_edns() {
    let plain = question("web.vm.example.test", Rtype::A, Class::IN);
    assert!(reply(&plain, Transport::Udp).opt().is_none());
    let known = reply(&with_edns(&plain, 4096, 0), Transport::Udp);
    assert_eq!(known.opt().unwrap().udp_payload_size(), 1232);
    let unknown = reply(&with_edns(&plain, 4096, 1), Transport::Udp);
    assert_eq!(unknown.opt().unwrap().rcode(unknown.header()).to_int(), 16);
    assert_eq!(unknown.header_counts().ancount(), 0);
}

/// What does not fit into a datagram is cut with TC set and comes whole over TCP.
#[test]
fn truncates() {
    let plain = question("vm.example.test", Rtype::NS, Class::IN);
    for query in [plain.clone(), with_edns(&plain, 4096, 0)] {
        let cut = reply(&query, Transport::Udp);
        assert!(cut.header().tc() && cut.as_slice().len() <= 512, "{} bytes", cut.as_slice().len());
        let whole = reply(&query, Transport::Tcp);
        assert!(!whole.header().tc());
        assert_eq!(whole.answer().unwrap().limit_to_in::<Ns<_>>().count(), 20);
        assert_eq!(whole.additional().unwrap().limit_to_in::<A>().count(), 20);
    }
}

fn sound(query: &[u8]) -> Result<(), TestCaseError> {
    let snapshot = served().snapshot();
    for (transport, bytes_max) in [(Transport::Udp, 1232), (Transport::Tcp, 65_535)] {
        let Some(bytes) = respond(&snapshot, query, transport) else { continue };
        prop_assert!(bytes.len() <= bytes_max);
        prop_assert_eq!(&bytes[..2], &query[..2]);
        prop_assert!(bytes[2] & 0x80 != 0, "a reply that is a query would be answered for ever");
        let reply = Message::from_octets(bytes).map_err(|_| TestCaseError::fail("a short reply"))?;
        for record in reply.iter() {
            prop_assert!(record.is_ok(), "a reply that cannot be read");
        }
    }
    Ok(())
}

proptest! {
    /// No bytes make the server panic or send what cannot be read.
    #[test]
    fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        sound(&bytes)?;
    }

    /// No damage to a good query does so either, compression loops included.
    #[test]
    fn survives_damaged_queries(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
        qtype in any::<u16>(),
    ) {
        let mut query = with_edns(&question("web.vm.example.test", Rtype::from_int(qtype), Class::IN), 700, 0);
        query.extend(tail);
        for (at, value) in changes {
            let at = at.index(query.len());
            query[at] = value;
        }
        sound(&query)?;
    }
}

async fn running() -> (SocketAddr, Handle) {
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), &zone(20)).await.unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    tokio::spawn(server.run());
    (address, handle)
}

/// What was set is read back with the serial that setting it returned, and the next change is seen at once.
#[tokio::test]
async fn reads_back() {
    let (server, handle) = running().await;
    for address in [WEB.address, Ipv4Addr::new(10, 9, 0, 50)] {
        let serial = handle.set("web", Answer { address, ..WEB }).unwrap();
        let reply = query(server, "web.vm.example.test").await.unwrap();
        assert_eq!(reply, Reply { address, ttl_seconds: 5, serial });
    }
    let refused = query(server, "nobody.vm.example.test").await.unwrap_err();
    assert!(matches!(refused, QueryError::Refused { rcode: Rcode::NXDOMAIN, .. }), "{refused}");
}

/// A server that says nothing is given up.
#[tokio::test]
async fn gives_up_on_silence() {
    let silent = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = silent.local_addr().unwrap();
    let given_up =
        timeout(DEADLINE, query(server, "web.vm.example.test")).await.expect("in time").unwrap_err();
    assert!(matches!(given_up, QueryError::Silent(at) if at == server), "{given_up}");
}

/// Connections past the bound are closed at once, the others stay served.
#[tokio::test]
async fn bounds_connections() {
    let (server, _handle) = running().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(server).await.unwrap();
        exchange(&mut stream).await;
        open.push(stream);
    }
    let mut refused = TcpStream::connect(server).await.unwrap();
    let end = timeout(DEADLINE, refused.read(&mut [0])).await.expect("closed in time");
    assert!(matches!(end, Ok(0) | Err(_)));
    exchange(&mut open[0]).await;
}

async fn exchange(stream: &mut TcpStream) {
    let query = question("vm.example.test", Rtype::NS, Class::IN);
    super::server::write_framed(stream, &query).await.unwrap();
    let reply = timeout(DEADLINE, super::server::read_framed(stream)).await.expect("in time").unwrap();
    assert_eq!(Message::from_octets(reply).unwrap().header_counts().ancount(), 20);
}

/// An independent client agrees: address, serial, and the way from UDP to TCP. Needs `dig`; skipped without, except on CI.
#[tokio::test(flavor = "multi_thread")]
async fn dig_agrees() {
    if Command::new("dig").arg("-v").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs dig for this test");
        let _ = writeln!(std::io::stderr(), "skipped: needs dig");
        return;
    }
    let (server, handle) = running().await;
    let serial = handle.set("web", WEB).unwrap();
    let dig = |arguments: &str| {
        let port = server.port().to_string();
        let output =
            Command::new("dig").args(["@127.0.0.1", "-p", &port]).args(arguments.split(' ')).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(dig("+short web.vm.example.test A").trim(), "10.10.0.50");
    assert!(dig("+short vm.example.test SOA").contains(&format!(" {serial} ")));
    let long = dig("+noedns vm.example.test NS");
    assert!(long.contains("ANSWER: 20") && long.contains("(TCP)"), "{long}");
    assert!(dig("web.vm.example.test ANY +notcp").contains("status: REFUSED"));
    assert!(dig("vm.example.test AXFR").contains("Transfer failed"));
    assert!(dig("nobody.vm.example.test").contains("status: NXDOMAIN"));
}
