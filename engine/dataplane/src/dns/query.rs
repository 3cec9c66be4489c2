//! A small client that reads an answer back from one server, as a resolver would.
//!
//! Asks the server it is told to ask and nobody else; never follows a name anywhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;
use domain::base::{Name, Question, ToName};
use domain::rdata::{A, Soa};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::server::{read_framed, write_framed};
use super::zone::OwnedName;

/// Queries sent over UDP before the server counts as silent.
const ATTEMPTS: usize = 3;
/// How long each of them is waited for: several round trips of a long link.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long the whole exchange over TCP may take.
const TCP: Duration = Duration::from_secs(5);
/// We advertise no EDNS, so no honest reply over UDP is longer.
const REPLY_BYTES_MAX: usize = 512;

/// Why an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no DNS name.
    #[error("ask for `{0}`: not a DNS name")]
    Name(String),
    /// No answer came in time. Worth another try.
    #[error("get an answer from {0} within {ATTEMPTS} attempts")]
    Silent(SocketAddr),
    /// The exchange broke.
    #[error("talk to {server}")]
    Io {
        /// Who was asked.
        server: SocketAddr,
        /// What broke.
        source: io::Error,
    },
    /// The server answered with a code other than success.
    #[error("resolve `{name}`: the server says {rcode}")]
    Refused {
        /// What was asked for.
        name: String,
        /// NXDOMAIN, REFUSED, ...
        rcode: Rcode,
    },
    /// The answer holds no such record, or cannot be read.
    #[error("find {wanted} of `{name}` in the answer")]
    Missing {
        /// What was asked for.
        name: String,
        /// The record's type.
        wanted: Rtype,
    },
}

/// What a server says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Its address.
    pub address: Ipv4Addr,
    /// How long it may be kept, in seconds.
    pub ttl_seconds: u32,
    /// The zone's serial, asked for after the address: the address is at most as old as this serial.
    pub serial: u32,
}

/// Asks `server` for the address of `name` (full, such as `web.vm.example.net`) and then for the serial of its zone,
/// which is the name without its first label. Over UDP with up to three attempts of a second each; over TCP when the
/// answer does not fit.
///
/// # Errors
/// When the server is silent, refuses, or has no such record.
pub async fn query(server: SocketAddr, name: &str) -> Result<Reply, QueryError> {
    let owner: OwnedName = Name::vec_from_str(name).map_err(|_| QueryError::Name(name.to_owned()))?;
    let zone =
        owner.parent().map(|parent| parent.to_vec()).ok_or_else(|| QueryError::Name(name.to_owned()))?;
    let message = ask(server, &owner, Rtype::A).await?;
    let (address, ttl_seconds) = read_address(&message).ok_or_else(|| missing(name, Rtype::A))?;
    let message = ask(server, &zone, Rtype::SOA).await?;
    let serial = read_serial(&message).ok_or_else(|| missing(name, Rtype::SOA))?;
    Ok(Reply { address, ttl_seconds, serial })
}

fn missing(name: &str, wanted: Rtype) -> QueryError {
    QueryError::Missing { name: name.to_owned(), wanted }
}

async fn ask(server: SocketAddr, name: &OwnedName, qtype: Rtype) -> Result<Message<Vec<u8>>, QueryError> {
    let request = request(name, qtype);
    let io = |source| QueryError::Io { server, source };
    let mut reply = ask_udp(server, &request).await.map_err(io)?.ok_or(QueryError::Silent(server))?;
    if reply.header().tc() {
        let exchange =
            timeout(TCP, ask_tcp(server, &request)).await.map_err(|_| QueryError::Silent(server))?;
        reply = exchange.map_err(io)?;
    }
    match reply.header().rcode() {
        Rcode::NOERROR => Ok(reply),
        rcode => Err(QueryError::Refused { name: name.to_string(), rcode }),
    }
}

fn request(name: &OwnedName, qtype: Rtype) -> Message<Vec<u8>> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(fastrand::u16(..));
    let mut builder = builder.question();
    builder.push(Question::new_in(name, qtype)).expect("a question of one name fits an empty message");
    builder.into_message()
}

async fn ask_udp(server: SocketAddr, request: &Message<Vec<u8>>) -> io::Result<Option<Message<Vec<u8>>>> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    for _ in 0..ATTEMPTS {
        socket.send(request.as_slice()).await?;
        if let Ok(reply) = timeout(ATTEMPT, receive(&socket, request)).await {
            return reply.map(Some);
        }
    }
    Ok(None)
}

/// The next datagram that answers the request; others are somebody's guesses and are passed over.
async fn receive(socket: &UdpSocket, request: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let mut buffer = vec![0; REPLY_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(reply) = accept(buffer[..length].to_vec(), request) {
            return Ok(reply);
        }
    }
}

fn accept(bytes: Vec<u8>, request: &Message<Vec<u8>>) -> Option<Message<Vec<u8>>> {
    Message::from_octets(bytes).ok().filter(|reply| reply.is_answer(request))
}

async fn ask_tcp(server: SocketAddr, request: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, request.as_slice()).await?;
    accept(read_framed(&mut stream).await?, request).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_address(message: &Message<Vec<u8>>) -> Option<(Ipv4Addr, u32)> {
    let record = message.answer().ok()?.limit_to_in::<A>().next()?.ok()?;
    Some((record.data().addr(), record.ttl().as_secs()))
}

fn read_serial(message: &Message<Vec<u8>>) -> Option<u32> {
    let record = message.answer().ok()?.limit_to_in::<Soa<_>>().next()?.ok()?;
    Some(record.data().serial().into_int())
}
