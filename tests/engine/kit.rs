//! The conformance kit passes an honest action and fails each kind of dishonest one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhaul_model::action::Descriptor;
use longhaul_step::conformance::{Fault, Subject, check, uncovered};
use longhaul_step::{Action, Context, Error, ErrorClass, Handle, Outcome, Poll, Probe, Started};
use serde_json::{Value, json};

use super::toy::{World, Write1, registry};

/// How an action lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    AnotherHandle,
    ProbeAbsent,
    UndoNothing,
    BadSchema,
    CancelledIsGone,
    CancelUndoes,
}

/// Where an action that lies about a cancel remembers it.
const CANCELLED: &str = "cancelled";

struct Toy {
    _folder: tempfile::TempDir,
    world: World,
    fault: Arc<Mutex<Option<Fault>>>,
    lie: Lie,
}

impl Toy {
    fn new(lie: Lie) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path());
        Self { _folder: folder, world, fault: Arc::default(), lie }
    }
}

#[async_trait::async_trait]
impl Subject for Toy {
    fn action(&self) -> Arc<dyn Action> {
        let mut honest = Write1::new(self.world.clone());
        honest.fault = Arc::clone(&self.fault);
        let mut descriptor = honest.descriptor().clone();
        if self.lie == Lie::BadSchema {
            descriptor.params = json!({ "type": "no such type" });
        }
        Arc::new(Liar { honest, descriptor, lie: self.lie, cancelled: self.world.0.join(CANCELLED) })
    }

    fn params(&self) -> Value {
        json!({ "file": "x", "script": [] })
    }

    async fn reset(&self) {
        for folder in ["effects", "ops"] {
            std::fs::remove_dir_all(self.world.0.join(folder)).unwrap();
        }
        let _ = std::fs::remove_file(self.world.0.join(CANCELLED));
        World::new(&self.world.0);
    }

    async fn effects(&self) -> usize {
        usize::from(!self.world.effects().is_empty() || !self.world.under_way().is_empty())
    }

    async fn break_at(&self, fault: Option<Fault>) -> bool {
        *self.fault.lock().unwrap() = fault;
        true
    }
}

struct Liar {
    honest: Write1,
    descriptor: Descriptor,
    lie: Lie,
    cancelled: PathBuf,
}

#[async_trait::async_trait]
impl Action for Liar {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        match (self.honest.start(context, params).await, self.lie) {
            (Started::Running(_), Lie::AnotherHandle) => {
                let mut params = params.clone();
                params["nonce"] = json!(fastrand::u64(..));
                Started::Running(Handle(params.to_string()))
            }
            (started, _) => started,
        }
    }

    async fn poll(&self, context: &Context, handle: &Handle, patience: Duration) -> Poll {
        let poll = self.honest.poll(context, handle, patience).await;
        if self.lie == Lie::CancelledIsGone && self.cancelled.exists() && context.attempt == 1 {
            return Poll::Ended(Outcome::Failed(Error::new(ErrorClass::Cancelled, "stopped, or so it says")));
        }
        poll
    }

    async fn probe(&self, context: &Context, params: &Value) -> Probe {
        if self.lie == Lie::ProbeAbsent { Probe::Absent } else { self.honest.probe(context, params).await }
    }

    async fn cancel(&self, context: &Context, handle: &Handle) -> Result<(), Error> {
        match self.lie {
            Lie::CancelledIsGone => std::fs::write(&self.cancelled, "").unwrap(),
            Lie::CancelUndoes => {
                let params: Value = serde_json::from_str(&handle.0).unwrap();
                return self.honest.compensate(context, &params, None).await;
            }
            Lie::None | Lie::AnotherHandle | Lie::ProbeAbsent | Lie::UndoNothing | Lie::BadSchema => {
                return self.honest.cancel(context, handle).await;
            }
        }
        Ok(())
    }

    async fn compensate(
        &self,
        context: &Context,
        params: &Value,
        outputs: Option<&Value>,
    ) -> Result<(), Error> {
        if self.lie == Lie::UndoNothing {
            return Ok(());
        }
        self.honest.compensate(context, params, outputs).await
    }
}

/// An honest action passes.
#[tokio::test]
async fn an_honest_action_passes() {
    check(&Toy::new(Lie::None)).await.unwrap();
}

/// Every lie is found, by the promise it breaks.
#[tokio::test]
async fn every_lie_is_found() {
    let lies = [
        (Lie::AnotherHandle, "one handle"),
        (Lie::ProbeAbsent, "a probe says done"),
        (Lie::UndoNothing, "undoing takes the effect away"),
        (Lie::BadSchema, "JSON Schema"),
    ];
    for (lie, promise) in lies {
        let found = check(&Toy::new(lie)).await.unwrap_err();
        let named = found.violations.iter().any(|violation| violation.promise.contains(promise));
        assert!(named, "{lie:?}: {found}");
    }
}

/// What only a cancel brings to light is found, and by nothing else.
#[tokio::test]
async fn lies_about_a_cancel_are_found() {
    let lies = [(Lie::CancelledIsGone, "left nothing behind"), (Lie::CancelUndoes, "changes nothing")];
    for (lie, promise) in lies {
        let found = check(&Toy::new(lie)).await.unwrap_err();
        let promises: Vec<&str> = found.violations.iter().map(|violation| violation.promise).collect();
        assert!(promises.iter().any(|found| found.contains(promise)), "{lie:?}: {found}");
        assert!(promises.iter().all(|found| found.contains("cancel")), "{lie:?}: {found}");
    }
}

/// An action that is registered without an entry in the kit is named.
#[test]
fn uncovered_actions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&World::new(folder.path()));
    assert_eq!(uncovered(&registry, &["toy.write@1", "toy.look@1"]), []);
    assert_eq!(uncovered(&registry, &["toy.look@1"]), ["toy.write@1".parse().unwrap()]);
}
