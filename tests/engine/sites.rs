//! Whether a site is up, asked by a running workflow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::{Entry, Event, Saga, Status};
use longhaul_step::{Lookout, Sight};

use super::toy::{Rig, plan, step, when};

/// Sees every site but `gone`, and counts how often it is asked.
#[derive(Default)]
struct Counted {
    looks: AtomicU32,
}

#[async_trait::async_trait]
impl Lookout for Counted {
    async fn site(&self, site: &str) -> Sight {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if site == "gone" { Sight::Down } else { Sight::Up }
    }
}

/// The driver has sites looked at when a step's turn has come, records what was seen, and a replay of the records looks at
/// nothing and comes to the same decisions.
#[tokio::test(flavor = "multi_thread")]
async fn sites_are_looked_at_once_and_recorded() {
    let rig = Rig::new();
    let steps = [
        step("before", &[], &[]),
        when("site_up(\"here\")", step("there", &["before"], &[])),
        when("site_up(\"gone\")", step("passed", &["before"], &[])),
    ];
    let lookout = Arc::new(Counted::default());
    let driver = rig.driver().with_lookout(Arc::clone(&lookout) as Arc<dyn Lookout>);
    let (run, control, mut reporters) = ("run-a".parse().unwrap(), Control::new(), Reporters::new());
    let ended = driver.run(run, plan(&steps), None, &mut reporters, &control).await.unwrap();
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["before", "report", "there"]);
    let records = rig.records();
    let seen = records.iter().filter_map(|record| match &record.entry {
        Entry::Event(Event::Observed(seen)) => Some((seen.step.to_string(), seen.seen.clone())),
        _ => None,
    });
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(seen, [("passed".to_owned(), Sight::Down), ("there".to_owned(), Sight::Up)]);
    assert_eq!(Saga::fold(&records).unwrap().saga.status(), Status::Succeeded);
    assert_eq!(lookout.looks.load(Ordering::SeqCst), 2);
}

/// Without anybody who can look, a step that asks fails and says so, and what was done is undone.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_look() {
    let rig = Rig::new();
    let steps = [step("before", &[], &[]), when("site_up(\"here\")", step("there", &["before"], &[]))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    let refused = rig
        .records()
        .iter()
        .any(|record| serde_json::to_string(&record.entry).unwrap().contains("this program can ask no site"));
    assert!(refused);
    assert_eq!(rig.world.effects(), ["report"]);
}
