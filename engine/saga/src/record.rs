//! A record: one entry of a journal, with its version and the hash of the record before it.
//!
//! The hash is over the stored text, never over a value that was parsed and written again.

use longhaul_model::ids::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Event, Intent};

/// The form of the records that this binary writes.
pub const RECORD_VERSION: u32 = 1;
/// The saga whose decisions this binary records.
pub const SAGA_VERSION: u32 = 1;
/// The sagas this binary can fold.
pub const SAGA_VERSIONS_FOLDED: &[u32] = &[1];
/// What stands in a run's first record instead of the hash of a record before it.
pub const FIRST_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a record says: something that happened, or something that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It happened.
    Event(Event),
    /// It was decided.
    Intent(Intent),
}

impl Entry {
    /// The `kind` and the `payload` of its record.
    #[must_use]
    pub fn split(&self) -> (String, Value) {
        let value = match self {
            Self::Event(event) => serde_json::to_value(event),
            Self::Intent(intent) => serde_json::to_value(intent),
        };
        let mut value = value.expect("events and intents hold only what JSON has");
        let kind = value["kind"].as_str().expect("a tagged enum writes its tag").to_owned();
        (kind, value["payload"].take())
    }

    /// Reads a payload as it is stored.
    fn join(kind: &str, payload: &str) -> serde_json::Result<Self> {
        let tagged = format!(r#"{{"kind":{},"payload":{payload}}}"#, Value::from(kind));
        if INTENTS.contains(&kind) {
            serde_json::from_str(&tagged).map(Self::Intent)
        } else {
            serde_json::from_str(&tagged).map(Self::Event)
        }
    }
}

/// The kinds that are decisions. No event has one of these names; a test holds the two lists apart.
const INTENTS: &[&str] = &[
    "start",
    "compensate",
    "queue",
    "share",
    "cancel",
    "expand",
    "enter",
    "refuse",
    "skip",
    "pause",
    "ask",
    "answered",
    "give_up",
    "end",
];

/// What a journal stores of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The run.
    pub run: RunId,
    /// Its place in the run, counted from 1.
    pub seq: u64,
    /// The form of the record.
    pub version: u32,
    /// The version of the saga that made it.
    pub saga: u32,
    /// When, in Unix milliseconds of the controller's clock.
    pub at_unix_ms: u64,
    /// What kind of event or intent.
    pub kind: String,
    /// Its content.
    pub payload: Value,
    /// SHA-256 of the record before it, in hex.
    pub previous: String,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It was written in a form that this binary does not know.
    #[error(
        "record {seq} of run `{run}` has record version {found}; this binary reads record version {RECORD_VERSION}"
    )]
    RecordVersion {
        /// The run.
        run: RunId,
        /// The record.
        seq: u64,
        /// Its version.
        found: u32,
    },
    /// It was made by a saga that this binary cannot fold.
    #[error(
        "record {seq} of run `{run}` was made by saga version {found}; this binary folds saga versions {SAGA_VERSIONS_FOLDED:?}"
    )]
    SagaVersion {
        /// The run.
        run: RunId,
        /// The record.
        seq: u64,
        /// The saga's version.
        found: u32,
    },
    /// Its content is not what its kind asks for.
    #[error("record {seq} of run `{run}` is not a well-formed `{kind}`")]
    Malformed {
        /// The run.
        run: RunId,
        /// The record.
        seq: u64,
        /// Its kind.
        kind: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl Header {
    /// SHA-256 over everything the record holds, in hex; the `previous` of the record after it. `payload` is the text
    /// as it is stored.
    #[must_use]
    pub fn digest(&self, payload: &str) -> String {
        let mut hash = Sha256::new();
        let Self { run, seq, version, saga, at_unix_ms, kind, previous, payload: _ } = self;
        hash.update(format!("{run}\n{seq}\n{version}\n{saga}\n{at_unix_ms}\n{kind}\n"));
        for part in [payload, "\n", previous] {
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}

/// SHA-256 of these bytes, in hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(DIGITS[usize::from(four)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A record as the saga, the report and the reporters read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The run.
    pub run: RunId,
    /// Its place in the run, counted from 1.
    pub seq: u64,
    /// When, in Unix milliseconds of the controller's clock.
    pub at_unix_ms: u64,
    /// What it says.
    pub entry: Entry,
}

impl Record {
    /// Reads what a journal stored.
    ///
    /// # Errors
    /// When its version or its saga's version is not known here, or its content does not fit its kind.
    pub fn read(header: Header) -> Result<Self, Unreadable> {
        let text = header.payload.to_string();
        Self::read_text(header, &text)
    }

    /// The same with the payload as it is stored, which stands for the one in the header.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_text(header: Header, payload: &str) -> Result<Self, Unreadable> {
        let Header { run, seq, version, saga, at_unix_ms, kind, payload: _, previous: _ } = header;
        if version != RECORD_VERSION {
            return Err(Unreadable::RecordVersion { run, seq, found: version });
        }
        if !SAGA_VERSIONS_FOLDED.contains(&saga) {
            return Err(Unreadable::SagaVersion { run, seq, found: saga });
        }
        match Entry::join(&kind, payload) {
            Ok(entry) => Ok(Self { run, seq, at_unix_ms, entry }),
            Err(source) => Err(Unreadable::Malformed { run, seq, kind, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Interrupted, TimerFired};

    /// Every entry comes back from its kind and payload, and an intent is never read as an event.
    #[test]
    fn entries_survive_their_form_in_a_journal() {
        let step = longhaul_model::ids::StepPath::root(&"a".parse().unwrap());
        let cancel = Intent::Cancel(crate::intent::Cancel {
            step: step.clone(),
            work: crate::Work::Forward,
            reason: "timeout".into(),
        });
        let entries = [
            Entry::Event(Event::Interrupted(Interrupted {})),
            Entry::Event(Event::TimerFired(TimerFired { step, timer: 7 })),
            Entry::Intent(cancel),
        ];
        for entry in entries {
            let (kind, payload) = entry.split();
            assert_eq!(Entry::join(&kind, &payload.to_string()).unwrap(), entry);
        }
    }

    /// A record of a newer form, or of a newer saga, is refused with both versions in the message.
    #[test]
    fn newer_versions_are_refused_by_name() {
        let header = |version, saga| Header {
            run: "run-a".parse().unwrap(),
            seq: 3,
            version,
            saga,
            at_unix_ms: 0,
            kind: "of the future".into(),
            payload: Value::Null,
            previous: FIRST_PREVIOUS.into(),
        };
        let record = Record::read(header(2, 1)).unwrap_err().to_string();
        assert_eq!(
            record,
            "record 3 of run `run-a` has record version 2; this binary reads record version 1"
        );
        let saga = Record::read(header(1, 9)).unwrap_err().to_string();
        assert_eq!(
            saga,
            "record 3 of run `run-a` was made by saga version 9; this binary folds saga versions [1]"
        );
    }
}
