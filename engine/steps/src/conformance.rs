//! Every native action's entry in the conformance kit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::action::Descriptor;
use longhaul_step::conformance::{self, Fault, Subject};
use longhaul_step::{Action, Context, Error, Estimate, Finding, Handle, Poll, Probe, RunRecords, Started};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_agent::{self, Fakes};
use crate::registry_through;

/// An action that agents carry out: its name, its parameters, and the site at which the kit breaks it.
struct Remote {
    name: &'static str,
    params: Value,
    site: &'static str,
    fakes: Fakes,
}

/// An entry: name, parameters, the site at which it is broken.
type Entry = (&'static str, Value, &'static str);

fn remotes() -> [Entry; 6] {
    let moving = |more: Value| {
        let mut params = json!({ "vm": "vm-a", "from": "a", "to": "b" });
        let (Value::Object(all), Value::Object(more)) = (&mut params, more) else { panic!("maps") };
        all.extend(more);
        params
    };
    [
        ("wan.tunnel@1", json!({ "from": "a", "to": "b" }), "a"),
        ("storage.prefetch@1", moving(json!({ "until": { "present": 0.85 }, "keep": true })), "b"),
        ("gtm.prepare@1", json!({ "vm": "vm-a", "ttl": 5 }), "b"),
        ("vm.move@1", moving(json!({ "max_pause": "300ms" })), "a"),
        ("gtm.redirect@1", json!({ "vm": "vm-a", "to": "b" }), "b"),
        ("storage.settle@1", moving(json!({})), "b"),
    ]
}

fn action(fakes: &Fakes, reports: &Path, name: &str) -> Arc<dyn Action> {
    let registry = registry_through(&fakes.agents(), reports);
    Arc::clone(registry.get(&name.parse().unwrap()).unwrap())
}

#[async_trait::async_trait]
impl Subject for Remote {
    fn action(&self) -> Arc<dyn Action> {
        action(&self.fakes, Path::new(""), self.name)
    }

    fn params(&self) -> Value {
        self.params.clone()
    }

    async fn reset(&self) {
        self.fakes.world.reset();
    }

    async fn effects(&self) -> usize {
        self.fakes.world.effects()
    }

    async fn break_at(&self, fault: Option<Fault>) -> bool {
        let fault = fault.map(|fault| match fault {
            Fault::Before => fake_agent::Fault::Fail,
            Fault::Half => fake_agent::Fault::Half,
            Fault::After => fake_agent::Fault::Lose,
            Fault::Undo => fake_agent::Fault::KeepEffect,
        });
        self.fakes.world.break_site(self.site, fault);
        true
    }
}

/// `site.check` looks at a world in which everything is as it should be.
struct Check {
    fakes: Fakes,
}

#[async_trait::async_trait]
impl Subject for Check {
    fn action(&self) -> Arc<dyn Action> {
        action(&self.fakes, Path::new(""), "site.check@1")
    }

    fn params(&self) -> Value {
        json!({ "from": "a", "to": "b", "vms": ["vm-a"] })
    }

    async fn reset(&self) {}

    async fn effects(&self) -> usize {
        self.fakes.world.effects()
    }

    async fn break_at(&self, _fault: Option<Fault>) -> bool {
        false
    }
}

/// `report.write` writes into a folder of its own, from records of a run that was only created.
struct Report {
    fakes: Fakes,
    folder: TempDir,
}

#[async_trait::async_trait]
impl Subject for Report {
    fn action(&self) -> Arc<dyn Action> {
        Arc::new(WithRecords(action(&self.fakes, self.folder.path(), "report.write@1")))
    }

    fn params(&self) -> Value {
        json!({ "to": "reports/run.html" })
    }

    async fn reset(&self) {
        let reports = self.folder.path().join("reports");
        if reports.is_dir() {
            std::fs::remove_dir_all(reports).unwrap();
        }
    }

