//! Steps that do nothing, with steno: `steno-peer SHAPE STEPS RUNS FOLDER`. Each event is appended to a file and flushed
//! before the next.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use steno::{
    Action, ActionContext, ActionError, ActionRegistry, DagBuilder, Node, SagaCachedState, SagaCreateParams, SagaDag,
    SagaId, SagaName, SagaNodeEvent, SagaType, SecClient, SecStore, new_action_noop_undo,
};

#[derive(Debug)]
struct Nothing;

impl SagaType for Nothing {
    type ExecContextType = Arc<Seen>;
}

/// When steps started.
#[derive(Debug)]
struct Seen {
    begun: Mutex<Instant>,
    starts_ns: Mutex<Vec<u64>>,
}

/// A file to which every event is written, and which is flushed behind each.
#[derive(Debug)]
struct Store(Mutex<File>);

impl Store {
    fn write(&self, line: &str) {
        let mut file = self.0.lock().expect("no panic holds this");
        writeln!(file, "{line}").expect("the disk has room");
        file.sync_data().expect("the disk flushes");
    }
}

#[async_trait::async_trait]
impl SecStore for Store {
    async fn saga_create(&self, params: SagaCreateParams) -> Result<(), anyhow::Error> {
        self.write(&serde_json::to_string(&params)?);
        Ok(())
    }

    async fn record_event(&self, event: SagaNodeEvent) {
        self.write(&serde_json::to_string(&event).expect("an event is JSON"));
    }

    async fn saga_update(&self, id: SagaId, update: SagaCachedState) {
        self.write(&format!("{id} {update:?}"));
    }
}

async fn nothing(context: ActionContext<Nothing>) -> Result<(), ActionError> {
    let seen = context.user_data();
    let at = seen.begun.lock().expect("no panic holds this").elapsed().as_nanos();
    seen.starts_ns.lock().expect("no panic holds this").push(at as u64);
    Ok(())
}

/// What steno asks for behind parallel steps: one that ends them.
async fn end(_: ActionContext<Nothing>) -> Result<(), ActionError> {
    Ok(())
}

fn dag(shape: &str, steps: usize, (step, last): (&dyn Action<Nothing>, &dyn Action<Nothing>)) -> Arc<SagaDag> {
    let mut builder = DagBuilder::new(SagaName::new("bench"));
    let node = |number: usize| Node::action(format!("s{number}"), format!("s{number}"), step);
    if shape == "fan-out" {
        builder.append_parallel((0..steps).map(node).collect());
    } else {
        (0..steps).for_each(|number| builder.append(node(number)));
    }
    builder.append(Node::action("end", "end", last));
    Arc::new(SagaDag::new(builder.build().expect("the graph is right"), serde_json::Value::Null))
}

async fn run(sec: &SecClient, seen: &Arc<Seen>, dag: Arc<SagaDag>, registry: Arc<ActionRegistry<Nothing>>) {
    let id = SagaId::new_v4();
    let ended = sec.saga_create(id, Arc::new(Arc::clone(seen)), dag, registry).await.expect("a saga is made");
    sec.saga_start(id).await.expect("a saga starts");
    ended.await.kind.expect("nothing fails");
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (shape, folder) = (words[1].as_str(), words[4].as_str());
    let (steps, runs): (usize, usize) = (words[2].parse().expect("steps"), words[3].parse().expect("runs"));
    let file = File::create(format!("{folder}/log")).expect("the folder is there");
    let sec = steno::sec(slog::Logger::root(slog::Discard, slog::o!()), Arc::new(Store(Mutex::new(file))));
    let seen = Arc::new(Seen { begun: Mutex::new(Instant::now()), starts_ns: Mutex::default() });
    let (step, last) = (new_action_noop_undo("nothing", nothing), new_action_noop_undo("end", end));
    let mut registry = ActionRegistry::new();
    registry.register(Arc::clone(&step));
    registry.register(Arc::clone(&last));
    let registry = Arc::new(registry);
    run(&sec, &seen, dag("chain", 3, (&*step, &*last)), Arc::clone(&registry)).await;
    seen.starts_ns.lock().expect("no panic holds this").clear();
    let dag = dag(shape, steps, (&*step, &*last));
    let begun = Instant::now();
    *seen.begun.lock().expect("no panic holds this") = begun;
    let all = (0..runs).map(|_| run(&sec, &seen, Arc::clone(&dag), Arc::clone(&registry)));
    futures::future::join_all(all).await;
    let ended = begun.elapsed().as_nanos() as u64;
    println!("{}", serde_json::json!({ "starts_ns": &*seen.starts_ns.lock().expect("no panic holds this"), "ended_ns": ended }));
    std::io::stdin().read_line(&mut String::new()).expect("stdin is a pipe");
    std::process::exit(0);
}
