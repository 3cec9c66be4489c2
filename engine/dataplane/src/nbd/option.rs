//! Options of the negotiation phase: what a client says before it has an export. No I/O here.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::wire::{IHAVEOPT, MAX_NAME, MAX_OPTION, OPTION_REPLY_MAGIC, opt};

/// Length of an option's header in bytes.
pub const HEADER: usize = 16;
/// Length of an option reply's header in bytes.
pub const REPLY_HEADER: usize = 20;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOption {
    /// The old way to take an export; it has no error reply.
    ExportName(String),
    /// The client goes.
    Abort,
    /// Names wanted.
    List,
    /// Facts of an export wanted.
    Info(String),
    /// An export is taken.
    Go(String),
    /// Chunks are understood.
    StructuredReply,
    /// Which of these contexts are there?
    ListMetaContext(MetaQuery),
    /// These contexts are wanted.
    SetMetaContext(MetaQuery),
    /// An option we do not know, by number.
    Unknown(u32),
    /// One we know, with contents that make no sense, by number.
    Invalid(u32),
}

/// Contexts of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaQuery {
    /// Name of the export.
    pub export: String,
    /// Names or patterns of contexts.
    pub queries: Vec<String>,
}

/// The stream is out of step: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The header does not start as one.
    #[error("option has wrong magic {0:#x}")]
    Magic(u64),
    /// The header announces more bytes than anybody may send.
    #[error("option of {0} bytes is longer than {MAX_OPTION}")]
    Length(u32),
}

/// Parses an option's header into its number and the length of its data.
///
/// # Errors
/// [`Malformed`] when what follows cannot be found or is too long.
pub fn decode_header(bytes: &[u8; HEADER]) -> Result<(u32, u32), Malformed> {
    let mut bytes = &bytes[..];
    let (magic, number, length) = (bytes.get_u64(), bytes.get_u32(), bytes.get_u32());
    if magic != IHAVEOPT {
        return Err(Malformed::Magic(magic));
    }
    if length > MAX_OPTION { Err(Malformed::Length(length)) } else { Ok((number, length)) }
}

impl ClientOption {
    /// Parses an option's data.
    pub fn decode(number: u32, data: Bytes) -> Self {
        let parsed = match number {
            opt::EXPORT_NAME => text(data).map(Self::ExportName),
            opt::ABORT => Some(Self::Abort),
            opt::LIST => data.is_empty().then_some(Self::List),
            opt::INFO => info_request(data).map(Self::Info),
            opt::GO => info_request(data).map(Self::Go),
            opt::STRUCTURED_REPLY => data.is_empty().then_some(Self::StructuredReply),
            opt::LIST_META_CONTEXT => meta_query(data).map(Self::ListMetaContext),
            opt::SET_META_CONTEXT => meta_query(data).map(Self::SetMetaContext),
            _ => Some(Self::Unknown(number)),
        };
        parsed.unwrap_or(Self::Invalid(number))
    }

    /// Its number on the wire.
    pub fn number(&self) -> u32 {
        match self {
            Self::ExportName(_) => opt::EXPORT_NAME,
            Self::Abort => opt::ABORT,
            Self::List => opt::LIST,
            Self::Info(_) => opt::INFO,
            Self::Go(_) => opt::GO,
            Self::StructuredReply => opt::STRUCTURED_REPLY,
            Self::ListMetaContext(_) => opt::LIST_META_CONTEXT,
            Self::SetMetaContext(_) => opt::SET_META_CONTEXT,
            Self::Unknown(number) | Self::Invalid(number) => *number,
        }
    }

