//! `triggers`: what begins a run, as the file says it.

use crate::diagnostic::{Code, Diagnostic};
use crate::document::{Content, Node};
use crate::json_schema;
use crate::read::{Read, Reader};
use crate::source::{Span, Spanned};

/// What begins a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerSpec {
    /// Which kind, and what it says.
    pub body: TriggerBody,
    /// Where the kind is named.
    pub span: Span,
}

/// The kinds of triggers.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerBody {
    /// A person.
    Manual,
    /// The time.
    Schedule {
        /// Minute, hour, day of the month, month, day of the week.
        cron: Option<Spanned<String>>,
        /// Where the clock hangs that it is read from; UTC if nobody says.
        time_zone: Option<Spanned<String>>,
        /// What the run is given.
        inputs: Option<Node>,
    },
    /// A message from outside.
    Webhook {
        /// Where it is sent to.
        path: Option<Spanned<String>>,
        /// JSON Schema of what it says.
        schema: Option<Node>,
        /// What the run is given; its expressions read `payload`.
        inputs: Option<Node>,
    },
}

pub(crate) const KINDS: [&str; 3] = ["manual", "schedule", "webhook"];
pub(crate) const SCHEDULE_KEYS: [&str; 3] = ["cron", "time_zone", "inputs"];
pub(crate) const WEBHOOK_KEYS: [&str; 3] = ["path", "schema", "inputs"];

impl Read for TriggerSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.fields(node, "a trigger", &KINDS)?;
        let kinds: Vec<_> = entries.iter().filter(|it| KINDS.contains(&it.key.value.as_str())).collect();
        let [entry] = kinds.as_slice() else {
            if entries.len() == kinds.len() {
                let one = Diagnostic::new(
                    Code::Malformed,
                    reader.source,
                    node.span,
                    "a trigger is one of its kinds",
                );
                reader.found.push(
                    one.help(format!("there are: {}; each trigger is an item of the list", KINDS.join(", "))),
                );
            }
            return None;
        };
        let value = &entry.value;
        let body = match entry.key.value.as_str() {
            "schedule" => {
                reader.fields(value, "a schedule", &SCHEDULE_KEYS)?;
                TriggerBody::Schedule {
                    cron: reader.required(value, "cron"),
                    time_zone: reader.optional(value, "time_zone"),
                    inputs: value.get("inputs").cloned(),
                }
            }
            "webhook" => {
                reader.fields(value, "a webhook", &WEBHOOK_KEYS)?;
                TriggerBody::Webhook {
                    path: reader.required(value, "path"),
                    schema: webhook_schema(value, reader),
                    inputs: value.get("inputs").cloned(),
                }
            }
            _ => {
                reader.fields(value, "a manual trigger", &[])?;
                TriggerBody::Manual
            }
        };
        Some(Self { body, span: entry.key.span })
    }
}

fn webhook_schema(node: &Node, reader: &mut Reader<'_>) -> Option<Node> {
    let schema: Node = reader.required(node, "schema")?;
    if !matches!(schema.content, Content::Map(_)) {
        reader.wrong_type(&schema, "a JSON Schema, a map");
        return None;
    }
    json_schema::check(&schema, reader);
    Some(schema)
}