    async fn effects(&self) -> usize {
        usize::from(self.folder.path().join("reports/run.html").exists())
    }

    /// A file where the folder should be.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        let reports = self.folder.path().join("reports");
        match fault {
            Some(Fault::Before) => std::fs::write(&reports, "in the way").is_ok(),
            Some(Fault::Half | Fault::After | Fault::Undo) => false,
            None => {
                if reports.is_file() {
                    std::fs::remove_file(&reports).unwrap();
                }
                true
            }
        }
    }
}

/// Gives an action the records that the kit has not.
struct WithRecords(Arc<dyn Action>);

struct Created;

impl RunRecords for Created {
    fn records(&self) -> Result<Vec<Value>, Error> {
        let graph = json!({ "steps": [] });
        let workflow =
            json!({ "name": "evacuate", "version": "1.0.0", "sha256": "00", "file": "evacuate.yaml" });
        let plan =
            json!({ "workflow": workflow, "inputs": {}, "graph": graph, "outputs": [], "always": graph });
        let controller = json!({ "host": "east", "pid": 1, "generation": 1 });
        Ok(vec![json!({
            "run": "run-conformance",
            "seq": 1,
            "version": longhaul_saga::RECORD_VERSION,
            "saga": longhaul_saga::SAGA_VERSION,
            "at_unix_ms": 1,
            "kind": "run_created",
            "payload": { "controller": controller, "plan": plan },
            "previous": longhaul_saga::FIRST_PREVIOUS,
        })])
    }
}

fn with_records(context: &Context) -> Context {
    Context { records: Arc::new(Created), ..context.clone() }
}

#[async_trait::async_trait]
impl Action for WithRecords {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn check(&self, params: &Value, facts: &Value) -> Vec<Finding> {
        self.0.check(params, facts)
    }

    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        self.0.estimate(params, facts)
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        self.0.start(&with_records(context), params).await
    }

    async fn poll(&self, context: &Context, handle: &Handle, patience: Duration) -> Poll {
        self.0.poll(&with_records(context), handle, patience).await
    }

    async fn probe(&self, context: &Context, params: &Value) -> Probe {
        self.0.probe(&with_records(context), params).await
    }

    async fn cancel(&self, context: &Context, handle: &Handle) -> Result<(), Error> {
        self.0.cancel(&with_records(context), handle).await
    }

    async fn compensate(
        &self,
        context: &Context,
        params: &Value,
        outputs: Option<&Value>,
    ) -> Result<(), Error> {
        self.0.compensate(&with_records(context), params, outputs).await
    }
}

/// No action is registered without an entry here.
#[tokio::test]
async fn every_action_has_an_entry() {
    let fakes = Fakes::start().await;
    let registry = registry_through(&fakes.agents(), Path::new(""));
    let mut covered: Vec<&str> = remotes().iter().map(|(name, ..)| *name).collect();
    covered.extend(["site.check@1", "report.write@1"]);
    assert_eq!(conformance::uncovered(&registry, &covered), []);
}

/// Every action that agents carry out keeps its contract: broken off anywhere, started twice, undone twice.
#[tokio::test]
async fn remote_actions_keep_their_contract() {
    for (name, params, site) in remotes() {
        let subject = Remote { name, params, site, fakes: Fakes::start().await };
        conformance::check(&subject).await.unwrap_or_else(|broken| panic!("{broken}"));
    }
}

/// `site.check` keeps its contract.
#[tokio::test]
async fn site_check_keeps_its_contract() {
    let subject = Check { fakes: Fakes::start().await };
    conformance::check(&subject).await.unwrap_or_else(|broken| panic!("{broken}"));
}

/// `report.write` keeps its contract.
#[tokio::test]
async fn report_write_keeps_its_contract() {
    let subject = Report { fakes: Fakes::start().await, folder: TempDir::new().unwrap() };
    conformance::check(&subject).await.unwrap_or_else(|broken| panic!("{broken}"));
}
