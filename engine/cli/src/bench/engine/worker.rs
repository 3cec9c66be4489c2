//! Our own part: a process that runs steps that do nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longhaul_model::document::Document;
use longhaul_model::ids::RunId;
use longhaul_model::source::Source;
use longhaul_plan::Plan;
use longhaul_run::{Control, Driver, Journal, Reporters};
use longhaul_saga::Saga;
use longhaul_step::{Probe, Registry, Simple};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::work::Shape;
use crate::errors::{Explain as _, Result};
use crate::{exit_code, output};

/// The part of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Runs the steps.
    Run,
    /// Runs them until nearly all are done, says so, and waits to be killed.
    Stand,
    /// Goes on where another was killed.
    Resume,
    /// Decides everything again from the records of a run.
    Replay,
}

/// How many steps are left when a run stands still.
const LEFT: usize = 10;
const RUN: &str = "bench";

/// Hears how many steps were done when a run stands still.
type Teller = mpsc::UnboundedSender<usize>;

/// When steps started.
#[derive(Debug, Clone)]
struct Seen(Arc<Mutex<(Instant, Vec<u64>)>>);

impl Seen {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), Vec::new()))))
    }

    /// Notes a step; returns how many there were.
    fn note(&self) -> usize {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = seen.0.elapsed();
        seen.1.push(nanoseconds(at));
        seen.1.len()
    }

    /// Counts from now, and from nothing.
    fn begin(&self) -> Instant {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (Instant::now(), Vec::new());
        seen.0
    }

    fn starts_ns(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Does its part in a folder, and prints what came of it.
pub(crate) fn work_on(part: Part, shape: Shape, steps: usize, runs: usize, folder: &Path) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.doing(exit_code::FAILED, || "start the runtime".to_owned())?;
    let done = match part {
        Part::Run => runtime.block_on(run(shape, steps, runs, folder)),
        Part::Stand => runtime.block_on(async {
            let (teller, mut told) = mpsc::unbounded_channel();
            let folder = folder.to_owned();
            // It goes on while this process waits, so that it is killed with its journal open.
            let standing = tokio::spawn(async move { stand(shape, steps, &folder, teller).await });
            match told.recv().await {
                Some(done) => Ok(json!({ "done": done })),
                None => standing.await?,
            }
        }),
        Part::Resume => runtime.block_on(resume(folder)),
        Part::Replay => replay(folder),
    };
    let told = done.map_err(|error| crate::errors::Failure::new(exit_code::FAILED, error))?;
    output::data(told);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).doing(exit_code::FAILED, || "wait for the end".to_owned())?;
    Ok(exit_code::OK)
}

async fn run(shape: Shape, steps: usize, runs: usize, folder: &Path) -> anyhow::Result<Value> {
    let seen = Seen::new();
    let driver = driver(folder, registry(&seen, None)?)?;
    drive(&driver, "warm-up", plan(Shape::Chain, 3)?).await?;
    let plan = plan(shape, steps)?;
    let begun = seen.begin();
    let all = (0..runs).map(|number| {
        let (driver, plan) = (driver.clone(), plan.clone());
        tokio::spawn(async move { drive(&driver, &format!("{RUN}-{number}"), plan).await })
    });
    for ended in futures_util::future::join_all(all).await {
        ended??;
    }
    Ok(json!({ "starts_ns": seen.starts_ns(), "ended_ns": nanoseconds(begun.elapsed()) }))
}

/// Tells when all but some steps are done, and goes on with none.
async fn stand(shape: Shape, steps: usize, folder: &Path, teller: Teller) -> anyhow::Result<Value> {
    let seen = Seen::new();
    let driver = driver(folder, registry(&seen, Some((steps.saturating_sub(LEFT), teller)))?)?;
    let plan = plan(shape, steps)?;
    seen.begin();
    drive(&driver, RUN, plan).await?;
    anyhow::bail!("the run came to its end: nothing stood still")
}

async fn resume(folder: &Path) -> anyhow::Result<Value> {
    let seen = Seen::new();
    let registry = registry(&seen, None)?;
    let begun = seen.begin();
    let driver = driver(folder, registry)?;
    driver.resume(&RUN.parse()?, &mut Reporters::new(), &Control::new()).await?;
    Ok(json!({ "starts_ns": seen.starts_ns(), "ended_ns": nanoseconds(begun.elapsed()) }))
}