    /// The option on the wire, header included.
    pub fn encode(&self) -> Bytes {
        let mut data = BytesMut::new();
        match self {
            Self::ExportName(name) => data.put_slice(name.as_bytes()),
            Self::Info(name) | Self::Go(name) => {
                put_text(&mut data, name);
                data.put_u16(0);
            }
            Self::ListMetaContext(query) | Self::SetMetaContext(query) => {
                put_text(&mut data, &query.export);
                data.put_u32(u32::try_from(query.queries.len()).unwrap_or(u32::MAX));
                query.queries.iter().for_each(|query| put_text(&mut data, query));
            }
            Self::Abort | Self::List | Self::StructuredReply | Self::Unknown(_) | Self::Invalid(_) => {}
        }
        let mut frame = BytesMut::with_capacity(HEADER + data.len());
        frame.put_u64(IHAVEOPT);
        frame.put_u32(self.number());
        frame.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
        frame.put_slice(&data);
        frame.freeze()
    }
}

/// Writes one option reply.
pub fn encode_reply(out: &mut BytesMut, option: u32, kind: u32, data: &[u8]) {
    out.put_u64(OPTION_REPLY_MAGIC);
    out.put_u32(option);
    out.put_u32(kind);
    out.put_u32(u32::try_from(data.len()).expect("our replies are short"));
    out.put_slice(data);
}

/// Parses an option reply's header into option, kind and length of the data.
///
/// # Errors
/// [`Malformed`] when what follows cannot be found or is too long.
pub fn decode_reply_header(bytes: &[u8; REPLY_HEADER]) -> Result<(u32, u32, u32), Malformed> {
    let mut bytes = &bytes[..];
    let magic = bytes.get_u64();
    if magic != OPTION_REPLY_MAGIC {
        return Err(Malformed::Magic(magic));
    }
    let (option, kind, length) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u32());
    if length > MAX_OPTION { Err(Malformed::Length(length)) } else { Ok((option, kind, length)) }
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
}

fn text(data: Bytes) -> Option<String> {
    if data.len() > MAX_NAME {
        return None;
    }
    String::from_utf8(data.into()).ok()
}

/// A length and that many bytes.
fn counted_text(data: &mut Bytes) -> Option<String> {
    let length = usize::try_from(data.try_get_u32().ok()?).ok()?;
    if length > data.len() { None } else { text(data.split_to(length)) }
}

/// A name and the numbers of wanted facts; we always send all we have, so the numbers are only counted.
fn info_request(mut data: Bytes) -> Option<String> {
    let name = counted_text(&mut data)?;
    let wanted = usize::from(data.try_get_u16().ok()?);
    (data.len() == 2 * wanted).then_some(name)
}

fn meta_query(mut data: Bytes) -> Option<MetaQuery> {
    let export = counted_text(&mut data)?;
    let count = data.try_get_u32().ok()?;
    let mut queries = Vec::new();
    for _ in 0..count {
        // Each query takes at least four bytes of data whose length is bounded, so the loop is too.
        queries.push(counted_text(&mut data)?);
    }
    data.is_empty().then_some(MetaQuery { export, queries })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Proves that every option comes back as it was sent.
        #[test]
        fn round_trip(name in "[a-z@#0-9-]{0,40}", queries in prop::collection::vec("[a-z:]{0,20}", 0..5), which in 0usize..8) {
            let query = MetaQuery { export: name.clone(), queries };
            let option = match which {
                0 => ClientOption::ExportName(name),
                1 => ClientOption::Abort,
                2 => ClientOption::List,
                3 => ClientOption::Info(name),
                4 => ClientOption::Go(name),
                5 => ClientOption::StructuredReply,
                6 => ClientOption::ListMetaContext(query),
                _ => ClientOption::SetMetaContext(query),
            };
            let bytes = option.encode();
            let (number, length) = decode_header(bytes[..HEADER].try_into().unwrap()).unwrap();
            prop_assert_eq!(length as usize, bytes.len() - HEADER);
            prop_assert_eq!(ClientOption::decode(number, bytes.slice(HEADER..)), option);
        }

        /// Proves that no data makes the parser panic, and that a parsed name is bounded.
        #[test]
        fn hostile_data(number in 0u32..12, data in prop::collection::vec(any::<u8>(), 0..200)) {
            if let ClientOption::Go(name) = ClientOption::decode(number, data.into()) {
                prop_assert!(name.len() <= MAX_NAME);
            }
        }
    }
}
