//! What a connection is used for, agreed by ALPN.

/// The use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// gRPC, ALPN `h2`.
    Rpc,
    /// A lane of a tunnel, ALPN `longhaul-lane/1`.
    Lane,
}

impl Protocol {
    /// Every protocol a server offers.
    pub(super) const ALL: [Self; 2] = [Self::Rpc, Self::Lane];

    /// The name in the handshake.
    #[must_use]
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Rpc => b"h2",
            Self::Lane => b"longhaul-lane/1",
        }
    }

    pub(super) fn from_alpn(name: Option<&[u8]>) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| Some(protocol.alpn()) == name)
    }
}
