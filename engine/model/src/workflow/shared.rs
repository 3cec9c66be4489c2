//! Defaults, plugins and policies: in a workflow, or in a file that several workflows include (`kind: Defaults`).

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::document::{Document, Node};
use crate::read::Reader;
use crate::source::Spanned;
use crate::units::Time;
use crate::workflow::{Defaults, PluginSpec, PolicySpec, plugin, policy};

/// The shortest heartbeat. An action under way is asked for news every half of it, so one that answers each time is never
/// taken for silent.
pub const HEARTBEAT_MIN: Time = Time::from_millis(1_000);

/// The keys of a file with shared defaults.
pub(crate) const KEYS: [&str; 6] = ["apiVersion", "kind", "summary", "plugins", "defaults", "policy"];

/// The keys of defaults.
pub(crate) const DEFAULTS_KEYS: [&str; 3] = ["timeout", "heartbeat", "retry"];

/// What a file has for those that include it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shared {
    /// What holds for steps that say nothing themselves.
    pub defaults: Defaults,
    /// Plugins, in file order.
    pub plugins: Vec<PluginSpec>,
    /// Policies, in file order.
    pub policies: Vec<PolicySpec>,
}

/// Reads a file with shared defaults and everything that is wrong with its form.
#[must_use]
pub fn read_shared(document: &Document) -> (Shared, Diagnostics) {
    let mut reader = Reader::new(&document.source);
    let root = &document.root;
    reader.head(document, "Defaults");
    reader.fields(root, "shared defaults", &KEYS);
    let _: Option<String> = reader.optional(root, "summary");
    let defaults = read_defaults(root, &mut reader);
    let plugins = plugin::read_all(root, &mut reader);
    let policies = policy::read_all(root, &mut reader);
    (Shared { defaults, plugins, policies }, reader.found)
}

pub(super) fn read_defaults(root: &Node, reader: &mut Reader<'_>) -> Defaults {
    let Some(node) = root.get("defaults") else { return Defaults::default() };
    reader.fields(node, "the defaults", &DEFAULTS_KEYS);
    Defaults {
        timeout: read_timeout(node, reader),
        heartbeat: read_heartbeat(node, reader),
        retry: reader.optional(node, "retry"),
    }
}

/// The `timeout` of a map.
pub(super) fn read_timeout(node: &Node, reader: &mut Reader<'_>) -> Option<Time> {
    let read: Spanned<Time> = reader.optional(node, "timeout")?;
    if read.value == Time::from_millis(0) {
        let one = Diagnostic::new(Code::Malformed, reader.source, read.span, "a timeout of no time at all");
        reader.found.push(
            one.help(
                "every attempt would be over before it began: write how long one may take, such as `10m`",
            ),
        );
    }
    Some(read.value)
}

/// The `heartbeat` of a map.
pub(super) fn read_heartbeat(node: &Node, reader: &mut Reader<'_>) -> Option<Time> {
    let read: Spanned<Time> = reader.optional(node, "heartbeat")?;
    if read.value < HEARTBEAT_MIN {
        let message = format!("a heartbeat of {} is too short: {HEARTBEAT_MIN} is the least", read.value);
        let one = Diagnostic::new(Code::Malformed, reader.source, read.span, message);
        let every = HEARTBEAT_MIN.as_millis() / 2;
        reader.found.push(one.help(format!(
            "an action is asked for news every {every}ms, so it would be taken for silent while it works"
        )));
    }
    Some(read.value)
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
