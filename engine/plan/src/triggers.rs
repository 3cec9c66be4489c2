//! What begins a run besides a person: checked here, served by nobody yet.
//!
//! A trigger is held against what the run needs, so that a schedule that would fail every night is found by day: the
//! cron expression comes due some day, the time zone exists, and every input that has no default is given, of the right type.
//! Expressions of a webhook read `payload`, whose schema the file says.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use longhaul_expr::Template;
use longhaul_model::diagnostic::Code;
use longhaul_model::document::Node;
use longhaul_model::source::{Span, Spanned};
use longhaul_model::workflow::{TriggerBody, TriggerSpec};
use serde::Serialize;
use serde_json::{Value, json};

use crate::check::Checker;
use crate::inputs::Declared;
use crate::names::{Names, suggestion};
use crate::parameters::Takes;
use crate::{family, schema};

/// What a webhook's expressions read.
const PAYLOAD: &str = "payload";

/// Where webhooks are: the other paths of a server are its own.
const HOOKS: &str = "/hooks/";

/// Longest path.
const PATH_BYTES_MAX: usize = 200;

/// What begins a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// A person: `longhaul run`.
    Manual,
    /// The time.
    Schedule {
        /// Minute, hour, day of the month, month, day of the week.
        cron: String,
        /// Where the clock hangs that it is read from.
        time_zone: String,
        /// What the run is given.
        inputs: Template,
    },
    /// A message from outside.
    Webhook {
        /// Where it is sent to.
        path: String,
        /// JSON Schema of what it says.
        schema: Value,
        /// What the run is given.
        inputs: Template,
    },
}

impl Trigger {
    /// When a schedule comes due after a time, as RFC 3339 with its zone, so many times; nothing for other triggers. At a
    /// change of the clock what falls into the gap is due at its end, and what comes twice is due once.
    #[must_use]
    pub fn next_times(&self, after: Timestamp, count: usize) -> Vec<String> {
        let Self::Schedule { cron, time_zone, .. } = self else { return Vec::new() };
        let (Ok(cron), Ok(zone)) = (parse(cron), zone_of(time_zone)) else { return Vec::new() };
        let times = cron.iter_after(after.to_zoned(zone));
        times.take(count).map(|time: Zoned| time.to_string()).collect()
    }
}

fn parse(cron: &str) -> Result<Cron, croner::errors::CronError> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(cron)
}

fn zone_of(name: &str) -> Result<TimeZone, jiff::Error> {
    if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(name) }
}

/// Whatever comes due at all comes due within 40 years, in which every day of the year falls on every day of the week. The
/// search gives up in the year 5000, so it begins shortly before.
fn late_start() -> Zoned {
    jiff::civil::date(4960, 1, 1).to_zoned(TimeZone::UTC).unwrap_or_else(|_| Zoned::default())
}

