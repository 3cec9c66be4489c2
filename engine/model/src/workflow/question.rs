//! `approve` and `wait: {signal}`: steps that ask somebody outside and wait for the answer.

use super::retry::bounded;
use crate::diagnostic::{Code, Diagnostic};
use crate::document::Node;
use crate::ids::StepId;
use crate::json_schema;
use crate::read::{Read, Reader};
use crate::source::Spanned;
use crate::units::Time;

/// The most people that one approval can ask for.
pub const QUORUM_MAX: u32 = 100;

/// Keys of an approval.
pub(crate) const APPROVE_KEYS: [&str; 6] =
    ["roles", "quorum", "forbid_self", "message", "expires", "on_expire"];

/// What somebody is asked, and what happens when nobody answers.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionSpec {
    /// Who has to answer what.
    pub asks: AsksSpec,
    /// How long the answer may take.
    pub expires: Option<Time>,
    /// What happens when it took longer.
    pub on_expire: Option<Spanned<OnExpire>>,
}

/// Who has to answer what.
#[derive(Debug, Clone, PartialEq)]
pub enum AsksSpec {
    /// People: yes or no.
    Approval {
        /// Each of them has one of these roles.
        roles: Vec<Spanned<String>>,
        /// How many have to say yes.
        quorum: Option<u32>,
        /// Whether the person who started the run does not count.
        forbid_self: bool,
        /// What they are told.
        message: Option<Node>,
    },
    /// Whoever may: that something has happened.
    Signal {
        /// The signal's name; nothing if it could not be read.
        name: Option<Spanned<StepId>>,
        /// JSON Schema of what comes with it.
        payload: Option<Node>,
    },
}

/// What becomes of a step whose question nobody answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpire {
    /// It fails.
    Fail,
    /// It is passed over, and so is what needs it.
    Skip,
    /// The run goes on as if the signal had come. Not for approvals.
    Continue,
}

impl QuestionSpec {
    pub(super) fn approval(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "an approval", &APPROVE_KEYS)?;
        let roles: Vec<Spanned<String>> = reader.required(node, "roles").unwrap_or_default();
        if let Some(node) = node.get("roles").filter(|node| node.to_json() == serde_json::json!([])) {
            let one = Diagnostic::new(Code::Malformed, reader.source, node.span, "nobody may approve this");
            reader.found.push(one.help("name at least one role, such as `[migration-operator]`"));
        }
        roles.iter().for_each(|role| check_role(role, reader));
        let asks = AsksSpec::Approval {
            roles,
            quorum: bounded(node, "quorum", QUORUM_MAX, reader),
            forbid_self: reader.optional(node, "forbid_self").unwrap_or(false),
            message: read_message(node, reader),
        };
        let question = Self::with_end(asks, node, reader);
        if let Some(on_expire) = question.on_expire.as_ref().filter(|it| it.value == OnExpire::Continue) {
            let message = "an approval that nobody gave is not given";
            let one = Diagnostic::new(Code::Malformed, reader.source, on_expire.span, message);
            reader.found.push(one.help("write `on_expire: fail`, or `skip` to pass over what needs it"));
        }
        Some(question)
    }

    /// Of a wait that has a `signal`.
    pub(super) fn signal(node: &Node, reader: &mut Reader<'_>) -> Self {
        node.get("payload").into_iter().for_each(|schema| json_schema::check(schema, reader));
        let asks =
            AsksSpec::Signal { name: reader.optional(node, "signal"), payload: node.get("payload").cloned() };
        Self::with_end(asks, node, reader)
    }

    fn with_end(asks: AsksSpec, node: &Node, reader: &mut Reader<'_>) -> Self {
        let expires: Option<Spanned<Time>> = reader.optional(node, "expires");
        if let Some(at) = expires.as_ref().filter(|it| it.value == Time::from_millis(0)) {
            let message = "an answer that may take no time at all";
            let one = Diagnostic::new(Code::Malformed, reader.source, at.span, message);
            reader.found.push(
                one.help("nobody could give it: write how long it may take, such as `2h`, or leave it out"),
            );
        }
        let on_expire: Option<Spanned<OnExpire>> = reader.optional(node, "on_expire");
        if let (None, Some(at)) = (node.get("expires"), &on_expire) {
            let message = "`on_expire` without `expires`: it is waited for as long as it takes";
            let one = Diagnostic::new(Code::StepBody, reader.source, at.span, message);
            reader.found.push(one.help("add `expires`, such as `expires: 2h`"));
        }
        Self { asks, expires: expires.map(|it| it.value), on_expire }
    }
}

fn read_message(node: &Node, reader: &mut Reader<'_>) -> Option<Node> {
    let message = node.get("message")?;
    let _: Option<String> = reader.optional(node, "message");
    message.as_text().map(|_| message.clone())
}

/// Whether text can be a role. It stands in a certificate: the same letters as there.
#[must_use]
pub fn is_role(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(letter)
}

fn check_role(role: &Spanned<String>, reader: &mut Reader<'_>) {
    if !is_role(&role.value) {
        let message = format!("`{}` is no role: a-z, 0-9 and `-`, at most 63", role.value);
        reader.report(Code::Malformed, role.span, message);
    }
}

impl Read for OnExpire {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.as_text() {
            Some("fail") => Some(Self::Fail),
            Some("skip") => Some(Self::Skip),
            Some("continue") => Some(Self::Continue),
            Some(_) | None => {
                reader.report(Code::Malformed, node.span, "`on_expire` is `fail`, `skip` or `continue`");
                None
            }
        }
    }
}
