//! Records that are kept at other sites while a run goes on.

use std::sync::{Arc, Mutex};

use longhaul_model::ids::{RunId, SiteId};
use longhaul_run::driver::Driver;
use longhaul_run::journal::{Bundle, Stored};
use longhaul_run::{Control, Ended, Journal, Keep, KeptRecord, Mirror, Reporters};
use longhaul_saga::event::{MirrorMode, Mirroring};
use longhaul_saga::{Entry, Intent, Record, Status};
use longhaul_step::{Error, ErrorClass};

use super::toy::{DEADLINE, Rig, pivot, plan, recorded, registry, step};

/// What a site does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    Keeps,
    IsSilent,
    /// Another controller has taken the run over.
    Refuses,
}

/// A site in memory.
#[derive(Clone)]
struct Kept(Arc<Mutex<(Site, Vec<KeptRecord>)>>);

impl Kept {
    fn new(site: Site) -> Self {
        Self(Arc::new(Mutex::new((site, Vec::new()))))
    }

    fn set(&self, site: Site) {
        self.0.lock().unwrap().0 = site;
    }

    fn records(&self) -> Vec<KeptRecord> {
        self.0.lock().unwrap().1.clone()
    }
}

#[async_trait::async_trait]
impl Mirror for Kept {
    async fn keep(&self, _: &SiteId, keep: Keep) -> Result<u64, Error> {
        let mut kept = self.0.lock().unwrap();
        match kept.0 {
            Site::Keeps => {}
            Site::IsSilent => return Err(Error::new(ErrorClass::Unreachable, "it says nothing")),
            Site::Refuses => return Err(Error::new(ErrorClass::Conflict, "taken over by another")),
        }
        for record in keep.records {
            if record.seq == kept.1.len() as u64 + 1 {
                kept.1.push(record);
            }
        }
        Ok(kept.1.len() as u64)
    }
}

fn driver(rig: &Rig, kept: &Kept, mode: MirrorMode) -> Driver {
    let sites = vec!["b".parse().unwrap()];
    let driver = rig.driver().with_mirror(Arc::new(kept.clone()));
    driver.with_mirroring(Some(Mirroring { mode, sites }))
}

fn id() -> RunId {
    "run-a".parse().unwrap()
}

async fn run(rig: &Rig, kept: &Kept, mode: MirrorMode, control: &Control) -> Ended {
    let steps = [step("a", &[], &[]), pivot(step("move", &["a"], &[])), step("b", &["move"], &[])];
    let (driver, mut reporters) = (driver(rig, kept, mode), Reporters::new());
    let run = driver.run(id(), plan(&steps), None, &mut reporters, control);
    tokio::time::timeout(DEADLINE, run).await.unwrap().unwrap()
}

fn begins(step: &'static str) -> impl Fn(&Record) -> bool {
    move |record| matches!(&record.entry, Entry::Intent(Intent::Start(it)) if it.step.as_str() == step)
}

/// The pivot's record is in the journal, and the pivot begins only when the site has it; everything else waits for nobody. In the
/// end the site has what the journal has, and another journal can be made of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_waits_until_its_record_is_elsewhere() {
    let (rig, kept) = (Rig::new(), Kept::new(Site::IsSilent));
    let control = Control::new();
    let driving = run(&rig, &kept, MirrorMode::BeforePivot, &control);
    let heal = async {
        recorded(&rig, begins("move")).await;
        assert_eq!(rig.world.effects(), ["a"]);
        assert!(!rig.world.logged().iter().any(|line| line.starts_with("start move")));
        kept.set(Site::Keeps);
    };
    let (ended, ()) = tokio::join!(driving, heal);
    assert_eq!(ended, Ended::At(Status::Succeeded));
    let stored = rig.reader().stored(&id()).unwrap();
    let lines: Vec<String> = stored.iter().map(Stored::line).collect();
    let mirrored = kept.records();
    assert_eq!(mirrored.iter().map(|record| record.line.clone()).collect::<Vec<_>>(), lines);

    let records = mirrored.iter().map(|record| Stored::of_line(&record.line).unwrap()).collect();
    let elsewhere = tempfile::tempdir().unwrap();
    let journal = Journal::open_as(elsewhere.path(), 1, 7).unwrap();
    journal.import(Bundle { records, ..Bundle::default() }).await.unwrap();
    assert_eq!(journal.owner().generation, 7);
    assert_eq!(journal.reader().unwrap().records(&id()).unwrap(), rig.records());
}

/// What only follows holds nothing up: the run ends while the site is silent.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_delays_nothing() {
    let (rig, kept) = (Rig::new(), Kept::new(Site::IsSilent));
    let ended = run(&rig, &kept, MirrorMode::Async, &Control::new()).await;
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(kept.records(), []);
}

/// A site says that another controller has the run: this one stops, and nothing more begins; it is told so again when it is started
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_followed_stops() {
    let (rig, kept) = (Rig::new(), Kept::new(Site::Refuses));
    let ended = run(&rig, &kept, MirrorMode::BeforePivot, &Control::new()).await;
    assert_eq!(ended, Ended::Interrupted);
    assert!(!rig.world.effects().contains(&"move".to_owned()));
    let driver = Driver::new(rig.journal.clone(), registry(&rig.world)).with_mirror(Arc::new(kept));
    let (mut reporters, control) = (Reporters::new(), Control::new());
    let run = id();
    let resumed = driver.resume(&run, &mut reporters, &control);
    let ended = tokio::time::timeout(DEADLINE, resumed).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Interrupted);
    assert!(!rig.world.effects().contains(&"move".to_owned()));
}
