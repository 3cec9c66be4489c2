//! What can be wrong with a connection, in words an operator can act on.

use std::error::Error as StdError;
use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError};

use crate::failure::Class;
use crate::{Identity, pki};

/// A connection that was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer's certificate is past its end.
    #[error("trust the peer: its certificate expired at {since}; issue a new one with `longhaul ca issue`")]
    Expired {
        /// End of validity.
        since: Timestamp,
    },
    /// The peer's certificate holds only later.
    #[error("trust the peer: its certificate is not valid before {from}; compare the clocks of both sites")]
    NotYetValid {
        /// Begin of validity.
        from: Timestamp,
    },
    /// Another authority signed the peer's certificate.
    #[error("trust the peer: its certificate is not from our authority; compare ca.pem of both sides")]
    WrongAuthority,
    /// Somebody else answered.
    #[error("reach {expected}: {got} answered; compare the address with the inventory")]
    OtherPeer {
        /// Whom we wanted.
        expected: Identity,
        /// Who holds the certificate.
        got: Identity,
    },
    /// The peer's certificate says nothing we can use.
    #[error("trust the peer: {0}")]
    NoIdentity(String),
    /// The peer sent no certificate.
    #[error("trust the peer: it sent no certificate")]
    NoCertificate,
    /// The peer refused our certificate.
    #[error(
        "be trusted by the peer: it answered `{0}` to our certificate; see the peer's log for the reason"
    )]
    Refused(&'static str),
    /// Both sides speak TLS but have no use of the connection in common.
    #[error("agree on a use of the connection: the peer offers neither RPC nor lanes")]
    NoProtocol,
    /// The handshake did not end in time.
    #[error("finish the handshake with {address} within {seconds} s")]
    Slow {
        /// The peer's address.
        address: String,
        /// The bound.
        seconds: u64,
    },
    /// No TCP connection.
    #[error("connect to {address}")]
    Unreachable {
        /// The address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The handshake failed for a reason without a name of its own here.
    #[error("shake hands with the peer")]
    Handshake(#[source] io::Error),
    /// Our own certificates cannot be used.
    #[error("use the certificates")]
    Pki(#[from] pki::Error),
    /// TLS refuses our own certificates.
    #[error("use the certificates")]
    Config(#[source] rustls::Error),
}

impl Error {
    /// What the failure means to whoever wanted the connection: a peer that is not who it should be is no peer that is not there.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::WrongAuthority
            | Self::OtherPeer { .. }
            | Self::NoIdentity(_)
            | Self::NoCertificate
            | Self::Refused(_)
            | Self::Pki(_)
            | Self::Config(_) => Class::Auth,
            Self::NoProtocol => Class::Precondition,
            Self::Slow { .. } | Self::Unreachable { .. } | Self::Handshake(_) => Class::Unreachable,
        }
    }

    /// Names a failed handshake, as far as it has a name.
    pub(super) fn of_handshake(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).and_then(named) {
            Some(named) => named,
            None => Self::Handshake(error),
        }
    }

    /// Finds the TLS reason in a chain of errors; a refusal of our certificate arrives only with the first read.
    #[must_use]
    pub fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(found) = error.downcast_ref::<rustls::Error>().or(inner).and_then(named) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

fn named(error: &rustls::Error) -> Option<Error> {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::NoCertificatesPresented => Some(Error::NoCertificate),
        rustls::Error::NoApplicationProtocol => Some(Error::NoProtocol),
        rustls::Error::AlertReceived(alert) => refusal(*alert).map(Error::Refused),
        _ => None,
    }
}

fn certificate(error: &CertificateError) -> Option<Error> {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(Error::Expired { since: timestamp(*not_after) })
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(Error::NotYetValid { from: timestamp(*not_before) })
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(Error::WrongAuthority),
        CertificateError::Other(other) => other.0.downcast_ref::<Unfit>().map(Unfit::to_error),
        _ => None,
    }
}

fn timestamp(time: rustls::pki_types::UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

fn refusal(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::CertificateExpired => Some("certificate expired"),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => Some("unknown authority"),
        AlertDescription::BadCertificate => Some("bad certificate"),
        AlertDescription::CertificateUnknown => Some("certificate not accepted"),
        AlertDescription::AccessDenied => Some("access denied"),
        AlertDescription::CertificateRequired => Some("certificate required"),
        AlertDescription::NoApplicationProtocol => Some("no use of the connection in common"),
        _ => None,
    }
}

/// Why a certificate from the right authority is still not the one; travels through rustls as an opaque error.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unfit {
    #[error("expected {expected}, got {got}")]
    OtherPeer { expected: Identity, got: Identity },
    #[error("{0}")]
    NoIdentity(String),
}

impl Unfit {
    fn to_error(&self) -> Error {
        match self.clone() {
            Self::OtherPeer { expected, got } => Error::OtherPeer { expected, got },
            Self::NoIdentity(problem) => Error::NoIdentity(problem),
        }
    }
}
