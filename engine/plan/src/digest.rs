//! What a run is pinned to.

use std::fmt::Write;

use longhaul_model::document::Document;
use longhaul_model::workflow::Part;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::family::Checked;
use crate::plan::WorkflowPin;

/// The pin of a workflow. Its digest is of what the file says: aliases expanded, comments and layout gone, order kept because
/// it is meant; and of what every file says that it names, and of every byte of its plugins. So the digest of a workflow that runs as a step is the one that
/// a run of its own would have.
pub(crate) fn pin(part: &Part, checked: &[Checked]) -> WorkflowPin {
    let workflow = &part.workflow;
    WorkflowPin {
        name: workflow.name.clone(),
        version: workflow.version.clone(),
        sha256: digest(part, checked),
        file: workflow.document.source.name().to_owned(),
    }
}

fn digest(part: &Part, checked: &[Checked]) -> String {
    let mut text = resolved(&part.workflow.document);
    for (named, document) in &part.included {
        line(&mut text, "include", named, &sha256(&resolved(document)));
    }
    for (named, at) in &part.children {
        let child = checked.get(*at).map_or("", |child| child.pin.sha256.as_str());
        line(&mut text, "uses", named, child);
    }
    for (policy, script) in part.workflow.policies.iter().zip(&part.scripts) {
        let script = script.as_ref().map_or_else(String::new, |script| sha256(script.text()));
        line(&mut text, "policy", &policy.file.value, &script);
    }
    for plugin in &part.plugins {
        line(&mut text, "plugin", &format!("{}@{}", plugin.name, plugin.version), &plugin.sha256);
    }
    sha256(&text)
}

fn resolved(document: &Document) -> String {
    let json: Value = document.root.to_json();
    json.to_string()
}

/// JSON has no line breaks of its own, so the lines behind it cannot be taken for a part of it.
fn line(text: &mut String, how: &str, named: &str, digest: &str) {
    write!(text, "\n{how} {named} {digest}").expect("writing into a string cannot fail");
}

/// SHA-256 of a text, in hex.
pub(crate) fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing into a string cannot fail");
        text
    })
}
