//! The built-in certificate authority: an ECDSA P-256 key in a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::credentials::ROLE;
use super::{Credentials, Error, files};
use crate::Identity;

/// How long a certificate of the authority itself holds: longer than any it issues.
const CA_DAYS: u32 = 3650;
/// How long an issued certificate holds unless told otherwise.
const DEFAULT_DAYS: u32 = 90;
/// Certificates begin this much in the past, because two sites' clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// The time within which a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    /// From an hour ago, because clocks differ, for so many days.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - CLOCK_SKEW, not_after: now + Duration::from_secs(u64::from(days) * 86_400) }
    }

    /// Until an instant, which may lie in the past: tests need expired certificates.
    #[must_use]
    pub fn until(not_after: Timestamp) -> Self {
        let not_after = SystemTime::from(not_after);
        Self { not_before: SystemTime::now().min(not_after) - CLOCK_SKEW, not_after }
    }
}

impl Default for Validity {
    /// 90 days.
    fn default() -> Self {
        Self::days(DEFAULT_DAYS)
    }
}

/// A certificate authority that lives in `ca.pem` and `ca.key` of a folder.
pub struct Ca {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of an issued certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// `NAME.pem`.
    pub certificate: PathBuf,
    /// `NAME.key`, mode 0600.
    pub key: PathBuf,
}

impl Ca {
    /// Makes a new authority in a folder, which is created if need be.
    ///
    /// # Errors
    /// The folder holds an authority already, or cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let (pem, key_path) = paths(dir);
        if pem.exists() {
            return Err(Error::Exists { path: pem });
        }
        fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
        let key = KeyPair::generate()?;
        let params = ca_params();
        let certificate = params.self_signed(&key)?;
        files::write(&key_path, &key.serialize_pem(), files::PRIVATE)?;
        files::write(&pem, &certificate.pem(), files::PUBLIC)?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Opens the authority of a folder.
    ///
    /// # Errors
    /// Its files are missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        const HINT: &str = "is there no authority yet? `longhaul ca init` makes one";
        let (pem_path, key_path) = paths(dir);
        let pem = files::read(&pem_path, HINT)?;
        let key =
            KeyPair::from_pem(&files::read(&key_path, HINT)?).map_err(|error| damaged(&key_path, &error))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|error| damaged(&pem_path, &error))?;
        Ok(Self { dir: dir.to_owned(), issuer })
    }

    /// Issues a certificate with a fresh key into the authority's folder; replaces an earlier one of the same identity.
    ///
    /// # Errors
    /// Signing or writing failed.
    pub fn issue(&self, identity: &Identity, validity: Validity) -> Result<Issued, Error> {
        self.write(identity, &leaf_params(identity, validity)?)
    }

    /// The same for a person who has these roles. The certificate is good for signing what they say, and for no connection.
    ///
    /// # Errors
    /// The name or a role cannot stand in a certificate, or signing or writing failed.
    pub fn issue_person(&self, name: &str, roles: &[String], validity: Validity) -> Result<Issued, Error> {
        let identity = Identity::user(name)?;
        let mut params = leaf_params(&identity, validity)?;
        for role in roles {
            // A role has the letters of a name.
            Identity::user(role)?;
            params.subject_alt_names.push(SanType::URI(format!("{ROLE}{role}").try_into()?));
        }
        self.write(&identity, &params)
    }

    fn write(&self, identity: &Identity, params: &CertificateParams) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let stem = self.dir.join(identity.file_stem());
        let issued =
            Issued { certificate: stem.with_added_extension("pem"), key: stem.with_added_extension("key") };
        files::write(&issued.key, &key.serialize_pem(), files::PRIVATE)?;
        files::write(&issued.certificate, &certificate.pem(), files::PUBLIC)?;
        Ok(issued)
    }

    /// Where the files of an identity of this authority are, whether issued yet or not.
    #[must_use]
    pub fn credentials(&self, identity: &Identity) -> Credentials {
        Credentials::in_folder(&self.dir, identity)
    }
}

fn paths(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("ca.pem"), dir.join("ca.key"))
}

fn damaged(path: &Path, error: &rcgen::Error) -> Error {
    Error::Content {
        path: path.to_owned(),
        problem: format!("{error}; restore it from a copy, or make a new authority"),
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Longhaul certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, Validity::days(CA_DAYS));
    params
}

fn leaf_params(identity: &Identity, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, identity.file_stem());
    params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match identity {
        Identity::Site(_) | Identity::Controller(_) => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        // Signs what they say, and connects to nobody.
        Identity::User(_) => vec![ExtendedKeyUsagePurpose::EmailProtection],
    };
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, validity);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A reopened authority issues what its certificate vouches for; keys are private; a second `create` is refused.
    #[test]
    fn an_authority_is_created_once_and_reopened() {
        let dir = tempfile::tempdir().unwrap();
        Ca::create(dir.path()).unwrap();
        assert!(matches!(Ca::create(dir.path()), Err(Error::Exists { .. })));
        let identity = Identity::site("a").unwrap();
        let ca = Ca::open(dir.path()).unwrap();
        let issued = ca.issue(&identity, Validity::default()).unwrap();
        for key in [issued.key, dir.path().join("ca.key")] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(ca.credentials(&identity).load().unwrap().identity(), &identity);
    }

    /// A missing authority is reported with the file and the command that makes one.
    #[test]
    fn a_missing_authority_names_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let message = Ca::open(dir.path()).err().unwrap().to_string();
        assert!(message.contains("ca.pem") && message.contains("longhaul ca init"), "{message}");
    }
}
