//! Defaults: in a workflow, or in a file that several workflows include (`kind: Defaults`).

use crate::diagnostic::Diagnostics;
use crate::document::{Document, Node};
use crate::read::Reader;
use crate::workflow::Defaults;

/// The keys of a file with shared defaults.
pub(crate) const KEYS: [&str; 4] = ["apiVersion", "kind", "summary", "defaults"];

/// The keys of defaults.
pub(crate) const DEFAULTS_KEYS: [&str; 3] = ["timeout", "heartbeat", "retry"];

/// Reads a file with shared defaults and everything that is wrong with its form.
#[must_use]
pub fn read_shared(document: &Document) -> (Defaults, Diagnostics) {
    let mut reader = Reader::new(&document.source);
    let root = &document.root;
    reader.head(document, "Defaults");
    reader.fields(root, "shared defaults", &KEYS, &["policy", "resources"]);
    let _: Option<String> = reader.optional(root, "summary");
    let defaults = read_defaults(root, &mut reader);
    (defaults, reader.found)
}

pub(super) fn read_defaults(root: &Node, reader: &mut Reader<'_>) -> Defaults {
    let Some(node) = root.get("defaults") else { return Defaults::default() };
    reader.fields(node, "the defaults", &DEFAULTS_KEYS, &[]);
    Defaults {
        timeout: reader.optional(node, "timeout"),
        heartbeat: reader.optional(node, "heartbeat"),
        retry: reader.optional(node, "retry"),
    }
}

impl Defaults {
    /// These, and for what they do not say `others`. A `retry` is taken whole, as a step's own is.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            timeout: self.timeout.or(others.timeout),
            heartbeat: self.heartbeat.or(others.heartbeat),
            retry: self.retry.or(others.retry),
        }
    }
}
