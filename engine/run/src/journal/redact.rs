//! Taking out of a run's records what names machines, people and times, so that they can be shown to others.
//!
//! | what | becomes |
//! |---|---|
//! | the time of the first record | 2000-01-01; every other time keeps its distance to it, also one that is written as text |
//! | the hosts and processes of controllers | `host-1`, `host-2` ..., process 0 |
//! | `NAME:NUMBER` in a text: a host with a port or a process | `host-N:0` |
//! | `pid N`, `process N` in a text | `pid 0`, `process 0` |
//! | absolute paths | `/redacted/1`, `/redacted/2` ...; with them home directories and the names of people |
//! | people: who started the run, who approved, rejected or signalled | `person-1`, `person-2` ...; what they signed goes |
//! | the run's id, which holds its date unless somebody chose it | another id, if one is given |
//!
//! The same thing becomes the same thing everywhere in a run. What the workflow and its inputs say stays: names of sites
//! and VMs, addresses, relative paths. The records are chained anew, and the saga must still decide from them what it
//! decided.

use jiff::Timestamp;
use longhaul_model::ids::RunId;
use longhaul_saga::{Header, Saga};
use serde_json::{Map, Value};

use super::lines::rechain;
use super::{Bundle, Error};

/// 2000-01-01T00:00:00Z in Unix milliseconds: visibly not a real one.
const ORIGIN_UNIX_MS: u64 = 946_684_800_000;

/// How the names of fields end that hold an instant, or a list of instants.
const INSTANT: &str = "_unix_ms";

/// Words after which a number is a process.
const PROCESS: [&str; 2] = ["pid ", "process "];

/// What stands before two slashes that are no path's.
const WEB: [&str; 2] = ["http:", "https:"];

/// The records of a run without what names machines, people and times, under the id `run`.
///
/// # Errors
/// When a record cannot be read, or when a decision of the run depends on what would be taken out.
pub fn redact(bundle: &Bundle, run: &RunId) -> Result<Bundle, Error> {
    let records = bundle.whole()?;
    let Some(first) = records.first() else { return Ok(Bundle::default()) };
    let mut redaction = Redaction {
        began_unix_ms: first.header.at_unix_ms,
        run: first.header.run.clone(),
        alias: run.clone(),
        hosts: Vec::new(),
        paths: Vec::new(),
        people: Vec::new(),
    };
    let headers = records.iter().map(|record| redaction.header(&record.header)).collect();
    let redacted = rechain(headers);
    if Saga::fold(&bundle.read()?).is_ok() {
        Saga::fold(&redacted.read()?).map_err(Error::Redaction)?;
    }
    Ok(redacted)
}

struct Redaction {
    began_unix_ms: u64,
    run: RunId,
    alias: RunId,
    /// In the order in which they were met.
    hosts: Vec<String>,
    paths: Vec<String>,
    people: Vec<String>,
}

impl Redaction {
    fn header(&mut self, header: &Header) -> Header {
        let mut header = header.clone();
        header.run = self.alias.clone();
        header.at_unix_ms = self.instant(header.at_unix_ms);
        self.value(&mut header.payload);
        header
    }

