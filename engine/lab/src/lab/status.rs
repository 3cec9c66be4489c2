//! What a lab looks like now.

use serde::{Deserialize, Serialize};

use super::running::{Lab, arguments};
use crate::place::{Place, Side};
use crate::wan::Stats;

/// A lab, looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its number on this machine.
    pub number: u8,
    /// The link; none if the WAN does not answer.
    pub wan: Option<Stats>,
    /// Both sites.
    pub sites: Vec<SiteStatus>,
    /// What runs at the client's place.
    pub client: Vec<ProcessStatus>,
}

/// A site, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Which one.
    pub side: Side,
    /// Whether its agent answers a controller.
    pub answers: bool,
    /// Everything that runs there.
    pub processes: Vec<ProcessStatus>,
}

/// A process of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

impl Lab {
    /// Looks at everything; what does not answer is said, not an error.
    #[must_use]
    pub fn status(&self) -> Status {
        let site = |side| SiteStatus {
            side,
            answers: self.hello(side).is_ok(),
            processes: self.processes(Place::Site(side)),
        };
        Status {
            name: self.name().to_string(),
            number: self.number(),
            wan: self.wan().stats().ok(),
            sites: Side::BOTH.map(site).into(),
            client: self.processes(Place::Client),
        }
    }

    fn processes(&self, place: Place) -> Vec<ProcessStatus> {
        let inside = self.netns(place).processes().into_iter();
        inside
            .map(|pid| ProcessStatus {
                pid: pid.as_raw_nonzero().get(),
                command: arguments(pid).join(" ").trim().to_owned(),
            })
            .collect()
    }
}
