//! Requests of the transmission phase: 28 bytes, then the data of a write. No I/O here.

use super::wire::{MAX_PAYLOAD, REQUEST_MAGIC, cmd, cmd_flag};
use super::{Errno, Info, Span};

/// Length of a request's header in bytes.
pub const HEADER: usize = 28;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bytes wanted; `whole` forbids more than one data chunk.
    Read {
        /// DF was set.
        whole: bool,
    },
    /// Bytes follow the header.
    Write {
        /// FUA was set.
        fua: bool,
    },
    /// The client goes.
    Disconnect,
    /// Everything acknowledged must be stable.
    Flush,
    /// Content is of no use any more.
    Trim {
        /// FUA was set.
        fua: bool,
    },
    /// Must read as zeroes.
    WriteZeroes {
        /// FUA was set.
        fua: bool,
        /// NO_HOLE was not set.
        may_punch: bool,
    },
    /// The allocation map is wanted.
    BlockStatus {
        /// REQ_ONE was set: one run is enough.
        one: bool,
    },
}

/// A parsed header. What it asks for is not checked yet: [`Request::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Repeated in the reply.
    pub cookie: u64,
    /// Place; of no meaning for flush and disconnect.
    pub span: Span,
    /// What is asked, or why it cannot be understood.
    pub command: Result<Command, Errno>,
    /// Bytes that follow the header.
    pub payload: u32,
}

/// The stream is out of step: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The header does not start as one.
    #[error("request has wrong magic {0:#x}")]
    Magic(u32),
    /// A write announces more bytes than anybody may send.
    #[error("write of {0} bytes is longer than {MAX_PAYLOAD}")]
    Payload(u32),
}

impl Request {
    /// Parses a header.
    ///
    /// # Errors
    /// [`Malformed`] when what follows on the stream cannot be found.
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, Malformed> {
        let magic = u32::from_be_bytes(field(bytes, 0));
        if magic != REQUEST_MAGIC {
            return Err(Malformed::Magic(magic));
        }
        let (flags, kind) = (u16::from_be_bytes(field(bytes, 4)), u16::from_be_bytes(field(bytes, 6)));
        let length = u32::from_be_bytes(field(bytes, 24));
        let payload = if kind == cmd::WRITE { length } else { 0 };
        if payload > MAX_PAYLOAD {
            return Err(Malformed::Payload(payload));
        }
        Ok(Self {
            cookie: u64::from_be_bytes(field(bytes, 8)),
            span: Span::new(u64::from_be_bytes(field(bytes, 16)), u64::from(length)),
            command: command(kind, flags),
            payload,
        })
    }

    /// The header on the wire. A command that is an error is written as a disconnect.
    pub fn encode(&self) -> [u8; HEADER] {
        let (kind, flags) = numbers(self.command.unwrap_or(Command::Disconnect));
        let length = u32::try_from(self.span.length).unwrap_or(u32::MAX);
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&kind.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span.offset.to_be_bytes());
        bytes[24..28].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// Checks the request against what the export offers.
    ///
    /// # Errors
    /// What the reply must say.
    pub fn check(&self, info: Info) -> Result<Command, Errno> {
        let command = self.command?;
        match command {
            Command::Disconnect | Command::Flush => Ok(command),
            Command::Read { .. } if self.span.length > u64::from(MAX_PAYLOAD) => Err(Errno::Overflow),
            Command::Read { .. } | Command::BlockStatus { .. } => self.fits(info).map(|()| command),
            Command::Write { .. } | Command::Trim { .. } | Command::WriteZeroes { .. } if info.read_only => {
                Err(Errno::NotPermitted)
            }
            Command::Write { .. } | Command::WriteZeroes { .. } => match self.fits(info) {
                Err(Errno::Invalid) if self.span.end().is_none_or(|end| end > info.size) => {
                    Err(Errno::NoSpace)
                }
                other => other.map(|()| command),
            },
            Command::Trim { .. } => self.fits(info).map(|()| command),
        }
    }

    fn fits(&self, info: Info) -> Result<(), Errno> {
        if self.span.fits(info.size) { Ok(()) } else { Err(Errno::Invalid) }
    }
}

