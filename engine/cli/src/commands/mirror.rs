//! The way to the sites that keep records of runs.

use std::sync::Arc;

use longhaul_model::ids::SiteId;
use longhaul_run::{Keep, Mirror};
use longhaul_saga::event::{MirrorMode, Mirroring};
use longhaul_step::{Error, ErrorClass};
use longhaul_steps::Agents;
use longhaul_wire::v1;

use crate::errors::{Failure, Result};
use crate::exit_code;
use crate::settings::Settings;

/// Where the records of a run are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// Keep the run's records at other sites, too, so that `longhaul adopt` can go on with it from there
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::None)]
    mirror: When,
    /// A site that keeps them [default: every site of the inventory]
    #[arg(long, value_name = "SITE")]
    mirror_to: Vec<SiteId>,
}

/// What waits for the other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// The records are kept here alone
    None,
    /// Nothing waits: records follow as fast as the link lets them
    Async,
    /// A pivot starts when every one of these sites has the record that says so
    BeforePivot,
}

impl Wish {
    /// What the run's first record says of it; none if its records are kept here alone.
    pub(super) fn mirroring(&self, settings: &Settings) -> Result<Option<Mirroring>> {
        let mode = match self.mirror {
            When::None if self.mirror_to.is_empty() => return Ok(None),
            When::None => {
                let failure =
                    Failure::said(exit_code::USAGE, "--mirror-to says where, and nothing says when");
                return Err(failure.advise("say `--mirror async` or `--mirror before-pivot`"));
            }
            When::Async => MirrorMode::Async,
            When::BeforePivot => MirrorMode::BeforePivot,
        };
        let known: Vec<SiteId> = settings.inventory()?.sites.into_iter().map(|site| site.id).collect();
        if let Some(unknown) = self.mirror_to.iter().find(|site| !known.contains(site)) {
            let names: Vec<&str> = known.iter().map(SiteId::as_str).collect();
            let message = format!("site {unknown} is not in the inventory, which holds {}", names.join(", "));
            return Err(Failure::said(exit_code::USAGE, message));
        }
        let sites = if self.mirror_to.is_empty() { known } else { self.mirror_to.clone() };
        Ok(Some(Mirroring { mode, sites }))
    }
}

/// Agents as keepers of records.
pub(super) struct Keepers(pub(super) Arc<Agents>);

#[async_trait::async_trait]
impl Mirror for Keepers {
    async fn keep(&self, site: &SiteId, keep: Keep) -> std::result::Result<u64, Error> {
        let Keep { run, controller, records, values } = keep;
        let record = |record: longhaul_run::KeptRecord| v1::KeptRecord {
            seq: record.seq,
            previous: record.previous,
            digest: record.digest,
            line: record.line,
        };
        let request = v1::KeepRecordsRequest {
            run: run.to_string(),
            generation: controller.generation,
            controller: controller.name(),
            records: records.into_iter().map(record).collect(),
            values: values.into_iter().map(|(digest, text)| v1::KeptValue { digest, text }).collect(),
        };
        self.0.keep_records(site, request).await.map_err(Error::from)
    }
}

/// Whether nobody can ask there, as opposed to a no.
pub(super) fn is_unreachable(error: &Error) -> bool {
    error.class == ErrorClass::Unreachable
}
