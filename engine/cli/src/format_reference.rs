//! The keys of every kind of file as a page, `docs/reference/format.md`: a table for each object of the schemas.
//!
//! A schema refers to parts and holds others within it. Each part becomes a section of its own, which the rows around it link to,
//! so that the page is read by jumping and each key stands in it once for every kind of file.

use std::collections::VecDeque;
use std::fmt::Write as _;

use longhaul_model::schema::{FORMATS, Kind};
use longhaul_model::test::STATUSES;
use longhaul_model::workflow::ERROR_CLASSES;
use serde_json::Value;

const HEAD: &str = "# Every key of every file

Generated from the schemas; do not edit. `longhaul schema --kind KIND` prints the same for editors, and
[the format by example](../guide/workflows.md) explains it.

A key without a mark in the column *required* may be left out. Then what stands under *default* holds, or nothing at all. Every map
may also have keys that begin with `x-`: they are notes, and mean nothing. Which keys exclude each other is told by
`longhaul validate`.

";

/// The reference as Markdown: every kind of file, then the words and forms that stand in them.
pub(crate) fn format_reference() -> String {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        let _ = writeln!(page, "* [{}](#{})", kind.name(), anchor(kind.name()));
    }
    page.push_str("* [Forms of values](#forms-of-values), [formats of inputs](#formats-of-inputs), ");
    page.push_str("[error classes](#error-classes), [statuses](#statuses)\n");
    for kind in Kind::ALL {
        page.push_str(&OfKind::new(kind).sections());
    }
    [page, forms(), formats(), classes(), statuses()].concat()
}

/// An object that has a section, and what it is called.
struct Part {
    name: String,
    schema: Value,
}

/// The sections of a kind of files.
struct OfKind {
    kind: &'static str,
    schema: Value,
    waiting: VecDeque<Part>,
    named: Vec<String>,
}

impl OfKind {
    fn new(kind: Kind) -> Self {
        let schema = kind.schema();
        let root = Part { name: String::new(), schema: schema.clone() };
        Self { kind: kind.name(), schema, waiting: VecDeque::from([root]), named: Vec::new() }
    }

    fn sections(mut self) -> String {
        let mut text = format!("\n## {}\n", self.kind);
        while let Some(part) = self.waiting.pop_front() {
            if !part.name.is_empty() {
                let _ = write!(text, "\n### {}\n", self.title(&part.name));
            }
            text.push_str("\n| key | is | values | default | required |\n|---|---|---|---|---|\n");
            for (key, value) in part.schema["properties"].as_object().into_iter().flatten() {
                text.push_str(&self.row(&part, key, value));
            }
        }
        text
    }

    fn row(&mut self, part: &Part, key: &str, value: &Value) -> String {
        let values = self.values(&place(&part.name, key), value);
        let required = part.schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == key));
        let is = cell(value["description"].as_str().unwrap_or_default());
        let default = value.get("default").map_or_else(String::new, |value| code(&yaml(value)));
        format!("| `{key}` | {is} | {values} | {default} | {} |\n", if required { "yes" } else { "" })
    }

    /// What may stand behind a key. Objects within it are put by for sections of their own.
    fn values(&mut self, place: &str, schema: &Value) -> String {
        if let Some(name) = schema["$ref"].as_str() {
            return self.referred(name);
        }
        if let Some(all) = schema["allOf"].as_array().filter(|_| schema.get("properties").is_none()) {
            return all.first().map(|first| self.values(place, first)).unwrap_or_default();
        }
        if let Some(any) = schema["anyOf"].as_array().filter(|_| schema.get("properties").is_none()) {
            let mut all: Vec<String> = Vec::new();
            for one in any {
                let one = self.values(place, one);
                if !all.contains(&one) {
                    all.push(one);
                }
            }
            return all.join(", or ");
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.values(&format!("{place}[]"), &schema["items"])),
            Some("object") => self.map(place, schema),
            _ if schema.get("properties").is_some() => self.section(place, schema),
            _ => plain(schema),
        }
    }

    /// A map with keys of its own, or one by names.
    fn map(&mut self, place: &str, schema: &Value) -> String {
        if schema["properties"].as_object().is_some_and(|all| !all.is_empty()) {
            return self.section(place, schema);
        }
        let named = schema["patternProperties"].as_object().into_iter().flatten();
        let value = named.filter(|(pattern, _)| *pattern != "^x-").map(|(_, value)| value).next();
        match value.or_else(|| schema.get("additionalProperties").filter(|more| more.is_object())) {
            Some(value) => {
                let value = value.clone();
                format!("by name: {}", self.values(&format!("{place}.NAME"), &value))
            }
            None if schema["additionalProperties"] == false => "empty map".to_owned(),
            None => "map".to_owned(),
        }
    }

    /// A part that is written once. One that only names others is read where it is used.
    fn referred(&mut self, name: &str) -> String {
        let part = self.schema.pointer(name.trim_start_matches('#')).cloned().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        self.values(&name, &part)
    }

    fn section(&mut self, place: &str, schema: &Value) -> String {
        if !self.named.iter().any(|named| named == place) {
            self.named.push(place.to_owned());
            self.waiting.push_back(Part { name: place.to_owned(), schema: schema.clone() });
        }
        format!("[`{place}`](#{})", anchor(&self.title(place)))
    }

    fn title(&self, place: &str) -> String {
        format!("{}: `{place}`", self.kind)
    }
}