/// How long it takes to read the records of a run, and to decide everything again and compare it.
fn replay(folder: &Path) -> anyhow::Result<Value> {
    let reader = longhaul_run::journal::Reader::open(folder)?;
    let run: RunId = format!("{RUN}-0").parse()?;
    let begun = Instant::now();
    let records = reader.records(&run)?;
    let read = begun.elapsed();
    let begun = Instant::now();
    Saga::fold(&records)?;
    let decided = begun.elapsed();
    let (read_ns, decided_ns) = (nanoseconds(read), nanoseconds(decided));
    Ok(json!({ "events": records.len(), "read_ns": read_ns, "decided_ns": decided_ns }))
}

async fn drive(driver: &Driver, run: &str, plan: Plan) -> anyhow::Result<()> {
    let ended = driver.run(run.parse()?, plan, None, &mut Reporters::new(), &Control::new()).await?;
    let succeeded = longhaul_run::Ended::At(longhaul_saga::Status::Succeeded);
    anyhow::ensure!(ended == succeeded, "the run ended as {ended:?}");
    Ok(())
}

fn driver(folder: &Path, registry: Registry) -> anyhow::Result<Driver> {
    Ok(Driver::new(Journal::open(folder, 1)?, registry))
}

/// One action that does nothing, as if it left something that could be undone: what leaves nothing is an easier case. With
/// `stand` the step behind so many tells of it and never ends.
fn registry(seen: &Seen, stand: Option<(usize, Teller)>) -> anyhow::Result<Registry> {
    let seen = seen.clone();
    let action = Simple::new("bench.nothing@1".parse()?, "does nothing", move |_, _| {
        let number = seen.note();
        let stand = stand.clone();
        async move {
            if let Some((_, teller)) = stand.filter(|(most, _)| number > *most) {
                // Nobody listens to the others that stand.
                let _told = teller.send(number - 1);
                std::future::pending::<()>().await;
            }
            Ok(json!({}))
        }
    });
    let action = action.undone_by(|_, _| async { Ok(()) }).probed_by(|_, _| async { Probe::Absent });
    let mut registry = Registry::new();
    registry.register(Arc::new(action))?;
    Ok(registry)
}

fn plan(shape: Shape, steps: usize) -> anyhow::Result<Plan> {
    let mut text =
        "apiVersion: longhaul/v1\nkind: Workflow\nname: bench\nversion: 1.0.0\nsteps:\n".to_owned();
    for step in 0..steps {
        let needs = match step.checked_sub(1) {
            Some(before) if shape == Shape::Chain => format!("needs: [s{before}], "),
            _ => String::new(),
        };
        text.push_str(&format!("  s{step}: {{ {needs}uses: bench.nothing@1, with: {{}} }}\n"));
    }
    let document = Document::parse(&Source::new("bench.yaml", &text))
        .map_err(|diagnostics| anyhow::anyhow!("{diagnostics:?}"))?;
    let registry = registry(&Seen::new(), None)?;
    longhaul_plan::check(&document, &Map::new(), &registry.catalogue())
        .map_err(|diagnostics| anyhow::anyhow!("{diagnostics:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every step starts once, in all runs; one that stood is gone on with; and what was recorded is decided again.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_part_does_its_work() {
        let folder = tempfile::tempdir().unwrap();
        let (teller, mut told) = mpsc::unbounded_channel();
        let path = folder.path().to_owned();
        let standing = tokio::spawn(async move { stand(Shape::Chain, 15, &path, teller).await });
        assert_eq!(told.recv().await, Some(5));
        standing.abort();
        assert!(standing.await.unwrap_err().is_cancelled());
        let told = resume(folder.path()).await.unwrap();
        assert_eq!(told["starts_ns"].as_array().unwrap().len(), 10, "{told}");
        let folder = tempfile::tempdir().unwrap();
        let told = run(Shape::FanOut, 5, 3, folder.path()).await.unwrap();
        assert_eq!(told["starts_ns"].as_array().unwrap().len(), 15);
        let replayed = replay(folder.path()).unwrap();
        assert!(replayed["events"].as_u64().unwrap() > 10, "{replayed}");
    }
}
