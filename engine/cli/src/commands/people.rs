//! People: whose key signs here, and whose signature counts.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use longhaul_model::site::Sites;
use longhaul_run::statement::{Notary, Statement};
use longhaul_saga::event::{Person, Signed};
use longhaul_wire::Identity;
use longhaul_wire::pki::{Credentials, Loaded, Roots, SignedText};

use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::Settings;

/// Who a person is.
#[derive(Debug, clap::Args)]
pub(crate) struct Myself {
    /// Your name, as `longhaul ca issue --user NAME` was told it
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    #[command(flatten)]
    keys: Keys,
}

/// Where keys are.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// Folder with user-NAME.pem, user-NAME.key and ca.pem [default: pki in the state directory]
    #[arg(long, value_name = "DIR")]
    pki: Option<PathBuf>,
}

impl Myself {
    pub(super) fn load(&self, settings: &Settings) -> Result<Signer> {
        self.keys.load(&self.name, settings)
    }
}

impl Keys {
    pub(super) fn load(&self, name: &str, settings: &Settings) -> Result<Signer> {
        let identity = Identity::user(name).doing(exit_code::USAGE, || "use your name".to_owned())?;
        let folder = self.pki.clone().unwrap_or_else(|| settings.pki());
        let doing = || format!("use the certificate of `{name}`");
        let loaded =
            Credentials::in_folder(&folder, &identity).load().doing(exit_code::INVALID_FILE, doing)?;
        let person = loaded.person().map_err(anyhow::Error::msg).doing(exit_code::INVALID_FILE, doing)?;
        Ok(Signer { loaded, name: person.name })
    }
}

/// A person with their key.
pub(super) struct Signer {
    loaded: Loaded,
    pub(super) name: String,
}

impl Signer {
    pub(super) fn sign(&self, statement: &Statement) -> Result<Signed> {
        let signed = self.loaded.sign(&statement.text()).map_err(anyhow::Error::msg);
        let SignedText { text, certificate, signature } =
            signed.doing(exit_code::INVALID_FILE, || format!("sign as `{}`", self.name))?;
        Ok(Signed { text, certificate, signature })
    }
}

/// Believes the certificates of the inventory's authority.
pub(super) struct Authority(Roots);

impl Authority {
    pub(super) fn of(sites: &Sites) -> Result<Arc<dyn Notary>> {
        let roots = Roots::load(&sites.pki.ca);
        let roots = roots.doing(exit_code::INVALID_FILE, || "read the authority's certificate".to_owned())?;
        Ok(Arc::new(Self(roots)))
    }
}

impl Notary for Authority {
    fn signer(&self, signed: &Signed, at_unix_ms: u64) -> std::result::Result<Person, String> {
        let Signed { text, certificate, signature } = signed.clone();
        let at = i64::try_from(at_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let at = at.ok_or("the time of the message is out of range")?;
        let person = self.0.signer(&SignedText { text, certificate, signature }, at);
        person
            .map(|person| Person { name: person.name, roles: person.roles })
            .map_err(|error| error.to_string())
    }
}