    /// Instants before the run's start, such as a peer's, keep their distance as well.
    fn instant(&self, unix_ms: u64) -> u64 {
        ORIGIN_UNIX_MS.saturating_add_signed(unix_ms.wrapping_sub(self.began_unix_ms).cast_signed())
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => self.object(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>) {
        let is_controller = ["host", "pid", "generation"].iter().all(|name| fields.contains_key(*name));
        let is_person = fields.contains_key("name") && fields.contains_key("roles");
        fields.shift_remove("signed");
        for (name, value) in fields.iter_mut() {
            match (name.as_str(), &mut *value) {
                ("name", Value::String(name)) if is_person => *name = self.person(name),
                ("by" | "not_by", Value::String(name)) => *name = self.person(name),
                ("started_by", Value::Object(starter)) => self.starter(starter),
                ("approved_by", Value::Array(names)) => {
                    for name in names.iter_mut() {
                        *name = name.as_str().map_or(Value::Null, |name| Value::from(self.person(name)));
                    }
                }
                ("host", Value::String(host)) if is_controller => *host = self.host(host),
                ("pid", pid) if is_controller => *pid = Value::from(0),
                (name, value) if name.ends_with(INSTANT) => self.instants(value),
                (_, value) => self.value(value),
            }
        }
    }

    fn instants(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.instants(item)),
            value => match value.as_u64() {
                Some(unix_ms) => *value = Value::from(self.instant(unix_ms)),
                None => self.value(value),
            },
        }
    }

    /// A time that was written as text, moved as the run is.
    fn moved(&self, at: Timestamp) -> String {
        let unix_ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let moved = i64::try_from(self.instant(unix_ms)).ok();
        let moved = moved.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        moved.map_or_else(|| at.to_string(), |moved| moved.to_string())
    }

    fn starter(&mut self, starter: &mut Map<String, Value>) {
        starter.shift_remove("signed");
        if let Some(Value::String(name)) = starter.get_mut("name") {
            *name = self.person(name);
        }
    }

    fn person(&mut self, name: &str) -> String {
        format!("person-{}", number_of(&mut self.people, name))
    }

    fn host(&mut self, host: &str) -> String {
        format!("host-{}", number_of(&mut self.hosts, host))
    }

    fn path(&mut self, path: &str) -> String {
        format!("/redacted/{}", number_of(&mut self.paths, path))
    }

    /// A text that begins with a path is one: a path may hold spaces.
    fn text(&mut self, text: &str) -> String {
        if text.starts_with('/') && text.len() > 1 {
            return self.path(text);
        }
        if let Some(said) = self.rejection(text) {
            return said;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (taken, put) = self.piece(&out, next, rest);
            out.push_str(&put);
            rest = &rest[taken..];
        }
        out
    }

    /// Why a step failed that somebody rejected: it begins with who.
    fn rejection(&mut self, text: &str) -> Option<String> {
        let rest = text.strip_prefix("rejected by ")?;
        let (name, why) = rest.split_once(": ").map_or((rest, None), |(name, why)| (name, Some(why)));
        let person = format!("rejected by {}", self.person(name));
        Some(why.map_or(person.clone(), |why| format!("{person}: {}", self.text(why))))
    }

    /// The length of the first piece of `rest`, which begins with `next` and follows `before`, and what becomes of it.
    fn piece(&mut self, before: &str, next: char, rest: &str) -> (usize, String) {
        let of_the_web = rest.starts_with("//") && WEB.iter().any(|scheme| before.ends_with(scheme));
        if next == '/' && !of_the_web && before.chars().next_back().is_none_or(ends_before_path) {
            let length = rest.find(ends_path).unwrap_or(rest.len());
            let put = if length > 1 { self.path(&rest[..length]) } else { rest[..length].to_owned() };
            return (length, put);
        }
        if !is_of_word(next) {
            return (next.len_utf8(), next.to_string());
        }
        if let Some((length, at)) = timestamp(rest) {
            return (length, self.moved(at));
        }
        if let Some(after) = rest.strip_prefix(self.run.as_str())
            && !after.starts_with(is_of_id)
        {
            return (self.run.as_str().len(), self.alias.to_string());
        }
        if let Some(word) = PROCESS.iter().find(|word| digits(rest.strip_prefix(**word)) > 0) {
            return (word.len() + digits(Some(&rest[word.len()..])), format!("{word}0"));
        }
        let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let port = digits(after.strip_prefix(':'));
        if port > 0 && word.contains(|c: char| c.is_ascii_alphabetic()) {
            return (length + 1 + port, format!("{}:0", self.host(word)));
        }
        (length, word.to_owned())
    }
}

/// The time that a text begins with, such as `2026-08-30T18:00:00Z`, and how long it is.
fn timestamp(text: &str) -> Option<(usize, Timestamp)> {
    let is_of_time = |c: char| c.is_ascii_digit() || "-:.+TZ".contains(c);
    let end = text.find(|c| !is_of_time(c)).unwrap_or(text.len());
    let written = text[..end].trim_end_matches(['-', ':', '.', '+']);
    let is_one = written.get(4..5) == Some("-") && written.contains('T');
    let at = is_one.then(|| written.parse().ok()).flatten()?;
    Some((written.len(), at))
}

/// The place of a thing in the order of first meetings, counted from 1.
fn number_of(met: &mut Vec<String>, thing: &str) -> usize {
    let place = met.iter().position(|known| known == thing).unwrap_or_else(|| {
        met.push(thing.to_owned());
        met.len() - 1
    });
    place + 1
}

/// How many digits a text begins with; none if they are part of a longer word.
fn digits(text: Option<&str>) -> usize {
    let Some(text) = text else { return 0 };
    let length = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if text[length..].starts_with(is_of_word) { 0 } else { length }
}

