//! The three PEM files one process uses: whom it trusts, who it is, and the key that proves it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::statement::Person;
use super::{Error, files};
use crate::Identity;

/// What stands before a role in a certificate.
pub(super) const ROLE: &str = "longhaul-role:";

/// Where a process's certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Certificate of the authority that vouches for every peer.
    pub ca: PathBuf,
    /// The process's own certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Credentials read into memory and checked.
pub struct Loaded {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(super) certificate_pem: String,
    identity: Identity,
    not_after: Timestamp,
}

/// The authorities that vouch for whoever signs.
#[derive(Debug, Clone)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
}

impl Roots {
    /// Reads an authority's certificate.
    ///
    /// # Errors
    /// A file that is missing, unreadable or holds something else.
    pub fn load(ca: &Path) -> Result<Self, Error> {
        Ok(Self { store: Arc::new(roots(ca)?) })
    }
}

impl Loaded {
    /// Who the certificate says this process is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The instant after which no peer accepts the certificate.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl Credentials {
    /// The files the built-in authority writes for an identity.
    #[must_use]
    pub fn in_folder(dir: &Path, identity: &Identity) -> Self {
        let stem = dir.join(identity.file_stem());
        Self {
            ca: dir.join("ca.pem"),
            certificate: stem.with_added_extension("pem"),
            key: stem.with_added_extension("key"),
        }
    }

    /// Reads the files anew; call it again after a certificate was replaced.
    ///
    /// # Errors
    /// A file that is missing, unreadable or holds something else; the message names it and says what to do.
    pub fn load(&self) -> Result<Loaded, Error> {
        const HINT: &str = "`longhaul ca issue` writes it";
        let roots = roots(&self.ca)?;
        let certificate_pem = files::read(&self.certificate, HINT)?;
        let chain = certificates(&self.certificate, HINT)?;
        let own = chain.first().ok_or_else(|| content(&self.certificate, "it holds no certificate"))?;
        let facts = facts_of(own).map_err(|problem| content(&self.certificate, &problem))?;
        let key = PrivateKeyDer::from_pem_slice(files::read(&self.key, HINT)?.as_bytes())
            .map_err(|error| content(&self.key, &format!("it holds no private key ({error})")))?;
        Ok(Loaded {
            roots: Arc::new(roots),
            key,
            identity: facts.identity,
            not_after: facts.not_after,
            chain,
            certificate_pem,
        })
    }
}

fn roots(ca: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "copy the authority's ca.pem here")? {
        roots.add(certificate).map_err(|error| content(ca, &error.to_string()))?;
    }
    if roots.is_empty() { Err(content(ca, "it holds no certificate")) } else { Ok(roots) }
}

fn certificates(path: &Path, hint: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = files::read(path, hint)?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| content(path, &format!("it is no PEM file ({error})")))
}

fn content(path: &Path, problem: &str) -> Error {
    Error::Content { path: path.to_owned(), problem: problem.to_owned() }
}

struct Facts {
    identity: Identity,
    not_after: Timestamp,
}

/// The identity a certificate carries, or why it carries none.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, String> {
    facts_of(certificate).map(|facts| facts.identity)
}

/// The person a certificate is for, or why it is for none.
pub(super) fn person_of(der: &CertificateDer<'_>) -> Result<Person, String> {
    let identity = identity_of(der)?;
    let Identity::User(name) = identity else { return Err(format!("it is for {identity}")) };
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("it is no certificate ({error})"))?;
    let mut roles: Vec<String> =
        uris(&certificate)?.into_iter().filter_map(|uri| uri.strip_prefix(ROLE).map(str::to_owned)).collect();
    roles.sort_unstable();
    Ok(Person { name, roles })
}

fn facts_of(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("it is no certificate ({error})"))?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|error| format!("its end of validity is out of range ({error})"))?;
    let identity = only_identity(&certificate)?;
    Ok(Facts { identity, not_after })
}

/// Exactly one identity: a certificate that claims two could act as either.
fn only_identity(certificate: &X509Certificate<'_>) -> Result<Identity, String> {
    let ours: Vec<_> = uris(certificate)?.into_iter().filter(|uri| uri.starts_with("longhaul://")).collect();
    match ours[..] {
        [uri] => uri.parse().map_err(|error: crate::identity::ParseError| error.to_string()),
        [] => {
            Err("the certificate names no longhaul:// identity; issue it with `longhaul ca issue`".to_owned())
        }
        [..] => Err("the certificate names more than one longhaul:// identity".to_owned()),
    }
}

fn uris<'c>(certificate: &'c X509Certificate<'_>) -> Result<Vec<&'c str>, String> {
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let uri = |name: &GeneralName<'c>| if let GeneralName::URI(uri) = name { Some(*uri) } else { None };
    Ok(names.iter().filter_map(uri).collect())
}