impl<'a> Checker<'a> {
    /// Every trigger that is right.
    pub(crate) fn triggers(&mut self, declared: &[Declared<'a>]) -> Vec<Trigger> {
        let specs = &self.workflow.triggers;
        self.only_once(specs);
        let inputs = family::schema_of_declared(declared);
        specs.iter().filter_map(|spec| self.trigger(spec, &inputs)).collect()
    }

    fn trigger(&mut self, spec: &TriggerSpec, takes: &Value) -> Option<Trigger> {
        let names = Names::root(&[], &[], self.uses);
        match &spec.body {
            TriggerBody::Manual => Some(Trigger::Manual),
            TriggerBody::Schedule { cron, time_zone, inputs } => {
                let cron = cron.as_ref().and_then(|cron| self.cron(cron));
                let zone = time_zone.as_ref().map_or(Some("UTC".to_owned()), |zone| self.time_zone(zone));
                let inputs = self.given(
                    inputs.as_ref(),
                    spec.span,
                    &Takes::of_workflow("the schedule", takes),
                    &names,
                );
                Some(Trigger::Schedule { cron: cron?, time_zone: zone?, inputs: inputs? })
            }
            TriggerBody::Webhook { path, schema, inputs } => {
                let path = path.as_ref().and_then(|path| self.path(path));
                let payload = schema.as_ref().and_then(|node| self.payload_schema(node));
                let names = names.with_variable(PAYLOAD, payload.clone().unwrap_or(schema::ANY.clone()));
                let inputs = self.given(
                    inputs.as_ref(),
                    spec.span,
                    &Takes::of_workflow("the webhook", takes),
                    &names,
                )?;
                Some(Trigger::Webhook { path: path?, schema: payload?, inputs })
            }
        }
    }

    /// What the run is given.
    fn given(
        &mut self,
        inputs: Option<&Node>,
        at: Span,
        takes: &Takes<'_>,
        names: &Names<'_>,
    ) -> Option<Template> {
        self.parameters(inputs, at, Some(takes), names).map(|checked| checked.template)
    }

    fn cron(&mut self, cron: &Spanned<String>) -> Option<String> {
        let wrong = match parse(&cron.value) {
            Err(error) => format!("`{}` is no schedule: {error}", cron.value),
            Ok(parsed) => match parsed.find_next_occurrence(&late_start(), true) {
                Ok(_) => return Some(cron.value.clone()),
                Err(_) => format!("`{}` never comes due", cron.value),
            },
        };
        let help =
            "minute, hour, day of the month, month, day of the week: `0 3 * * *` is every night at three";
        let one = self.mistake(Code::Trigger, cron.span, wrong).help(help);
        self.found.push(one);
        None
    }

    fn time_zone(&mut self, zone: &Spanned<String>) -> Option<String> {
        if zone_of(&zone.value).is_ok() {
            return Some(zone.value.clone());
        }
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let mut one =
            self.mistake(Code::Trigger, zone.span, format!("there is no time zone `{}`", zone.value));
        one.help = suggestion(&zone.value, known.iter().map(String::as_str), "there are");
        self.found.push(one);
        None
    }

    fn path(&mut self, path: &Spanned<String>) -> Option<String> {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(letter);
        let parts = path.value.strip_prefix(HOOKS);
        if path.value.len() <= PATH_BYTES_MAX && parts.is_some_and(|parts| parts.split('/').all(part)) {
            return Some(path.value.clone());
        }
        let message = format!("`{}` is no path of a webhook", path.value);
        let help = format!(
            "write one such as `{HOOKS}storm-warning`: letters, digits, `-`, `_`, `.`, `~` between slashes"
        );
        let one = self.mistake(Code::Malformed, path.span, message).help(help);
        self.found.push(one);
        None
    }

    /// Two webhooks of one path could not be told apart, and a person is there once.
    fn only_once(&mut self, specs: &[TriggerSpec]) {
        let mut seen: Vec<(String, Span)> = Vec::new();
        for spec in specs {
            let (what, span) = match &spec.body {
                TriggerBody::Manual => ("the trigger `manual`".to_owned(), spec.span),
                TriggerBody::Webhook { path: Some(path), .. } => {
                    (format!("the path `{}`", path.value), path.span)
                }
                TriggerBody::Webhook { path: None, .. } | TriggerBody::Schedule { .. } => continue,
            };
            match seen.iter().find(|(known, _)| *known == what) {
                Some((_, first)) => {
                    let one = self.mistake(Code::Trigger, span, format!("{what} stands twice"));
                    self.found.push(one.and_at(*first, "it stands here"));
                }
                None => seen.push((what, span)),
            }
        }
    }
}

/// For scripts: as it is written, and when it comes due.
#[must_use]
pub fn trigger_json(trigger: &Trigger, next: &[String]) -> Value {
    let mut all = json!(trigger);
    if matches!(trigger, Trigger::Schedule { .. }) {
        all["next"] = json!(next);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(cron: &str, time_zone: &str, after: &str) -> Vec<String> {
        let inputs = Template::parse(json!({})).unwrap();
        let schedule = Trigger::Schedule { cron: cron.into(), time_zone: time_zone.into(), inputs };
        schedule.next_times(after.parse().unwrap(), 2)
    }

    /// A schedule is read from the clock of its zone, also when that is put forward or back: nothing is left out, and nothing is
    /// due twice.
    #[test]
    fn schedules_follow_the_clock_of_their_zone() {
        let summer = ["2026-08-30T03:00:00+02:00[Europe/Berlin]", "2026-08-31T03:00:00+02:00[Europe/Berlin]"];
        assert_eq!(due("0 3 * * *", "Europe/Berlin", "2026-08-29T12:00:00Z"), summer);
        let forward =
            ["2026-03-29T03:00:00+02:00[Europe/Berlin]", "2026-03-30T02:30:00+02:00[Europe/Berlin]"];
        assert_eq!(due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), forward);
        let back = ["2026-10-25T02:30:00+02:00[Europe/Berlin]", "2026-10-26T02:30:00+01:00[Europe/Berlin]"];
        assert_eq!(due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"), back);
        assert_eq!(due("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z")[0], "2028-02-29T00:00:00+00:00[UTC]");
    }
}