fn is_of_word(c: char) -> bool {
    is_of_id(c) || c == '.'
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn ends_before_path(c: char) -> bool {
    c.is_whitespace() || "\"'`([{<=,:;".contains(c)
}

fn ends_path(c: char) -> bool {
    c.is_whitespace() || "\"'`)]}>,:;".contains(c)
}

#[cfg(test)]
mod tests {
    use longhaul_saga::{FIRST_PREVIOUS, RECORD_VERSION, SAGA_VERSION};
    use serde_json::json;

    use super::*;

    fn bundle(at_unix_ms: u64, payload: Value) -> Bundle {
        let header = Header {
            run: "run-20261122-181320-ab12".parse().unwrap(),
            seq: 1,
            version: RECORD_VERSION,
            saga: SAGA_VERSION,
            at_unix_ms,
            kind: "observation".into(),
            payload,
            previous: FIRST_PREVIOUS.into(),
        };
        rechain(vec![header])
    }

    fn redacted(payload: Value) -> Value {
        let seen = |payload| json!({ "source": "test", "payload": payload });
        let records = bundle(1_795_000_000_000, seen(payload));
        let out = redact(&records, &"example".parse().unwrap()).unwrap().records;
        assert_eq!(out[0].header.run.as_str(), "example");
        assert_eq!(out[0].header.at_unix_ms, ORIGIN_UNIX_MS);
        out[0].header.payload["payload"].clone()
    }

    fn text(text: &str) -> String {
        redacted(json!(text)).as_str().unwrap().to_owned()
    }

    /// Instants move together, wherever they stand; other numbers stay.
    #[test]
    fn instants_keep_their_distances() {
        let seen = json!({
            "at_unix_ms": 1_795_000_000_250_u64,
            "second_runner_at_unix_ms": [1_795_000_000_007_u64, 1_794_999_999_999_u64],
            "disk_bytes": 1_795_000_000_250_u64,
            "began_at_unix_ms": null,
        });
        let expected = json!({
            "at_unix_ms": ORIGIN_UNIX_MS + 250,
            "second_runner_at_unix_ms": [ORIGIN_UNIX_MS + 7, ORIGIN_UNIX_MS - 1],
            "disk_bytes": 1_795_000_000_250_u64,
            "began_at_unix_ms": null,
        });
        assert_eq!(redacted(seen), expected);
    }

    /// A controller loses its host and process, not its generation; another one on the same host gets the same name.
    #[test]
    fn controllers_lose_their_names() {
        let seen = json!([
            { "host": "eagle", "pid": 4711, "generation": 3 },
            { "host": "owl", "pid": 12, "generation": 4 },
            "run example-2 of eagle:4711 moves it",
        ]);
        let expected = json!([
            { "host": "host-1", "pid": 0, "generation": 3 },
            { "host": "host-2", "pid": 0, "generation": 4 },
            "run example-2 of host-1:0 moves it",
        ]);
        assert_eq!(redacted(seen), expected);
    }

    /// Paths go as a whole, in texts, in texts of JSON and alone; step paths, masks and addresses of the web stay.
    #[test]
    fn paths_are_taken_out() {
        assert_eq!(text("/home/jane doe/x.html"), "/redacted/1");
        assert_eq!(
            text("open '/srv/a b': no such file, see /srv/a."),
            "open '/redacted/1 b': no such file, see /redacted/2"
        );
        assert_eq!(
            text("unix:/run/x.sock twice unix:/run/x.sock"),
            "unix:/redacted/1 twice unix:/redacted/1"
        );
        assert_eq!(text(r#"{"to":"/srv/a","k":"move/vm-a"}"#), r#"{"to":"/redacted/1","k":"move/vm-a"}"#);
        for same in ["move/vm-a/prefetch", "10.1.2.3/32", "https://example.org/x", "1 / 2", "/"] {
            assert_eq!(text(same), same);
            assert_eq!(
                text("read file:///home/jane/x, see //srv/y"),
                "read file:/redacted/1, see /redacted/2"
            );
            assert_eq!(text("at http://example.org/docs"), "at http://example.org/docs");
        }
    }

    /// Hosts with a port and numbers of processes go; times of day, sizes and fields of JSON stay.
    #[test]
    fn hosts_and_processes_are_taken_out() {
        assert_eq!(text("process 4711 runs it (pid 4711)"), "process 0 runs it (pid 0)");
        assert_eq!(text("dial east.example:7443, then west:22"), "dial host-1:0, then host-2:0");
        for same in ["12:30:05", "a process 2x as fast", "rapid 3", "site b: 4 of 5", r#"{"attempt":1}"#] {
            assert_eq!(text(same), same);
        }
    }

    /// A time that is written as text moves as the run does, whole or within a sentence; a date alone stays.
    #[test]
    fn written_times_are_moved() {
        // The run began on 2026-11-18T11:06:40Z.
        assert_eq!(text("2026-11-18T11:06:40Z"), "2000-01-01T00:00:00Z");
        assert_eq!(text("2026-11-18T13:06:40.25+02:00"), "2000-01-01T00:00:00.25Z");
        assert_eq!(text("not before 2026-11-19T11:06:40Z."), "not before 2000-01-02T00:00:00Z.");
        for same in ["2026-11-18", "12:30:05", "2026-11-18T13 o'clock"] {
            assert_eq!(text(same), same);
        }
    }

    /// The run's id is replaced where it stands for itself, not inside another id.
    #[test]
    fn the_run_gets_its_new_id() {
        assert_eq!(
            text("`longhaul resume run-20261122-181320-ab12`: reports/run-20261122-181320-ab12.html"),
            "`longhaul resume example`: reports/example.html"
        );
        assert_eq!(text("run-20261122-181320-ab12-x"), "run-20261122-181320-ab12-x");
    }
}
