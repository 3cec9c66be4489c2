//! A minimal resolver: asks the sites' servers over UDP and respects the time an answer may be kept.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::A;

/// Largest answer over UDP without EDNS.
const ANSWER_MAX: usize = 512;
const QUERY_MAX: Duration = Duration::from_secs(1);

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a name.
    #[error("read the name `{0}`")]
    Name(String),
    /// The server does not answer.
    #[error("ask {server}")]
    Silent {
        /// The server.
        server: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The answer holds no address.
    #[error("find an address in the answer of {server}: {rcode}")]
    Empty {
        /// The server.
        server: SocketAddr,
        /// Its response code.
        rcode: Rcode,
    },
    /// There is nobody to ask.
    #[error("ask: no server is known")]
    NoServer,
}

/// An address and for how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The first address.
    pub address: Ipv4Addr,
    /// How long it may be kept.
    pub ttl: Duration,
}

/// Asks one server for the address of a name, from the calling thread's namespace.
///
/// # Errors
/// When the name is none, or the server is silent for a second or knows no address.
pub fn query(server: SocketAddr, name: &str) -> Result<Answer, Error> {
    let silent = |source| Error::Silent { server, source };
    let name: Name<Vec<u8>> = name.parse().map_err(|_| Error::Name(name.to_owned()))?;
    let mut question = MessageBuilder::new_vec().question();
    question.header_mut().set_rd(false);
    question.header_mut().set_id(fastrand::u16(..));
    question.push((&name, Rtype::A)).map_err(|_| Error::Name(name.to_string()))?;
    let question = question.into_message();
    let answer = exchange(server, &question).map_err(silent)?;
    let empty = || Error::Empty { server, rcode: answer.header().rcode() };
    let section = answer.answer().map_err(|error| silent(io::Error::other(error)))?;
    let record = section.limit_to::<A>().find_map(Result::ok).ok_or_else(empty)?;
    Ok(Answer { address: record.data().addr(), ttl: record.ttl().into_duration() })
}

/// Sends a question and waits for its answer; strangers' packets are passed over.
fn exchange(server: SocketAddr, question: &Message<Vec<u8>>) -> io::Result<Message<Vec<u8>>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.send(question.as_slice())?;
    let until = Instant::now() + QUERY_MAX;
    let mut buffer = [0; ANSWER_MAX];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        match Message::from_octets(buffer[..length].to_vec()) {
            Ok(answer) if answer.is_answer(question) => return Ok(answer),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Keeps an answer as long as it may be kept; then asks the servers in turn until one answers.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    name: String,
    kept: Option<(Ipv4Addr, Instant)>,
}

impl Resolver {
    /// Of one name.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, name: String) -> Self {
        Self { servers, name, kept: None }
    }

    /// The name's address.
    ///
    /// # Errors
    /// That of the last server, when none answers.
    pub fn address(&mut self) -> Result<Ipv4Addr, Error> {
        if let Some((address, until)) = self.kept
            && Instant::now() < until
        {
            return Ok(address);
        }
        let mut failure = Error::NoServer;
        for server in &self.servers {
            match query(*server, &self.name) {
                Ok(answer) => {
                    self.kept = Some((answer.address, Instant::now() + answer.ttl));
                    return Ok(answer.address);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}
