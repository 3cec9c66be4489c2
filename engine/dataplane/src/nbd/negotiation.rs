//! The server's half of the negotiation: option in, replies out. No I/O here.
//!
//! It must never open an export twice on one connection, and never let a refused client into the transmission phase.

use bytes::{BufMut, Bytes, BytesMut};

use super::option::{ClientOption, MetaQuery, encode_reply};
use super::reply::Style;
use super::wire::{
    BASE_ALLOCATION, BASE_ALLOCATION_ID, MAX_OPTIONS, MAX_PAYLOAD, MIN_BLOCK, PREFERRED_BLOCK, export_flag,
    info, opt, rep,
};
use super::{Device, Exports, Info, OpenRefused};

/// What was agreed.
pub struct Agreed<D> {
    /// The export.
    pub device: D,
    /// How to answer.
    pub style: Style,
    /// Whether block status may be asked.
    pub allocation: bool,
}

/// What happens after an option.
pub enum Next<D> {
    /// Another option is expected.
    Option,
    /// Requests are expected.
    Transmission(Agreed<D>),
    /// The connection ends.
    End,
}

/// State of one negotiation.
#[derive(Debug, Default)]
pub struct Negotiation {
    no_zeroes: bool,
    structured: bool,
    /// Name of the export for which `base:allocation` was agreed.
    allocation: Option<String>,
    options: usize,
}

impl Negotiation {
    /// Begins; `no_zeroes` as the client's greeting said.
    pub fn new(no_zeroes: bool) -> Self {
        Self { no_zeroes, ..Self::default() }
    }

    /// Takes one option, writes the replies to `out`.
    pub fn take<E: Exports>(
        &mut self,
        number: u32,
        data: Bytes,
        exports: &E,
        out: &mut BytesMut,
    ) -> Next<E::Device> {
        self.options += 1;
        if self.options > MAX_OPTIONS {
            encode_reply(out, number, rep::ERR_TOO_BIG, b"too many options");
            return Next::End;
        }
        match ClientOption::decode(number, data) {
            ClientOption::ExportName(name) => return self.export_name(&name, exports, out),
            ClientOption::Abort => {
                encode_reply(out, number, rep::ACK, b"");
                return Next::End;
            }
            ClientOption::List => list(exports, out),
            ClientOption::Info(name) => match exports.inspect(&name) {
                Ok(info) => self.facts(number, info, out),
                Err(refused) => refuse(number, &refused, out),
            },
            ClientOption::Go(name) => match exports.open(&name) {
                Ok(device) => {
                    self.facts(number, device.info(), out);
                    return Next::Transmission(self.agree(&name, device));
                }
                Err(refused) => refuse(number, &refused, out),
            },
            ClientOption::StructuredReply => {
                self.structured = true;
                encode_reply(out, number, rep::ACK, b"");
            }
            ClientOption::ListMetaContext(query) => contexts(number, &query, exports, out),
            ClientOption::SetMetaContext(query) => self.set_contexts(number, query, exports, out),
            ClientOption::Unknown(number) => encode_reply(out, number, rep::ERR_UNSUP, b"unknown option"),
            ClientOption::Invalid(number) => encode_reply(out, number, rep::ERR_INVALID, b"malformed option"),
        }
        Next::Option
    }

    fn agree<D>(&self, name: &str, device: D) -> Agreed<D> {
        let style = if self.structured { Style::Structured } else { Style::Simple };
        Agreed { device, style, allocation: self.structured && self.allocation.as_deref() == Some(name) }
    }

    /// The old option has no way to say no but to hang up.
    fn export_name<E: Exports>(&self, name: &str, exports: &E, out: &mut BytesMut) -> Next<E::Device> {
        let Ok(device) = exports.open(name) else { return Next::End };
        out.put_u64(device.info().size);
        out.put_u16(self.flags(device.info()));
        if !self.no_zeroes {
            out.put_bytes(0, 124);
        }
        Next::Transmission(self.agree(name, device))
    }

    fn facts(&self, option: u32, facts: Info, out: &mut BytesMut) {
        let mut export = BytesMut::new();
        export.put_u16(info::EXPORT);
        export.put_u64(facts.size);
        export.put_u16(self.flags(facts));
        encode_reply(out, option, rep::INFO, &export);
        let mut blocks = BytesMut::new();
        blocks.put_u16(info::BLOCK_SIZE);
        [MIN_BLOCK, PREFERRED_BLOCK, MAX_PAYLOAD].into_iter().for_each(|size| blocks.put_u32(size));
        encode_reply(out, option, rep::INFO, &blocks);
        encode_reply(out, option, rep::ACK, b"");
    }

    fn flags(&self, info: Info) -> u16 {
        let always = export_flag::HAS_FLAGS
            | export_flag::SEND_FLUSH
            | export_flag::SEND_FUA
            | export_flag::SEND_TRIM
            | export_flag::SEND_WRITE_ZEROES
            | export_flag::CAN_MULTI_CONN;
        let read_only = if info.read_only { export_flag::READ_ONLY } else { 0 };
        let whole = if self.structured { export_flag::SEND_DF } else { 0 };
        always | read_only | whole
    }

    fn set_contexts<E: Exports>(&mut self, option: u32, query: MetaQuery, exports: &E, out: &mut BytesMut) {
        self.allocation = None;
        if !self.structured {
            encode_reply(out, option, rep::ERR_INVALID, b"structured replies first");
            return;
        }
        contexts(option, &query, exports, out);
        if query.queries.iter().any(|query| query == BASE_ALLOCATION)
            && exports.inspect(&query.export).is_ok()
        {
            self.allocation = Some(query.export);
        }
    }
}

fn list<E: Exports>(exports: &E, out: &mut BytesMut) {
    for name in exports.list() {
        let mut data = BytesMut::new();
        data.put_u32(u32::try_from(name.len()).expect("our names are short"));
        data.put_slice(name.as_bytes());
        encode_reply(out, opt::LIST, rep::SERVER, &data);
    }
    encode_reply(out, opt::LIST, rep::ACK, b"");
}

fn refuse(option: u32, refused: &OpenRefused, out: &mut BytesMut) {
    match refused {
        OpenRefused::Unknown => encode_reply(out, option, rep::ERR_UNKNOWN, b"no such export"),
        OpenRefused::Policy(reason) => encode_reply(out, option, rep::ERR_POLICY, reason.as_bytes()),
    }
}

/// A list without queries means all; `base:` means all of that namespace, but only when listing.
fn contexts<E: Exports>(option: u32, query: &MetaQuery, exports: &E, out: &mut BytesMut) {
    if let Err(refused) = exports.inspect(&query.export) {
        return refuse(option, &refused, out);
    }
    let listing = option == opt::LIST_META_CONTEXT;
    let matches = |query: &String| query == BASE_ALLOCATION || (listing && query == "base:");
    if query.queries.iter().any(matches) || (listing && query.queries.is_empty()) {
        let mut data = BytesMut::new();
        data.put_u32(if listing { 0 } else { BASE_ALLOCATION_ID });
        data.put_slice(BASE_ALLOCATION.as_bytes());
        encode_reply(out, option, rep::META_CONTEXT, &data);
    }
    encode_reply(out, option, rep::ACK, b"");
}
