//! Statements that people sign with the key of their certificate.
//!
//! A person's certificate is good for this alone: no agent accepts a connection with it.

use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::credentials::{Loaded, Roots, person_of};

/// The use that a person's certificate is issued for: `emailProtection`, which is what X.509 calls signing what one says.
const PERSON: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 4];

/// A person as their certificate names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The roles, sorted.
    pub roles: Vec<String>,
}

/// A text and the proof of who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText {
    /// The text.
    pub text: String,
    /// The person's certificate, PEM.
    pub certificate: String,
    /// ECDSA on P-256 with SHA-256, DER in hex.
    pub signature: String,
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// What should be a certificate is none, or no person's.
    #[error("the certificate is no person's: {0}")]
    Certificate(String),
    /// Our authority did not issue it, or it does not hold at this time.
    #[error(
        "the certificate of `{name}` does not count: {why}; have it issued anew with `longhaul ca issue --user`"
    )]
    NotTrusted {
        /// Whose it says it is.
        name: String,
        /// Why.
        why: String,
    },
    /// The text was not signed with the certificate's key.
    #[error("`{0}` did not sign this text")]
    Signature(String),
}

impl Loaded {
    /// Signs a text.
    ///
    /// # Errors
    /// When the key is of another kind than the built-in authority makes.
    pub fn sign(&self, text: &str) -> Result<SignedText, String> {
        let key = any_ecdsa_type(&self.key).map_err(|error| error.to_string())?;
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signer = signer.ok_or("the key is not on the curve P-256")?;
        let signature = signer.sign(text.as_bytes()).map_err(|error| error.to_string())?;
        let (text, certificate) = (text.to_owned(), self.certificate_pem.clone());
        Ok(SignedText { text, certificate, signature: hex(&signature) })
    }

    /// The person that the certificate is for.
    ///
    /// # Errors
    /// Why it is for none.
    pub fn person(&self) -> Result<Person, String> {
        person_of(self.chain.first().ok_or("there is no certificate")?)
    }
}

impl Roots {
    /// The person who signed a text, if their certificate holds at this time.
    ///
    /// # Errors
    /// Why the signature proves nothing.
    pub fn signer(&self, signed: &SignedText, at: Timestamp) -> Result<Person, NoProof> {
        let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes())
            .map_err(|error| NoProof::Certificate(error.to_string()))?;
        let person = person_of(&certificate).map_err(NoProof::Certificate)?;
        let untrusted = |why: String| NoProof::NotTrusted { name: person.name.clone(), why };
        let entity = EndEntityCert::try_from(&certificate).map_err(|error| untrusted(error.to_string()))?;
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        entity
            .verify_for_usage(
                &[webpki::ring::ECDSA_P256_SHA256],
                &self.store.roots,
                &[],
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
                KeyUsage::required(PERSON),
                None,
                None,
            )
            .map_err(|error| untrusted(error.to_string()))?;
        let forged = || NoProof::Signature(person.name.clone());
        let signature = unhex(&signed.signature).ok_or_else(forged)?;
        entity
            .verify_signature(webpki::ring::ECDSA_P256_SHA256, signed.text.as_bytes(), &signature)
            .map_err(|_| forged())?;
        Ok(person)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use crate::pki::{Ca, Validity};

    fn now() -> Timestamp {
        Timestamp::now()
    }

    /// A signed text names its person and roles; another text, another authority's person, a site, and a time at which the
    /// certificate does not hold prove nothing.
    #[test]
    fn only_a_persons_own_words_count() {
        let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let ca = Ca::create(ours.path()).unwrap();
        let alice = Identity::user("alice").unwrap();
        let roles = ["storage".to_owned(), "migration-operator".to_owned()];
        ca.issue_person("alice", &roles, Validity::default()).unwrap();
        let loaded = ca.credentials(&alice).load().unwrap();
        let roots = Roots::load(&ours.path().join("ca.pem")).unwrap();
        let signed = loaded.sign("I approve").unwrap();
        let person = roots.signer(&signed, now()).unwrap();
        assert_eq!(
            (person.name.as_str(), &*person.roles),
            ("alice", &["migration-operator", "storage"].map(str::to_owned)[..])
        );
        let other = SignedText { text: "I approve everything".to_owned(), ..signed.clone() };
        assert_eq!(roots.signer(&other, now()), Err(NoProof::Signature("alice".to_owned())));
        let broken = SignedText { signature: "zz".to_owned(), ..signed.clone() };
        assert_eq!(roots.signer(&broken, now()), Err(NoProof::Signature("alice".to_owned())));
        let late = now() + std::time::Duration::from_secs(200 * 86_400);
        assert!(matches!(roots.signer(&signed, late), Err(NoProof::NotTrusted { .. })));
        Ca::create(theirs.path()).unwrap();
        let strangers = Roots::load(&theirs.path().join("ca.pem")).unwrap();
        assert!(matches!(strangers.signer(&signed, now()), Err(NoProof::NotTrusted { .. })));
        let site = Identity::site("a").unwrap();
        ca.issue(&site, Validity::default()).unwrap();
        let by_site = ca.credentials(&site).load().unwrap().sign("I approve").unwrap();
        assert!(matches!(roots.signer(&by_site, now()), Err(NoProof::Certificate(_))));
    }
}
