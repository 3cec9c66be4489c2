//! The engine in a program of one's own: two actions, a workflow, a run. `cargo run -p longhaul-run --example embedding`

use std::error::Error;
use std::sync::Arc;

use longhaul_model::{document::Document, source::Source};
use longhaul_run::{Control, Driver, Ended, Journal, Reporters, Terminal};
use longhaul_step::{ErrorClass, Probe, Registry, Simple};
use serde_json::{Map, json};

const WORKFLOW: &str = r#"
apiVersion: longhaul/v1
kind: Workflow
name: greeting
version: 1.0.0
steps:
  name: { uses: demo.name@1, with: {} }
  write: { uses: demo.write@1, with: { text: "hello ${{ steps.name.outputs.name }}" } }
"#;

fn failed(error: &std::io::Error) -> longhaul_step::Error {
    longhaul_step::Error::new(ErrorClass::Transient, error.to_string())
}

/// Runs the workflow with its journal, and the file that it writes, in a folder of its own.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("greeting");
    let (written, removed, sought) = (file.clone(), file.clone(), file.clone());
    let name =
        Simple::new("demo.name@1".parse()?, "finds a name", |_, _| async { Ok(json!({ "name": "world" })) })
            .with_schemas(
                json!({ "type": "object" }),
                json!({ "type": "object", "properties": { "name": { "type": "string" } } }),
            );
    let write = Simple::new("demo.write@1".parse()?, "writes a file", move |_, params| {
        let done = std::fs::write(&written, params["text"].as_str().unwrap_or_default());
        async move { done.map(|()| json!({})).map_err(|error| failed(&error)) }
    })
    .undone_by(move |_, _| {
        std::fs::remove_file(&removed).ok();
        async { Ok(()) }
    })
    .probed_by(move |_, _| {
        let found = sought.exists();
        async move { if found { Probe::Done(json!({})) } else { Probe::Absent } }
    });
    let mut registry = Registry::new();
    registry.register(Arc::new(name))?;
    registry.register(Arc::new(write))?;
    let document = Document::parse(&Source::new("greeting.yaml", WORKFLOW))?;
    let plan = longhaul_plan::check(&document, &Map::new(), &registry.catalogue())?;
    let driver = Driver::new(Journal::open(folder.path(), 0)?, registry);
    let mut shown = Reporters::new().with(Terminal::plain(std::io::stdout()));
    let ended = driver.run("greeting-1".parse()?, plan, None, &mut shown, &Control::new()).await?;
    assert_eq!(ended, Ended::At(longhaul_saga::Status::Succeeded));
    assert_eq!(std::fs::read_to_string(file)?, "hello world");
    Ok(())
}
