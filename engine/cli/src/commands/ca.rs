//! `longhaul ca`: the built-in certificate authority.

use std::path::PathBuf;

use longhaul_wire::Identity;
use longhaul_wire::pki::{Ca, Validity};

use crate::errors::{Explain as _, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a new authority: ca.pem and ca.key
    Init(Place),
    /// Issue a certificate for a site's agent, a controller or a person
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Folder of the authority [default: pki in the state directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(&self, settings: &Settings) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| settings.pki())
    }
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("who").required(true)))]
pub(crate) struct Issue {
    #[command(flatten)]
    place: Place,
    /// Id of the site whose agent it is for
    #[arg(long, group = "who", value_name = "ID")]
    site: Option<String>,
    /// Name of the controller it is for
    #[arg(long, group = "who", value_name = "NAME")]
    controller: Option<String>,
    /// Name of the person it is for: good for signing what they say, and for no connection
    #[arg(long, group = "who", value_name = "NAME")]
    user: Option<String>,
    /// A role of that person; may be given several times
    #[arg(long = "role", value_name = "ROLE", requires = "user")]
    roles: Vec<String>,
    /// End of validity, such as 2027-01-31T00:00:00Z [default: in 90 days]
    #[arg(long, value_name = "TIME")]
    not_after: Option<jiff::Timestamp>,
}

pub(super) fn run(command: Command, settings: &Settings) -> Result<u8> {
    match command {
        Command::Init(place) => {
            let folder = place.folder(settings);
            Ca::create(&folder).doing(exit_code::FAILED, || "make an authority".to_owned())?;
            output::data(folder.join("ca.pem").display());
        }
        Command::Issue(issue) => {
            let identity =
                identity(&issue).doing(exit_code::USAGE, || "name the certificate's holder".to_owned())?;
            let validity = issue.not_after.map_or_else(Validity::default, Validity::until);
            let ca = Ca::open(&issue.place.folder(settings));
            let issued = ca.and_then(|ca| match &issue.user {
                Some(name) => ca.issue_person(name, &issue.roles, validity),
                None => ca.issue(&identity, validity),
            });
            let issued = issued.doing(exit_code::FAILED, || format!("issue a certificate for {identity}"))?;
            output::data(issued.certificate.display());
            output::data(issued.key.display());
        }
    }
    Ok(exit_code::OK)
}

fn identity(issue: &Issue) -> std::result::Result<Identity, longhaul_wire::identity::ParseError> {
    match (&issue.site, &issue.controller, &issue.user) {
        (Some(site), _, _) => Identity::site(site),
        (None, Some(controller), _) => Identity::controller(controller),
        (None, None, Some(user)) => Identity::user(user),
        (None, None, None) => unreachable!("clap asks for one of them"),
    }
}
