//! From a query's bytes to a reply's bytes, for one snapshot. No I/O.
//!
//! Never panics and never answers with more than the asker allows: what does not fit is cut to the question with TC
//! set. Whatever cannot be read as a query is dropped (a reply, fewer than 12 bytes) or answered FORMERR without
//! repeating any of it.

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::message::Message;
use domain::base::message_builder::{
    AdditionalBuilder, AnswerBuilder, MessageBuilder, PushError, StaticCompressor,
};
use domain::base::opt::Opt;
use domain::base::{ParsedName, Question, ToName, Ttl};
use domain::rdata::{A, Ns};

use super::zone::{Answer, OwnedName, Snapshot, contains};

/// Largest UDP reply ever sent and the size we advertise: what no path fragments (dnsflagday.net, 2020).
const UDP_BYTES_MAX: u16 = 1232;
/// What a client without EDNS accepts (RFC 1035, 2.3.4).
const UDP_BYTES_PLAIN: u16 = 512;
/// Room kept for our OPT record: 11 bytes, it never carries an option.
const OPT_BYTES: usize = 11;

type Target = StaticCompressor<Vec<u8>>;
type QueryQuestion<'q> = Question<ParsedName<&'q [u8]>>;

/// What a query came in on, which bounds its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What the asker said about itself in an OPT record.
#[derive(Debug, Clone, Copy)]
struct Edns {
    payload_bytes: u16,
    version: u8,
}

/// What the zone says to a question.
enum Verdict {
    Address(Answer),
    Nameservers,
    Soa,
    NoData,
    NoName,
}

/// The reply to a query; `None` when silence is the right answer.
pub(super) fn respond(snapshot: &Snapshot, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let message = Message::from_octets(query).ok()?;
    if message.header().qr() {
        return None;
    }
    let reply = match read(&message) {
        Ok((question, edns)) => Reply { message: &message, question, edns, transport }.compose(snapshot),
        Err(rcode) => bare(&message, rcode),
    };
    reply.ok()
}

/// The one question and the OPT record, or the code that refuses the message.
fn read<'q>(message: &'q Message<&'q [u8]>) -> Result<(QueryQuestion<'q>, Option<Edns>), Rcode> {
    if message.header().opcode() != Opcode::QUERY {
        return Err(Rcode::NOTIMP);
    }
    let question = message.sole_question().map_err(|_| Rcode::FORMERR)?;
    Ok((question, read_edns(message)?))
}

fn read_edns(message: &Message<&[u8]>) -> Result<Option<Edns>, Rcode> {
    let mut found = None;
    for record in message.additional().map_err(|_| Rcode::FORMERR)? {
        let record = record.map_err(|_| Rcode::FORMERR)?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        let record = record.into_record::<Opt<_>>().ok().flatten().ok_or(Rcode::FORMERR)?;
        let opt = domain::base::opt::OptRecord::from_record(record);
        let edns = Edns { payload_bytes: opt.udp_payload_size(), version: opt.version() };
        if found.replace(edns).is_some() {
            return Err(Rcode::FORMERR);
        }
    }
    Ok(found)
}

/// A reply that repeats nothing but the query's id.
fn bare(message: &Message<&[u8]>, rcode: Rcode) -> Result<Vec<u8>, PushError> {
    let mut builder = MessageBuilder::new_vec();
    let header = builder.header_mut();
    header.set_id(message.header().id());
    header.set_qr(true);
    header.set_opcode(message.header().opcode());
    header.set_rd(message.header().rd());
    header.set_rcode(rcode);
    Ok(builder.finish())
}

struct Reply<'q> {
    message: &'q Message<&'q [u8]>,
    question: QueryQuestion<'q>,
    edns: Option<Edns>,
    transport: Transport,
}