fn place(part: &str, key: &str) -> String {
    if part.is_empty() { key.to_owned() } else { format!("{part}.{key}") }
}

/// What is neither a list nor a map.
fn plain(schema: &Value) -> String {
    if let Some(one) = schema.get("const") {
        return code(&yaml(one));
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(|one| code(&yaml(one))).collect::<Vec<_>>().join(", ");
    }
    let form = schema["title"].as_str().or(schema["format"].as_str());
    match (form, schema["type"].as_str()) {
        (Some("ipv4"), _) => "IPv4 address".to_owned(),
        (Some("date-time"), _) => "time such as `2026-08-30T18:00:00Z`".to_owned(),
        (Some(form), _) => form.to_owned(),
        (None, Some("string")) => "text".to_owned(),
        (None, Some("boolean")) => "`true`, `false`".to_owned(),
        (None, Some("integer")) => format!("whole number{}", bounds(schema)),
        (None, Some(other)) => other.to_owned(),
        (None, None) => "anything".to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let most = schema["maximum"].as_u64().filter(|most| *most < u64::from(u32::MAX));
    match (schema["minimum"].as_u64().filter(|least| *least > 0), most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

/// A value as a file would hold it.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => format!("[{}]", all.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What a heading is linked by, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// The words of the column `values`.
fn forms() -> String {
    let rows = [
        (
            "id",
            "of a site or a VM: a lower-case letter, then letters, digits and dashes, 40 at most: `web-1`",
        ),
        (
            "name",
            "of a step, an input, a resource: a lower-case letter, then letters, digits and `_`, 40 at most: `move_vm`",
        ),
        ("action", "`noun.verb@VERSION`; `longhaul actions` lists them"),
        ("duration", "a number and `ms`, `s`, `m`, `h` or `d`: `300ms`, `1.5h`"),
        ("size", "a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`: `64KiB`"),
        ("quantity", "a size, or a rate: a number and `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`: `800Mbit/s`"),
        ("percentage", "a whole number and `%`: `15%`"),
        ("one expression", "`${{ ... }}` and nothing beside it"),
        ("text with an expression", "text in which `${{ ... }}` stands somewhere"),
    ];
    let mut text = "\n## Forms of values\n\n| form | is |\n|---|---|\n".to_owned();
    rows.iter().for_each(|(form, is)| text.push_str(&format!("| {form} | {is} |\n")));
    text
}

fn formats() -> String {
    let mut text =
        "\n## Formats of inputs\n\nWhat `format` may say in the schema of an input of type `string`.\n\n\
                    | format | is | example |\n|---|---|---|\n"
            .to_owned();
    FORMATS.iter().for_each(|(name, is, such)| text.push_str(&format!("| `{name}` | {is} | `{such}` |\n")));
    text
}

fn classes() -> String {
    let mut text = "\n## Error classes\n\nWhat `retry.errors` and the `class` of a mock may say.\n\n\
                    | class | means |\n|---|---|\n"
        .to_owned();
    for class in ERROR_CLASSES {
        let _ = writeln!(text, "| `{class}` | {} |", meaning_of_class(class));
    }
    text
}

fn meaning_of_class(class: &str) -> &'static str {
    match class {
        "transient" => "it may succeed if it is tried again as it is",
        "permanent" => "it will fail again as it is",
        "precondition" => "something that had to hold does not; somebody must change it first",
        "conflict" => "somebody else holds what was asked for",
        "auth" => "not allowed, or not who it claimed to be",
        "unreachable" => "the other side did not answer",
        "cancelled" => "it was given up because it was asked to",
        "internal" => "a mistake in Longhaul itself, or in a plugin",
        _ => "",
    }
}

fn statuses() -> String {
    let mut text = "\n## Statuses\n\nHow a run ends.\n\n| status | means |\n|---|---|\n".to_owned();
    for status in STATUSES {
        let _ = writeln!(text, "| `{status}` | {} |", meaning_of_status(status));
    }
    text + "\nWhile it is under way it is `running`. How a step ends stands in \
            [what expressions can read](../guide/expressions.md#what-can-be-read).\n"
}

fn meaning_of_status(status: &str) -> &'static str {
    match status {
        "succeeded" => "every step has succeeded, or what failed was answered",
        "failed" => "it failed, and everything that it had done was undone",
        "partial" => "something went forward for good while something else was undone",
        "needs_operator" => "it stopped where only a person can decide or repair; it can be resumed",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The page in the tree is what the schemas say.
    #[test]
    fn the_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/format.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == format_reference(),
            "docs/reference/format.md is not current: `cargo xtask gen format` writes it"
        );
    }

    /// No row lacks its meaning or its values, and every link leads to a heading.
    #[test]
    fn the_page_is_whole() {
        let page = format_reference();
        let headings: Vec<String> = page
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor(line.trim_start_matches(['#', ' '])))
            .collect();
        for link in page.split("](#").skip(1) {
            let link = link.split(')').next().unwrap();
            assert!(headings.iter().any(|heading| heading == link), "{link} leads nowhere");
        }
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert!(
                cells.len() >= 2
                    && cells.iter().take(3).all(|cell| !cell.trim_matches(['|', ' ']).is_empty()),
                "{row}"
            );
        }
        for key in ["max_parallel", "heartbeat", "on_expire", "gateway_mac", "time_zone"] {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}
