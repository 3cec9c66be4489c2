//! One operation at one or more agents, against fake agents on loopback.

use std::time::Duration;

use longhaul_model::ids::StepPath;
use longhaul_model::resource::ResourceKind;
use longhaul_step::{Claimed, Key, RunRecords};
use serde_json::json;

use super::*;
use crate::fake_agent::{Fakes, Fault};
use crate::gtm_redirect::GtmRedirect;
use crate::storage_prefetch::StoragePrefetch;

/// Every wait of these tests ends far below this.
const PATIENCE: Duration = Duration::from_secs(10);

struct NoRecords;

impl RunRecords for NoRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}

fn context() -> Context {
    let step = StepPath::root(&"redirect".parse().unwrap());
    Context {
        key: Key { run: "run-1".parse().unwrap(), step, incarnation: 1 },
        attempt: 1,
        controller: "tests (pid 1)".into(),
        generation: 3,
        records: Arc::new(NoRecords),
        claims: Claims::new(),
    }
}

fn redirect(fakes: &Fakes) -> RemoteAction<GtmRedirect> {
    RemoteAction::new(fakes.agents(), GtmRedirect::new())
}

fn to_b() -> Value {
    json!({ "vm": "vm-a", "to": "b" })
}

async fn started(action: &dyn Action, params: &Value) -> Handle {
    match action.start(&context(), params).await {
        Started::Running(handle) => handle,
        other => panic!("not started: {other:?}"),
    }
}

async fn ended(action: &dyn Action, handle: &Handle) -> Outcome {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Poll::Ended(outcome) = action.poll(&context(), handle, PATIENCE).await {
            return outcome;
        }
    }
    panic!("not over in time");
}

/// A redirect is written at every site of the inventory and read back; its outputs name each site's serial.
#[tokio::test]
async fn every_site_is_asked_and_read_back() {
    let fakes = Fakes::start().await;
    let action = redirect(&fakes);
    let handle = started(&action, &to_b()).await;
    let Outcome::Done(outputs) = ended(&action, &handle).await else { panic!("not done") };
    assert_eq!(outputs["address"], "address-at-b");
    assert_eq!(outputs["sites"][0]["serial"], 7);
    assert_eq!(outputs["sites"][1]["serial"], 3);
    assert_eq!(fakes.world.parts(), 2);
    action.compensate(&context(), &to_b(), None).await.unwrap();
    assert_eq!(fakes.world.parts(), 0);
}

/// The same start is the same handle, and its effect happens once.
#[tokio::test]
async fn a_repeated_start_is_the_same() {
    let fakes = Fakes::start().await;
    let action = redirect(&fakes);
    assert_eq!(started(&action, &to_b()).await, started(&action, &to_b()).await);
    assert_eq!(fakes.world.parts(), 2);
}

/// When one site refuses, what the other had begun is undone before the action says that nothing happened.
#[tokio::test]
async fn a_refusal_leaves_nothing_at_the_other_site() {
    let fakes = Fakes::start().await;
    fakes.world.break_site("b", Some(Fault::Refuse));
    let Started::Failed(error) = redirect(&fakes).start(&context(), &to_b()).await else {
        panic!("not failed")
    };
    assert_eq!(error.class, ErrorClass::Precondition);
    assert_eq!(fakes.world.parts(), 0);
}

/// When one site fails after the start, the other one's part is undone; when it does not know, nobody guesses.
#[tokio::test]
async fn a_failure_at_one_site_undoes_the_other() {
    let fakes = Fakes::start().await;
    let action = redirect(&fakes);
    fakes.world.break_site("b", Some(Fault::Fail));
    let handle = started(&action, &to_b()).await;
    assert!(matches!(ended(&action, &handle).await, Outcome::Failed(_)));
    assert_eq!(fakes.world.parts(), 0);

    let fakes = Fakes::start().await;
    let action = redirect(&fakes);
    fakes.world.break_site("b", Some(Fault::Half));
    let handle = started(&action, &to_b()).await;
    assert!(matches!(ended(&action, &handle).await, Outcome::Unknown(_)));
    assert!(matches!(action.probe(&context(), &to_b()).await, Probe::Partial));
}

/// A dead agent makes every outcome unknown, never failed; once it is back the same handle is good.
#[tokio::test]
async fn silence_is_unknown_until_the_agent_is_back() {
    let mut fakes = Fakes::start().await;
    let action = RemoteAction::new(fakes.agents(), StoragePrefetch::new());
    let params = json!({ "vm": "vm-a", "from": "a", "to": "b", "until": { "present": 0.85 } });
    let handle = started(&action, &params).await;
    fakes.kill(1);
    let Poll::Ended(Outcome::Unknown(error)) = action.poll(&context(), &handle, Duration::ZERO).await else {
        panic!("a dead agent answered")
    };
    assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
    assert!(matches!(action.start(&context(), &params).await, Started::Unknown(_)));
    assert!(matches!(action.probe(&context(), &params).await, Probe::CannotTell(_)));
    assert!(action.compensate(&context(), &params, None).await.is_err());
    fakes.restart(1).await;
    let Outcome::Done(outputs) = ended(&action, &handle).await else { panic!("not done") };
    assert_eq!(outputs["rounds"], 2);
}

/// A site that the inventory does not hold is a mistake, and nothing is started.
#[tokio::test]
async fn an_unknown_site_is_refused() {
    let fakes = Fakes::start().await;
    let action = RemoteAction::new(fakes.agents(), StoragePrefetch::new());
    let params = json!({ "vm": "vm-a", "from": "a", "to": "c", "until": { "present": 1 } });
    let Started::Failed(error) = action.start(&context(), &params).await else { panic!("started") };
    assert_eq!(error.message, "site c is not in the inventory, which holds a, b");
}

/// A copy begins with what its step has of its link and is told when that changes; what it has of other things is no bound.
#[tokio::test]
async fn a_copy_is_told_its_share() {
    let fakes = Fakes::start().await;
    let action = RemoteAction::new(fakes.agents(), StoragePrefetch::new());
    let params = json!({ "vm": "vm-a", "from": "a", "to": "b", "until": { "present": 1 } });
    let claims = |amount| {
        let claimed = |kind, amount, sites: &[&str]| Claimed {
            kind,
            amount,
            sites: sites.iter().map(|site| site.parse().unwrap()).collect(),
        };
        let wan = claimed(ResourceKind::Bandwidth, amount, &["a", "b"]);
        Claims::from([("wan".into(), wan), ("slots".into(), claimed(ResourceKind::Count, 1, &[]))])
    };
    let begun = Context { claims: claims(5_000_000), ..context() };
    let Started::Running(handle) = action.start(&begun, &params).await else { panic!("not started") };
    assert_eq!(fakes.world.bounds(), [5_000_000]);
    action.adjust(&begun, &handle, &claims(8_000_000)).await.unwrap();
    assert_eq!(fakes.world.bounds(), [8_000_000]);
}

/// An action that does not hold back is given no bound, whatever its step claims.
#[tokio::test]
async fn a_redirect_has_no_bound() {
    let fakes = Fakes::start().await;
    let action = redirect(&fakes);
    let wan = Claimed { kind: ResourceKind::Bandwidth, amount: 7, sites: Vec::new() };
    let claims = Claims::from([("wan".into(), wan)]);
    let begun = Context { claims: claims.clone(), ..context() };
    let Started::Running(handle) = action.start(&begun, &to_b()).await else { panic!("not started") };
    action.adjust(&begun, &handle, &claims).await.unwrap();
    assert_eq!(fakes.world.bounds(), [0, 0]);
}