impl Reply<'_> {
    fn compose(&self, snapshot: &Snapshot) -> Result<Vec<u8>, PushError> {
        if self.edns.is_some_and(|edns| edns.version > 0) {
            return self.refuse(OptRcode::BADVERS);
        }
        let in_zone = self.question.qclass() == Class::IN && contains(snapshot, self.question.qname());
        if !in_zone || refused(self.question.qtype()) {
            return self.refuse(OptRcode::REFUSED);
        }
        let verdict = verdict(snapshot, &self.question);
        self.records(snapshot, &verdict).or_else(|_| self.truncated())
    }

    fn records(&self, snapshot: &Snapshot, verdict: &Verdict) -> Result<Vec<u8>, PushError> {
        let mut answer = self.start(verdict_rcode(verdict))?;
        answer.header_mut().set_aa(true);
        self.push_answer(&mut answer, snapshot, verdict)?;
        let mut authority = answer.authority();
        if matches!(verdict, Verdict::NoData | Verdict::NoName) {
            authority.push((&snapshot.apex, Class::IN, snapshot.zone_ttl(), snapshot.soa()))?;
        }
        let mut additional = authority.additional();
        if matches!(verdict, Verdict::Nameservers) {
            push_glue(&mut additional, snapshot)?;
        }
        self.finish(additional, OptRcode::from_rcode(verdict_rcode(verdict)))
    }

    /// Owner names repeat the question, so that the asker's own letter case comes back (draft-vixie-dns-0x20).
    fn push_answer(
        &self,
        builder: &mut AnswerBuilder<Target>,
        snapshot: &Snapshot,
        verdict: &Verdict,
    ) -> Result<(), PushError> {
        let owner = self.question.qname();
        match verdict {
            Verdict::Address(answer) => push_address(builder, owner, *answer),
            Verdict::Nameservers => snapshot
                .nameservers
                .iter()
                .try_for_each(|name| builder.push((owner, Class::IN, snapshot.zone_ttl(), Ns::new(name)))),
            Verdict::Soa => builder.push((owner, Class::IN, snapshot.zone_ttl(), snapshot.soa())),
            Verdict::NoData | Verdict::NoName => Ok(()),
        }
    }

    fn truncated(&self) -> Result<Vec<u8>, PushError> {
        let mut answer = self.start(Rcode::NOERROR)?;
        answer.header_mut().set_aa(true);
        answer.header_mut().set_tc(true);
        self.finish(answer.additional(), OptRcode::NOERROR)
    }

    fn refuse(&self, rcode: OptRcode) -> Result<Vec<u8>, PushError> {
        self.finish(self.start(rcode.rcode())?.additional(), rcode)
    }

    fn start(&self, rcode: Rcode) -> Result<AnswerBuilder<Target>, PushError> {
        let target = StaticCompressor::new(Vec::with_capacity(usize::from(UDP_BYTES_PLAIN)));
        let mut builder = MessageBuilder::from_target(target).map_err(|_| PushError::ShortBuf)?;
        builder.set_push_limit(self.bytes_max() - OPT_BYTES);
        builder.start_answer(self.message, rcode)
    }

    fn finish(&self, mut builder: AdditionalBuilder<Target>, rcode: OptRcode) -> Result<Vec<u8>, PushError> {
        builder.clear_push_limit();
        if self.edns.is_some() {
            builder.opt(|opt| {
                opt.set_udp_payload_size(UDP_BYTES_MAX);
                opt.set_rcode(rcode);
                Ok(())
            })?;
        }
        Ok(builder.finish().into_target())
    }

    fn bytes_max(&self) -> usize {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => usize::from(UDP_BYTES_PLAIN),
            (Transport::Udp, Some(edns)) => {
                usize::from(edns.payload_bytes.clamp(UDP_BYTES_PLAIN, UDP_BYTES_MAX))
            }
        }
    }
}

/// Questions that ask for everything at once: they serve only those who send them with a false sender's address.
fn refused(qtype: Rtype) -> bool {
    [Rtype::ANY, Rtype::AXFR, Rtype::IXFR, Rtype::MAILA, Rtype::MAILB].contains(&qtype)
}

fn verdict(snapshot: &Snapshot, question: &QueryQuestion<'_>) -> Verdict {
    let name: OwnedName = question.qname().to_vec();
    if name == snapshot.apex {
        return match question.qtype() {
            Rtype::SOA => Verdict::Soa,
            Rtype::NS => Verdict::Nameservers,
            _ => Verdict::NoData,
        };
    }
    match snapshot.get(&name) {
        Some(answer) if question.qtype() == Rtype::A => Verdict::Address(answer),
        Some(_) => Verdict::NoData,
        None => Verdict::NoName,
    }
}

fn verdict_rcode(verdict: &Verdict) -> Rcode {
    match verdict {
        Verdict::NoName => Rcode::NXDOMAIN,
        Verdict::Address(_) | Verdict::Nameservers | Verdict::Soa | Verdict::NoData => Rcode::NOERROR,
    }
}

fn push_address(
    builder: &mut AnswerBuilder<Target>,
    owner: &ParsedName<&[u8]>,
    answer: Answer,
) -> Result<(), PushError> {
    builder.push((owner, Class::IN, Ttl::from_secs(answer.ttl_seconds), A::new(answer.address)))
}

fn push_glue(builder: &mut AdditionalBuilder<Target>, snapshot: &Snapshot) -> Result<(), PushError> {
    for name in &snapshot.nameservers {
        if let Some(answer) = snapshot.get(name) {
            builder.push((name, Class::IN, Ttl::from_secs(answer.ttl_seconds), A::new(answer.address)))?;
        }
    }
    Ok(())
}