/// Bytes `at..at + N` of a header whose length the type guarantees.
fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range is N long")
}

fn command(kind: u16, flags: u16) -> Result<Command, Errno> {
    let (known, command) = match kind {
        cmd::READ => (cmd_flag::DF, Command::Read { whole: flags & cmd_flag::DF != 0 }),
        cmd::WRITE => (cmd_flag::FUA, Command::Write { fua: flags & cmd_flag::FUA != 0 }),
        cmd::DISC => (0, Command::Disconnect),
        cmd::FLUSH => (0, Command::Flush),
        cmd::TRIM => (cmd_flag::FUA, Command::Trim { fua: flags & cmd_flag::FUA != 0 }),
        cmd::WRITE_ZEROES => (
            cmd_flag::FUA | cmd_flag::NO_HOLE,
            Command::WriteZeroes {
                fua: flags & cmd_flag::FUA != 0,
                may_punch: flags & cmd_flag::NO_HOLE == 0,
            },
        ),
        cmd::BLOCK_STATUS => {
            (cmd_flag::REQ_ONE, Command::BlockStatus { one: flags & cmd_flag::REQ_ONE != 0 })
        }
        _ => return Err(Errno::Invalid),
    };
    // FUA is allowed on every command once it is offered, and means nothing where nothing is written.
    if flags & !(known | cmd_flag::FUA) == 0 { Ok(command) } else { Err(Errno::Invalid) }
}

fn numbers(command: Command) -> (u16, u16) {
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    match command {
        Command::Read { whole } => (cmd::READ, flag(whole, cmd_flag::DF)),
        Command::Write { fua } => (cmd::WRITE, flag(fua, cmd_flag::FUA)),
        Command::Disconnect => (cmd::DISC, 0),
        Command::Flush => (cmd::FLUSH, 0),
        Command::Trim { fua } => (cmd::TRIM, flag(fua, cmd_flag::FUA)),
        Command::WriteZeroes { fua, may_punch } => {
            (cmd::WRITE_ZEROES, flag(fua, cmd_flag::FUA) | flag(!may_punch, cmd_flag::NO_HOLE))
        }
        Command::BlockStatus { one } => (cmd::BLOCK_STATUS, flag(one, cmd_flag::REQ_ONE)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_command() -> impl Strategy<Value = Command> {
        prop_oneof![
            any::<bool>().prop_map(|whole| Command::Read { whole }),
            any::<bool>().prop_map(|fua| Command::Write { fua }),
            Just(Command::Disconnect),
            Just(Command::Flush),
            any::<bool>().prop_map(|fua| Command::Trim { fua }),
            any::<(bool, bool)>().prop_map(|(fua, may_punch)| Command::WriteZeroes { fua, may_punch }),
            any::<bool>().prop_map(|one| Command::BlockStatus { one }),
        ]
    }

    proptest! {
        /// Proves that what is encoded is decoded to the same request.
        #[test]
        fn round_trip(cookie: u64, offset: u64, length in 0..=MAX_PAYLOAD, command in any_command()) {
            let payload = if matches!(command, Command::Write { .. }) { length } else { 0 };
            let span = Span::new(offset, u64::from(length));
            let request = Request { cookie, span, command: Ok(command), payload };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }

        /// Proves that no 28 bytes make the parser panic, that a payload is always bounded, and that an accepted
        /// request lies inside the disk.
        #[test]
        fn hostile_headers(mut bytes: [u8; HEADER], real_magic: bool, kind in 0u16..9, size in 0u64..1 << 40) {
            if real_magic {
                bytes[0..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
                bytes[6..8].copy_from_slice(&kind.to_be_bytes());
            }
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert!(request.payload <= MAX_PAYLOAD);
                let info = Info { size: size & !511, read_only: false };
                match request.check(info) {
                    Ok(Command::Disconnect | Command::Flush) | Err(_) => {}
                    Ok(_) => prop_assert!(request.span.end().unwrap() <= info.size),
                }
            }
        }
    }
}
