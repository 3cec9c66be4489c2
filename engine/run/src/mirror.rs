//! Records of a run kept at other sites, for the case that this controller is lost with its disk.
//!
//! ```text
//!   journal --durable up to--> one task per site: reads what is behind what the site has, sends it --> kept up to
//! ```
//!
//! The journal on the own disk decides; a site that does not answer delays nothing but what is told to wait for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::{RunId, SiteId};
use longhaul_saga::event::{Controller, MirrorMode, Mirroring};
use longhaul_step::{Error, ErrorClass};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::{Journal, Reader};

/// So many records go in one message at most.
const RECORDS_MAX: usize = 500;

/// Between two tries to reach a site.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a run that is over waits for the sites to have its last records.
const LAST_MAX: Duration = Duration::from_secs(10);

/// A record as it is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    /// Its number.
    pub seq: u64,
    /// The hash of the record before it.
    pub previous: String,
    /// Its own hash.
    pub digest: String,
    /// The record as a line of an export.
    pub line: String,
}

/// What a site is asked to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The run.
    pub run: RunId,
    /// Who drives it.
    pub controller: Controller,
    /// Records, in order; none only asks what is kept.
    pub records: Vec<KeptRecord>,
    /// The values that they name, by digest.
    pub values: Vec<(String, String)>,
}

/// The way to the sites that keep records.
#[async_trait::async_trait]
pub trait Mirror: Send + Sync {
    /// Has a site keep records. What does not follow what it has is not kept; the answer is the number of the last record that it
    /// has then.
    ///
    /// # Errors
    /// [`ErrorClass::Conflict`] when another controller has taken the run over; else when the site cannot be asked.
    async fn keep(&self, site: &SiteId, keep: Keep) -> Result<u64, Error>;
}

/// Knows no way to any site.
#[derive(Debug, Clone, Copy)]
pub struct NoMirror;

#[async_trait::async_trait]
impl Mirror for NoMirror {
    async fn keep(&self, site: &SiteId, _: Keep) -> Result<u64, Error> {
        Err(Error::new(ErrorClass::Permanent, format!("there is no way to site {site}")))
    }
}

/// The tasks that have a run's records kept elsewhere.
pub(crate) struct Mirrors {
    mode: MirrorMode,
    durable: watch::Sender<u64>,
    sites: Vec<(SiteId, watch::Receiver<u64>)>,
    tasks: JoinSet<()>,
    news: Arc<Notify>,
    taken: watch::Receiver<Option<String>>,
}

impl Mirrors {
    pub(crate) fn start(
        mirroring: Mirroring,
        mirror: &Arc<dyn Mirror>,
        journal: &Journal,
        run: &RunId,
    ) -> Self {
        let (durable, _) = watch::channel(0);
        let (taken_over, taken) = watch::channel(None);
        let (news, mut tasks, mut sites) = (Arc::new(Notify::new()), JoinSet::new(), Vec::new());
        for site in mirroring.sites {
            let (kept, seen) = watch::channel(0);
            let task = Task {
                directory: journal.directory().to_owned(),
                mirror: Arc::clone(mirror),
                controller: journal.controller(),
                run: run.clone(),
                site: site.clone(),
                kept,
                news: Arc::clone(&news),
                taken: taken_over.clone(),
            };
            let _: AbortHandle = tasks.spawn(task.follow(durable.subscribe()));
            sites.push((site, seen));
        }
        Self { mode: mirroring.mode, durable, sites, tasks, news, taken }
    }

    /// The records up to this one are on the own disk.
    pub(crate) fn durable(&self, seq: u64) {
        self.durable.send_replace(seq);
    }

    /// The sites that do not have the record yet for which a pivot waits.
    pub(crate) fn missing(&self, seq: u64) -> Vec<&SiteId> {
        if self.mode == MirrorMode::Async {
            return Vec::new();
        }
        self.sites.iter().filter(|(_, kept)| *kept.borrow() < seq).map(|(site, _)| site).collect()
    }

    /// Is told whenever a site has more, or says that the run was taken over.
    pub(crate) fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// Who has taken the run over, as a site says.
    pub(crate) fn taken_over(&self) -> Option<String> {
        self.taken.borrow().clone()
    }

    /// Waits a while until the sites have everything.
    pub(crate) async fn finish(self) {
        let Self { durable, mut tasks, .. } = self;
        drop(durable);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_MAX, all).await.is_err() {
            tracing::warn!("not every site has the last records of the run");
        }
    }
}

/// Has records kept at one site.
struct Task {
    directory: PathBuf,
    mirror: Arc<dyn Mirror>,
    controller: Controller,
    run: RunId,
    site: SiteId,
    kept: watch::Sender<u64>,
    news: Arc<Notify>,
    taken: watch::Sender<Option<String>>,
}

impl Task {
    async fn follow(self, mut durable: watch::Receiver<u64>) {
        let (mut has, mut is_warned) = (None, false);
        loop {
            let up_to = *durable.borrow_and_update();
            if has == Some(up_to) || (has.is_none() && up_to == 0) {
                if durable.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let keep = match has {
                Some(has) => self.behind(has).await,
                None => Ok(self.nothing()),
            };
            let asked = match keep {
                Ok(keep) => self.mirror.keep(&self.site, keep).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(kept) if has == Some(kept) => {
                    tracing::error!(site = %self.site, run = %self.run, kept, "the site keeps another run of this name: nothing is kept there");
                    return;
                }
                Ok(kept) => {
                    (has, is_warned) = (Some(kept), false);
                    self.kept.send_replace(kept);
                    self.news.notify_one();
                }
                Err(error) if error.class == ErrorClass::Conflict => {
                    self.taken.send_replace(Some(error.message));
                    return self.news.notify_one();
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_warned, true) {
                        tracing::warn!(site = %self.site, run = %self.run, %error, "records are not kept at the site for now");
                    }
                    // Nobody waits at the end of a run for a site that does not answer.
                    if durable.has_changed().is_err() {
                        return;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn nothing(&self) -> Keep {
        let (run, controller) = (self.run.clone(), self.controller.clone());
        Keep { run, controller, records: Vec::new(), values: Vec::new() }
    }

    /// What comes behind the record that the site has.
    async fn behind(&self, has: u64) -> Result<Keep, Error> {
        let (directory, run, keep) = (self.directory.clone(), self.run.clone(), self.nothing());
        let read = move || {
            let bundle = Reader::open(&directory)?.part(&run, has + 1, RECORDS_MAX)?;
            let kept = |stored: &crate::journal::Stored| KeptRecord {
                seq: stored.header.seq,
                previous: stored.header.previous.clone(),
                digest: stored.header.digest(&stored.text),
                line: stored.line(),
            };
            let records = bundle.records.iter().map(kept).collect();
            Ok(Keep { records, values: bundle.values.into_iter().collect(), ..keep })
        };
        let internal = |error: &dyn std::fmt::Display| Error::new(ErrorClass::Internal, error.to_string());
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read.map_err(|error: crate::journal::Error| internal(&error)),
            Err(error) => Err(internal(&error)),
        }
    }
}
